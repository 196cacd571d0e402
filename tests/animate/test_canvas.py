"""The reference, its pose and the driving poses lie in the same place of the model's picture."""

import logging
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bunraku.animate.canvas import choose_canvas
from bunraku.animate.options import Fitting
from bunraku.cues.cues import Cues
from bunraku.perception.pose import PoseTrack
from tests.tiny import walking_track

SQUARE = (128, 128)
sides = st.integers(32, 300)


def one_dot(x: float, y: float, size: tuple[int, int]) -> PoseTrack:
    return PoseTrack(np.full((1, 1, 18, 2), (x, y), np.float32), np.ones((1, 1, 18), np.float32), size)


@settings(deadline=None)
@given(sides, sides)
@example(2000, 32)
def test_letterboxing_keeps_the_whole_reference_and_gives_its_aspect_ratio_back(height: int, width: int) -> None:
    canvas = choose_canvas((height, width), SQUARE, any_size=False)
    corners = canvas.transform.points(np.array([(0, 0), (width, height)], float))
    assert (corners > -1).all()
    assert (corners < 129).all()
    out_height, out_width = canvas.output_size
    assert max(out_height, out_width) == 128
    assert out_height % 2 == out_width % 2 == 0
    # to within the pixel that makes a size even
    assert abs(out_height - height * 128 / max(height, width)) < 2
    assert abs(out_width - width * 128 / max(height, width)) < 2
    assert canvas.cut(np.zeros((3, *SQUARE, 3))).shape == (3, out_height, out_width, 3)


@settings(deadline=None)
@given(sides, sides, st.sampled_from(["auto", "letterbox", "crop"]), st.booleans(), st.none() | st.tuples(sides, sides))
def test_canvases_are_multiples_of_8_and_hold_the_output(
    height: int, width: int, fitting: Fitting, any_size: bool, size: tuple[int, int] | None
) -> None:
    canvas = choose_canvas((height, width), SQUARE, any_size=any_size, fitting=fitting, size=size)
    assert not any(side % 8 for side in canvas.size)
    for top, bottom, left, right in (canvas.output, canvas.reference):
        assert 0 <= top < bottom <= canvas.size[0]
        assert 0 <= left < right <= canvas.size[1]
    if size is not None:
        assert canvas.output_size == canvas.size


@pytest.mark.parametrize("fitting", ["letterbox", "crop"])
@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (128, 128)])
def test_pose_and_picture_agree(shape: tuple[int, int], fitting: Fitting) -> None:
    y, x = shape[0] * 0.45, shape[1] * 0.6
    image = np.zeros((*shape, 3), np.uint8)
    image[round(y) - 6 : round(y) + 6, round(x) - 6 : round(x) + 6] = 255
    canvas = choose_canvas(shape, SQUARE, any_size=False, fitting=fitting)
    rows, columns = np.nonzero(canvas.picture(image)[..., 0] > 127)
    found = columns.mean() + 0.5, rows.mean() + 0.5
    np.testing.assert_allclose(canvas.track(one_dot(x, y, shape)).keypoints[0, 0, 0], found, atol=1)


def test_what_letterboxing_leaves_free_continues_the_edges() -> None:
    image = np.full((300, 100, 3), (10, 200, 90), np.uint8)
    image[100:200, 40:60] = 0
    picture = choose_canvas((300, 100), SQUARE, any_size=False).picture(image)
    np.testing.assert_array_equal(picture[:, [0, 127]], np.full((128, 2, 3), (10, 200, 90)))


def test_models_for_any_size_get_the_references_shape(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        canvas = choose_canvas((1200, 800), (512, 512), any_size=True)
    assert canvas.size == canvas.output_size == (624, 416)
    assert "rounded to 624x416" in caplog.text
    assert choose_canvas((1200, 800), (512, 512), any_size=True, fitting="letterbox").size == (512, 512)


def test_a_size_that_is_no_multiple_of_8_is_rounded_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert choose_canvas((100, 100), SQUARE, any_size=False, size=(131, 96)).output_size == (128, 96)
    assert "131x96 is rounded to 128x96" in caplog.text


def test_drawn_skeletons_and_poses_as_they_are_go_where_the_reference_is() -> None:
    canvas = choose_canvas((200, 100), SQUARE, any_size=False)  # columns 32 to 96
    drawn = np.full((2, 50, 50, 3), 255, np.uint8)
    placed = canvas.poses(Cues(Fraction(8), (50, 50), "drawn", skeleton=drawn), None, "full")
    assert isinstance(placed, np.ndarray)
    rows, columns = np.nonzero(placed[0, ..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 95, 32, 95)
    middle = Cues(Fraction(8), (50, 50), "dot", one_dot(25, 25, (50, 50)))
    off = canvas.poses(middle, one_dot(0, 0, (200, 100)), "off")
    assert isinstance(off, PoseTrack)
    np.testing.assert_allclose(off.keypoints[0, 0, 0], (64, 64), atol=0.1)
    cropped = choose_canvas((200, 100), SQUARE, any_size=False, fitting="crop").poses(middle, None, "off")
    assert isinstance(cropped, PoseTrack)
    np.testing.assert_allclose(cropped.keypoints[0, 0, 0], (64, 64), atol=0.1)


def test_retargeting_puts_the_neck_on_the_references() -> None:
    canvas = choose_canvas((200, 100), SQUARE, any_size=False)
    large, cues = walking_track(1, (200, 100)), Cues(Fraction(8), (64, 64), "walk", walking_track(9))
    reference = PoseTrack(0.3 * large.keypoints + (35, 70), large.scores, large.size)  # with room on all sides
    neck = canvas.track(reference).keypoints[0, 0, 1]
    for method in ("grounded", "full", "align", "fit"):
        poses = canvas.poses(cues, reference, method)  # type: ignore[arg-type]
        assert isinstance(poses, PoseTrack)
        assert poses.size == SQUARE
        held = slice(1) if method == "grounded" else slice(2)  # whose height the feet decide
        np.testing.assert_allclose(np.median(poses.keypoints[:, 0, 1], axis=0)[held], neck[held], atol=0.5)


def test_a_model_that_paints_any_pixel_keeps_even_sizes() -> None:
    assert choose_canvas((97, 63), (98, 62), any_size=True, multiple=2).size == (96, 64)
    assert choose_canvas((97, 63), SQUARE, any_size=True, size=(50, 43), multiple=2).size == (50, 44)
    assert choose_canvas((97, 63), SQUARE, any_size=True, size=(50, 43)).size == (48, 40)
