"""Texture: what repeats itself is continued exactly, what is smooth smoothly."""

import numpy as np
import pytest

from bunraku.perception.plate import fill
from bunraku.perception.texture import repetitions, textured


@pytest.fixture
def hole() -> np.ndarray:
    mask = np.zeros((96, 120), bool)
    mask[30:70, 50:75] = True
    return mask


def tiles(height: int, width: int, period: int) -> np.ndarray:
    tile = np.random.default_rng(0).integers(0, 256, (period, period, 3), np.uint8)
    return np.tile(tile, (height // period + 1, width // period + 1, 1))[:height, :width]


def test_a_pattern_goes_on(hole: np.ndarray) -> None:
    pattern = tiles(96, 120, 15)
    damaged = np.where(hole[..., None], np.uint8(0), pattern)
    filled = textured(damaged, hole)
    assert np.abs(filled.astype(int) - pattern).max() <= 1
    assert np.abs(fill(damaged, hole).astype(int) - pattern)[hole].mean() > 30


def test_a_pattern_goes_on_in_a_large_picture() -> None:
    """Pieces are chosen in a copy an eighth as large, and laid to the pixel."""
    coarse = np.kron(tiles(96, 120, 15), np.ones((4, 4, 1), np.uint8))
    mask = np.zeros(coarse.shape[:2], bool)
    mask[120:280, 200:300] = True
    filled = textured(np.where(mask[..., None], np.uint8(0), coarse), mask)
    assert np.abs(filled.astype(int) - coarse)[mask].mean() < 4


def test_a_pattern_repeats_itself_at_its_period(hole: np.ndarray) -> None:
    shifts = repetitions(tiles(96, 120, 15).astype(np.float32), hole)
    assert len(shifts)
    assert (shifts[:4] % 15 == 0).all()


def test_light_that_fades_has_no_seam(hole: np.ndarray) -> None:
    y, x = np.mgrid[:96, :120]
    wall = np.stack([60 + y, 80 + x, 200 - x], -1).astype(np.uint8)
    filled = textured(np.where(hole[..., None], np.uint8(0), wall), hole)
    assert np.abs(filled.astype(int) - wall).max() <= 4


def test_the_rest_of_the_picture_stays(hole: np.ndarray) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (96, 120, 3), np.uint8)
    assert np.array_equal(textured(picture, hole)[~hole], picture[~hole])
    assert np.array_equal(textured(picture, hole & False), picture)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (40, 40)])
def test_where_nothing_is_known_it_is_filled_smoothly(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    for hole in (np.ones(size, bool), np.arange(size[0] * size[1]).reshape(size) > 3):
        assert np.array_equal(textured(picture, hole), fill(picture, hole))
