"""Pictures for the codec: functions of their number, of every kind, with the statistics that they are made for."""

import numpy as np
import pytest

from bunraku.data import pictures
from bunraku.data.pictures import KINDS, PictureCrops, photograph, sample_picture, theatre_frame
from bunraku.errors import BunrakuError


def test_crops_are_functions_of_seed_and_number():
    data = PictureCrops(0, crop=64, crops=3)
    for index in range(6):
        first = data[index]
        assert first.shape == (3, 64, 64, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, PictureCrops(0, crop=64, crops=3)[index])
    assert not np.array_equal(data[0], data[1])
    assert not np.array_equal(data[0], PictureCrops(1, crop=64, crops=3)[0])


def test_photographs_have_the_side_that_was_asked_for():
    for seed in range(8):
        picture = photograph(np.random.default_rng(seed), 128)
        assert picture.shape == (128, 128, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 2


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_every_kind_are_large_enough(kind, monkeypatch):
    monkeypatch.setattr(pictures, "KINDS", {kind: 1.0})
    for seed in range(3):
        picture = sample_picture(np.random.default_rng(seed), 100)
        assert min(picture.shape[:2]) >= 100
        assert picture.dtype == np.uint8
        assert np.array_equal(picture, sample_picture(np.random.default_rng(seed), 100))


def test_theatre_frames_come_in_many_shapes_and_never_from_another_split():
    shapes = {theatre_frame(np.random.default_rng(seed), "train").shape for seed in range(4)}
    assert len(shapes) == 4
    assert all(128 <= side <= 384 for shape in shapes for side in shape[:2])
    train, val = (theatre_frame(np.random.default_rng(0), split, (96, 128)) for split in ("train", "val"))
    assert train.shape == (96, 128, 3)
    assert not np.array_equal(train, val)


def test_a_missing_photograph_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pictures, "PHOTOGRAPHS", {"nowhere_at_all/picture.png": "nobody"})
    with pytest.raises(BunrakuError, match="pip install scikit-image matplotlib"):
        photograph(np.random.default_rng(0), 96)


def test_kinds_are_a_distribution():
    assert sum(KINDS.values()) == pytest.approx(1)
