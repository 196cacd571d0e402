"""Dilated skeletons: against brute force, and what they cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.character_region import body_masks, character_regions, kernel_sides, torso_lengths
from bunraku.cues.skeleton import draw_skeleton
from bunraku.perception.pose import PoseTrack
from tests.tiny import crowd


def whole(region, size):
    mask = np.zeros(size, np.uint8)
    mask[region.at] = region.mask
    return mask


def dilated(mask, side):
    """Every pixel whose square of `side` pixels holds one of the mask."""
    r = side // 2
    padded = np.pad(mask, r)
    return np.array(
        [[padded[y : y + side, x : x + side].any() for x in range(mask.shape[1])] for y in range(mask.shape[0])]
    )


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.sampled_from([(32, 48), (40, 24)]))
def test_a_region_is_the_square_dilation_of_the_whole_persons_drawing(seed, people, size):
    """Also where the person hangs over the frame or is not seen at all."""
    rng = np.random.default_rng(seed)
    track = crowd(2, people, size, rng)
    sides = rng.choice([1, 3, 7, 11], people)
    for frame, regions in enumerate(character_regions(track, sides=sides)):
        assert len(regions) == people
        for person, region in enumerate(regions):
            drawn = draw_skeleton(track.person(person)[frame : frame + 1], style="dwpose")[0].any(-1)
            np.testing.assert_array_equal(whole(region, size), 255 * dilated(drawn, int(sides[person])))


def test_sides_are_the_measured_share_of_the_median_torso_and_at_least_of_the_width():
    track = crowd(5, 3, (640, 480), np.random.default_rng(0))
    track.keypoints[:, 0, 1] = (100, 50)
    for frame, length in enumerate((90, 200, 210, 190, 900)):  # the median is 200
        track.keypoints[frame, 0, 8] = (100, 50 + length)
        track.keypoints[frame, 0, 11] = (100 + length / 2, 50)  # the shorter side
    track.scores[:, 0, (1, 8, 11)] = 1
    track.scores[:, 1, (8, 11)] = 0.1  # hips never seen
    track.keypoints[:, 2, (1, 8, 11)] = np.nan
    assert torso_lengths(track)[:, 0] == pytest.approx([90, 200, 210, 190, 900])
    assert np.isnan(torso_lengths(track)[:, 1:]).all()
    assert abs(kernel_sides(track) - [0.26 * 200, 0.03 * 480, 0.03 * 480]).max() <= 1
    assert (kernel_sides(track) % 2 == 1).all()
    # of the drawing's pixels: twice the size, twice the side
    assert abs(kernel_sides(track, (1280, 960)) - [104, 28.8, 28.8]).max() <= 1
    assert kernel_sides(track, torso=0, width=0).tolist() == [1, 1, 1]


def test_the_ellipse_lies_in_the_square():
    track = crowd(1, 1, (64, 64), np.random.default_rng(3))
    (square,), (ellipse,) = (
        next(character_regions(track, sides=np.array([9]), kernel=k)) for k in ("square", "ellipse")
    )
    square, ellipse = whole(square, (64, 64)) > 0, whole(ellipse, (64, 64)) > 0
    assert (square | ellipse == square).all()
    assert ellipse.sum() < square.sum()


@pytest.mark.parametrize("sides", [[3], [3, 4], [3, 0], [3, -1]])
def test_sides_that_are_no_kernels(sides):
    with pytest.raises(ValueError, match="sides are 2 odd numbers"):
        next(character_regions(crowd(1, 2, (32, 32), np.random.default_rng(0)), sides=np.array(sides)))
    with pytest.raises(ValueError, match="a kernel is square or ellipse"):
        next(character_regions(crowd(1, 2, (32, 32), np.random.default_rng(0)), kernel="round"))


def test_bodies_have_feet():
    points = np.zeros((1, 1, 18, 2), np.float32)
    points[0, 0, [1, 8, 9, 10]] = [(40, 20), (40, 50), (40, 70), (40, 90)]
    scores = np.zeros((1, 1, 18), np.float32)
    scores[0, 0, [1, 8, 9, 10]] = 1
    body = body_masks(PoseTrack(points, scores, (120, 80)))[0, 0]
    assert body[20:95, 40].all()
    assert body[97, 40]
    assert not body[108:].any()
    assert body_masks(PoseTrack(points, 0 * scores, (120, 80))).sum() == 0
