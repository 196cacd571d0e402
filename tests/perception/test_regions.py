"""Turned squares of a picture, anchors and weighted suppression, exactly."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.perception.regions import Picture, Region, anchor_centres, decode_anchors, weighted_suppression

finite = st.floats(-500, 500)


def test_a_region_along_two_points_has_the_second_on_the_middle_of_its_top():
    region = Region.along(np.array([50.0, 60.0]), np.array([80.0, 20.0]), 90)
    np.testing.assert_allclose(region.to_picture(np.array([0.5, 0.0])), (80, 20), atol=1e-9)
    np.testing.assert_allclose(region.to_picture(np.array([0.5, 0.5])), (50, 60), atol=1e-9)
    assert region.side == pytest.approx(100)
    # of its bottom where the direction is downwards, of its right side where it is to the right
    for up, share in ((-90, (0.5, 1.0)), (0, (1.0, 0.5))):
        region = Region.along(np.array([50.0, 60.0]), np.array([80.0, 20.0]), up)
        np.testing.assert_allclose(region.to_picture(np.array(share)), (80, 20), atol=1e-9)


def test_a_shift_goes_along_the_regions_own_down():
    region = Region(10, 20, 4, np.pi / 2).scaled(3, shift=0.5)
    np.testing.assert_allclose((region.x, region.y, region.side), (8, 20, 12), atol=1e-9)


@given(
    finite, finite, st.floats(0.5, 900), st.floats(-7, 7), st.lists(st.tuples(finite, finite), min_size=1, max_size=4)
)
def test_to_the_picture_and_back(x, y, side, angle, points):
    region, points = Region(x, y, side, angle), np.array(points)
    np.testing.assert_allclose(region.to_picture(region.from_picture(points)), points, atol=1e-6)


def test_a_region_of_whole_pixels_is_cut_exactly_and_a_quarter_turn_turns_it():
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    picture = Picture(frame)
    cut = picture.cut(Region(30, 20, 16), 16)
    np.testing.assert_array_equal(cut, frame[12:28, 22:38])
    turned = picture.cut(Region(30, 20, 16, np.pi / 2), 16)
    # the region's right is the picture's down
    np.testing.assert_array_equal(turned, np.rot90(frame[12:28, 22:38], 1))
    outside = picture.cut(Region(0, 20, 16), 16, cv2.BORDER_CONSTANT)
    assert not outside[:, :8].any()
    np.testing.assert_array_equal(picture.cut(Region(0, 20, 16), 16)[:, :8], frame[12:28, :1].repeat(8, 1))


@pytest.mark.parametrize(("height", "width"), [(2160, 3840), (1001, 777)])
def test_large_frames_are_reduced_without_aliasing_and_without_a_shift(height, width):
    x = (np.arange(width) + 0.5) / width
    ramp = np.broadcast_to(np.rint(255 * x).astype(np.uint8)[None, :, None], (height, width, 3))
    noisy = ramp // 2 + np.random.default_rng(0).integers(0, 128, (height, width, 1), np.uint8)
    for frame, expected, deviation in ((ramp, 255 * x, 1), (noisy, 255 * x / 2 + 63.5, 22)):
        picture = Picture(np.ascontiguousarray(frame))
        cut = picture.cut(Region(width / 2, height / 2, height), 64)[..., 0]
        places = width / 2 + ((np.arange(64) + 0.5) / 64 - 0.5) * height
        inside = (places > 20) & (places < width - 20)
        wanted = np.interp(places, np.arange(width) + 0.5, expected)
        error = (cut - wanted)[8:-8, inside]
        assert abs(error.mean()) < 1  # every halving rounds up by a quarter
        assert error.std() < deviation


def test_anchors_are_two_per_cell_and_six_where_three_layers_share_a_grid():
    centres = anchor_centres(224, (8, 16, 32, 32, 32))
    assert centres.shape == (2 * 28**2 + 2 * 14**2 + 6 * 7**2, 2)
    np.testing.assert_allclose(centres[:4] * 224, [(4, 4), (4, 4), (12, 4), (12, 4)])
    np.testing.assert_allclose(centres[-6:] * 224, [(208, 208)] * 6)
    assert len(anchor_centres(128, (8, 16, 16, 16))) == 896


def test_boxes_are_decoded_about_their_anchor():
    values = np.array([[10, -5, 40, 20, 0, 0, 100, 50], [0] * 8], np.float32)
    boxes, points, scores = decode_anchors(values, np.array([[3.0], [-1]]), np.array([(0.5, 0.5), (0, 0)]), 100)
    np.testing.assert_allclose(boxes, [(0.4, 0.35, 0.8, 0.55)], atol=1e-6)
    np.testing.assert_allclose(points, [[(0.5, 0.5), (1.5, 1.0)]], atol=1e-6)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-3)))
    boxes, points, _ = decode_anchors(values, np.full((2, 1), -1e9), np.zeros((2, 2)), 100)
    assert boxes.shape == (0, 4)
    assert points.shape == (0, 2, 2)


def test_overlapping_boxes_are_averaged_by_their_scores():
    boxes = np.array([(0, 0, 1, 1), (0.1, 0, 1.1, 1), (3, 3, 4, 4)], float)
    points = boxes[:, None, :2]
    kept, middle, scores = weighted_suppression(boxes, points, np.array([0.6, 0.9, 0.7]))
    np.testing.assert_allclose(kept, [(0.06, 0, 1.06, 1), (3, 3, 4, 4)])
    np.testing.assert_allclose(middle[:, 0], [(0.06, 0), (3, 3)])
    np.testing.assert_allclose(scores, [0.9, 0.7])
    assert len(weighted_suppression(boxes[:0], points[:0], np.zeros(0))[0]) == 0
