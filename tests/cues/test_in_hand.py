"""Things in hand go where the character's hands are."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bunraku.cues.cues import Cues
from bunraku.cues.in_hand import Carried, InHand, carried, in_hand
from bunraku.evaluation.systems import Stage, Warp, driving_poses
from bunraku.evaluation.theatre_benchmark import benchmark_clip, benchmark_scenes
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render

SIZE = (96, 128)
FRAMES = 10


def track(right: tuple[float, float], left: tuple[float, float] = (100, 60), seen: float = 1) -> PoseTrack:
    """Lower arms that reach 20 pixels down to wrists at two places, which walk three pixels a frame to the right."""
    points = np.zeros((FRAMES, 1, 18, 2), np.float32)
    points[:, 0, 4], points[:, 0, 7] = right, left
    points[:, 0, [3, 6]] = points[:, 0, [4, 7]] - (0, 20)
    points[..., 0] += 3 * np.arange(FRAMES)[:, None, None]
    return PoseTrack(points, np.full(points.shape[:3], seen, np.float32), SIZE)


def square(x: int, y: int, step: int = 3, side: int = 8) -> np.ndarray:
    """A square thing, its upper left corner at a place, which walks."""
    objects = np.zeros((FRAMES, *SIZE), np.uint8)
    for i in range(FRAMES):
        objects[i, y : y + side, x + step * i : x + step * i + side] = 255
    return objects


NOBODY = np.zeros((FRAMES, *SIZE), bool)


def test_a_thing_goes_along_with_the_hand_that_holds_it() -> None:
    objects = square(16, 62) | square(98, 2, step=0)  # something else stands there
    (thing,) = in_hand(objects, NOBODY, track((20, 60)), track((30, 50)), 12)
    np.testing.assert_array_equal(thing.seen, square(16, 62))
    np.testing.assert_allclose(thing.moves, np.tile([10, -10], (FRAMES, 1)))
    picture, ground = np.full((*SIZE, 3), 200, np.uint8), np.zeros((*SIZE, 3), np.uint8)
    made = thing.over(0, picture, ground)
    np.testing.assert_array_equal(made[..., 0] > 100, square(26, 52)[0] > 0)
    half = thing.over(0, picture[::2, ::2], ground[::2, ::2])
    np.testing.assert_array_equal(half[..., 0] > 100, square(26, 52)[0, ::2, ::2] > 0)


def test_hands_that_hold_nothing_take_nothing_along() -> None:
    there, elsewhere = track((20, 60)), track((30, 50))
    assert in_hand(square(16, 62), NOBODY, there, there, 12) == []
    assert in_hand(square(70, 10), NOBODY, there, elsewhere, 12) == []  # out of reach
    assert in_hand(square(16, 62, step=-1), NOBODY, there, elsewhere, 12) == []  # thrown away
    assert in_hand(square(16, 62), NOBODY, there, track((30, 50), seen=0), 12) == []
    assert in_hand(np.zeros_like(square(0, 0)), NOBODY, there, elsewhere, 12) == []


def test_what_both_hands_hold_goes_by_the_mean_of_their_ways() -> None:
    (thing,) = in_hand(square(26, 60, side=12), NOBODY, track((24, 60), (40, 60)), track((34, 60), (36, 60)), 12)
    np.testing.assert_allclose(thing.moves, np.tile([3, 0], (FRAMES, 1)), atol=1e-5)
    one, other = in_hand(
        square(16, 62) | square(56, 62), NOBODY, track((20, 60), (60, 60)), track((26, 60), (54, 60)), 12
    )
    assert one.moves[0, 0] == pytest.approx(6)
    assert other.moves[0, 0] == pytest.approx(-6)


def test_a_hand_that_shakes_in_the_poses_alone_shakes_its_thing_less() -> None:
    shaking = track((20, 60))
    shaking.keypoints[::2, 0, 4] += 4
    (thing,) = in_hand(square(16, 62), NOBODY, shaking, track((40, 60)), 24)
    assert np.abs(np.diff(thing.moves[2:-2, 0])).max() < 2


def test_a_hand_hides_the_middle_of_a_rod_and_a_dent_of_a_ball() -> None:
    rod, hand = square(18, 40, side=2), NOBODY.copy()
    for i in range(FRAMES):
        rod[i, 40:90, 18 + 3 * i : 22 + 3 * i] = 255
        hand[i, 58:72, 8 + 3 * i : 32 + 3 * i] = True
    (thing,) = in_hand(np.where(hand, np.uint8(0), rod), hand, track((20, 60)), track((50, 60)), 12)
    assert (thing.whole[0, 40:90, 19:21] == 255).all()
    assert (thing.whole[0] > 0).sum() < 1.3 * (rod[0] > 0).sum()
    ball = np.stack([cv2.circle(np.zeros(SIZE, np.uint8), (20 + 3 * i, 70), 12, 255, -1) for i in range(FRAMES)])
    dent = hand & (np.arange(96) >= 64)[:, None] & (np.arange(128) < 20 + 3 * np.arange(FRAMES)[:, None, None])
    (thing,) = in_hand(np.where(dent, np.uint8(0), ball), dent, track((20, 60)), track((50, 60)), 12)
    missed = (ball > 0) & (thing.whole == 0)
    assert missed.sum() < 0.1 * (ball > 0).sum()
    colours = np.where(thing.seen[0, ..., None] > 0, (250, 30, 30), (0, 99, 0)).astype(np.uint8)
    made = thing.over(0, colours, np.zeros_like(colours), whole=True)
    assert (made[68, 44:54] == (250, 30, 30)).all()  # the colour of what is seen, thirty pixels aside


def test_cues_show_things_where_they_go() -> None:
    objects, ground = square(16, 62), np.zeros((FRAMES, *SIZE, 3), np.uint8)
    driver, poses = track((20, 60)), track((30, 50))
    pixels = np.where(objects[..., None] > 0, np.uint8(200), ground)
    cues = Cues(12, SIZE, "a test", pose=driver, maps={"objects": objects}, pixels=pixels)
    moved = carried(cues, in_hand(objects, NOBODY, driver, poses, 12), ground)
    np.testing.assert_array_equal(moved.maps["objects"] >= 128, square(26, 52) > 0)
    assert isinstance(moved.pixels, Carried)
    assert len(moved.pixels) == FRAMES
    np.testing.assert_array_equal(moved.pixels[[3, 1]][..., 0] > 100, square(26, 52)[[3, 1]] > 0)
    assert carried(cues, [], ground) is cues


def test_on_the_stage_the_prop_is_where_the_truth_has_it() -> None:
    clip, scenes = benchmark_clip("stage", 14), benchmark_scenes("stage", 14)
    assert clip.driver is not None
    true = render(scenes.truth, range(scenes.start, scenes.start + scenes.frames), 128).labels == 2
    stage = Stage.of(clip, driving_poses(clip))
    assert stage is not None
    (thing,) = stage.things
    moved = np.stack([thing.moved(i, mask) for i, mask in enumerate(thing.seen)]) > 128

    def agree(mask: np.ndarray) -> float:
        return float((mask & true).sum() / (mask | true).sum())

    assert agree(moved) > agree(clip.driver.held) + 0.2

    def error(frames: np.ndarray) -> float:
        return float(np.square(frames.astype(float) - clip.truth)[true].mean())

    left = Warp()(replace(clip, driver=replace(clip.driver, held=np.zeros_like(clip.driver.held))))
    assert error(Warp()(clip)) < 0.6 * error(left)


def test_a_thing_that_is_not_seen_changes_nothing() -> None:
    nothing = np.zeros((1, 8, 8), np.uint8)
    ground = np.full((16, 16, 3), 7, np.uint8)
    assert InHand(nothing, nothing, np.zeros((1, 2), np.float32), (8, 8)).over(0, 2 * ground, ground) is ground
