"""Ribbons: a limb is found beside the bone that was given for it."""

import numpy as np
import pytest

from bunraku.perception.cutout import segment_distance
from bunraku.puppet_warp.ribbon import Edges

PIXELS = np.stack(np.meshgrid(np.arange(96) + 0.5, np.arange(96) + 0.5), -1)
START, END, RADIUS = np.array([40.0, 20.0]), np.array([48.0, 76.0]), 8.0


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A light arm that lies against a dark body on its left."""
    arm = segment_distance(PIXELS, START, END) < RADIUS
    body = (PIXELS[..., 0] < 44) & (PIXELS[..., 1] > 10)
    picture = np.where(arm[..., None], np.uint8([230, 190, 160]), np.uint8([40, 60, 120]))
    return picture.astype(np.uint8), (arm | body).astype(np.float32)


@pytest.mark.parametrize("shift", [-6, -3, 0, 3, 6])
def test_a_bone_beside_its_limb_is_brought_to_the_middle(shift: float) -> None:
    start, end, radius = Edges(*drawn()).ribbon(START + (shift, 0), END + (shift, 0), 1.1 * RADIUS)
    assert np.abs(segment_distance(np.stack([start, end]), START, END)).max() < 2.5
    assert radius == pytest.approx(RADIUS, rel=0.2)


def test_without_edges_it_stays() -> None:
    flat = np.full((96, 96, 3), 128, np.uint8)
    start, end, _ = Edges(flat, np.ones((96, 96), np.float32)).ribbon(START, END, RADIUS)
    assert np.allclose([start, end], [START, END])


def test_a_limb_that_was_measured_too_thin_is_found_whole() -> None:
    start, end, radius = Edges(*drawn()).ribbon(START + (2, 0), END + (2, 0), RADIUS / 1.8)
    assert np.abs(segment_distance(np.stack([start, end]), START, END)).max() < 2.5
    assert radius == pytest.approx(RADIUS, rel=0.2)
