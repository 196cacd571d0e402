"""The temperature map against brute force, and its limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.cues.temperature import draw_temperature, temperature_map


def equations_3_to_5(poses, tau):
    """As they are printed, (F, H, W, 3) -> float64 (H, W); 1 where nothing is drawn in the whole window."""
    _, height, width, _ = poses.shape
    union = np.argwhere(poses.any((0, 3))).astype(float)  # Eq. 3
    if not len(union):
        return np.ones((height, width))
    expected = np.empty((height, width))
    for v in range(height):
        for u in range(width):
            distance = np.hypot(*(union - (v, u)).T).min() / math.sqrt((height / 2) ** 2 + (width / 2) ** 2)  # Eq. 4
            expected[v, u] = tau * distance + 1  # Eq. 5
    return expected


@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 4), st.floats(0, 9), st.integers(0, 2**32 - 1))
def test_equations_3_to_5(height, width, frames, tau, seed):
    """Every pixel against every drawn one, in float64; squares and strips alike."""
    rng = np.random.default_rng(seed)
    poses = np.zeros((frames, height, width, 3), np.uint8)
    drawn = rng.integers(0, (frames, height, width, 3), (rng.integers(1, 6), 4))
    poses[tuple(drawn.T)] = rng.integers(1, 256, len(drawn))
    expected = equations_3_to_5(poses, tau)
    found = temperature_map(poses, tau)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert (found[poses.any((0, 3))] == 1).all()


def test_the_same_poses_give_the_same_bits_wherever_memory_lies():
    """OpenCV's square root rounds by the address of the array."""
    poses = np.zeros((1, 64, 64, 3), np.uint8)
    poses[(0, *np.random.default_rng(0).integers(0, 64, (2, 20)))] = 255
    kept = [(temperature_map(poses), np.empty(61 * i)) for i in range(60)]
    assert all(np.array_equal(found, kept[0][0]) for found, _ in kept)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 5), (5, 40, 72), (2, 1, 9)])
def test_a_window_without_any_pose_is_not_smoothed_and_one_pixel_in_any_frame_is_a_pose(shape):
    poses = np.zeros((*shape, 3), np.uint8)
    found = temperature_map(poses, 3)
    assert found.dtype == np.float32
    assert found.shape == shape[1:]
    assert (found == 1).all()
    poses[-1, -1, -1, 2] = 1  # the last frame's last pixel, barely blue
    found = temperature_map(poses, 3)
    np.testing.assert_allclose(found, equations_3_to_5(poses, 3), rtol=1e-7)
    assert found[-1, -1] == 1 < found[0, 0]


def test_the_farthest_corner_of_a_strip():
    """Distances are in half diagonals whatever the shape: corner to corner is two of them, less the one pixel."""
    for height, width in ((512, 512), (64, 256), (768, 512)):
        poses = np.zeros((1, height, width, 3), np.uint8)
        poses[0, 0, 0] = 255
        farthest = 1 + 3 * math.hypot(height - 1, width - 1) / (math.hypot(height, width) / 2)
        assert temperature_map(poses, 3)[-1, -1] == pytest.approx(farthest, rel=1e-7)


def test_no_slope_changes_nothing():
    assert (temperature_map(np.eye(8, dtype=np.uint8)[None, ..., None].repeat(3, 3), 0) == 1).all()


@pytest.mark.parametrize(("shape", "tau"), [((8, 8, 3), 3), ((1, 8, 8, 4), 3), ((1, 8, 8, 3), -1)])
def test_unusable_arguments(shape, tau):
    with pytest.raises(ValueError, match="drawn poses \\(F, H, W, 3\\) and tau >= 0"):
        temperature_map(np.zeros(shape, np.uint8), tau)


def test_the_heat_picture_is_black_at_1_brightest_at_the_hottest_and_shows_every_pose():
    poses = np.zeros((3, 4, 8, 3), np.uint8)
    poses[0, 0, 0], poses[2, 1, 1] = (255, 0, 0), (0, 90, 0)
    temperature = np.array([[1, 1.5, 2, 3], [1, 1, 1, 3]], np.float32)
    drawn = draw_temperature(temperature, poses)
    assert drawn.shape == (4, 8, 3)
    assert drawn[0, 0].tolist() == [255, 0, 0]
    assert drawn[1, 1].tolist() == [0, 90, 0]
    heat = drawn.astype(int).sum(-1)
    assert (heat[2:, :6] < 10).all()  # 1 is black
    brightness = heat[1, 2::2]
    assert (np.diff(brightness) > 0).all()
    # every value keeps its cell of 2x2 pixels
    assert (drawn[::2, 2:] == drawn[1::2, 2:]).all()
    assert (drawn[:, 2::2] == drawn[:, 3::2]).all()
    # a common scale: what is hot alone is not hot beside hotter
    assert (draw_temperature(temperature, poses, 9)[0, 7].astype(int).sum()) < heat[0, 7]
    assert (draw_temperature(np.ones((2, 4), np.float32), poses)[3] < 10).all()
