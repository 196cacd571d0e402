"""A body's measures against the theatre's own, and rigid moves against moves that are known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.perception.pose import PoseTrack
from bunraku.puppet_warp.body import FACE, TRUNK, Body, Movement, leg_point, rigid, with_trunk
from bunraku.theatre import Character, Rendering, Scene, render, sample_scene

numbers = st.floats(-100, 100)


@cache
def scene(seed: int) -> tuple[Scene, Rendering]:
    scene = sample_scene(seed, "val")
    return scene, render(scene, 1, 256)


def measured(seed: int) -> tuple[Character, float, Body]:
    """Character, pixels per body height, and what is measured."""
    actors, shown = scene(seed)
    actor = actors.actors[0]
    return actor.character, actor.placement.height * 256, Body.of(shown.pose, shown.character_mask[0], (0, 0), 0)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(-np.pi, np.pi), numbers, numbers, st.floats(0.1, 5), st.booleans())
def test_a_rigid_move_is_found_again(seed: int, angle: float, x: float, y: float, scale: float, mirrored: bool) -> None:
    rng = np.random.default_rng(seed)
    start = rng.normal(0, 20, (4, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    end = start * (1, -1 if mirrored else 1) @ turn.T + (x, y)
    move = rigid(start, end, rng.uniform(0.1, 1, 4), scale, mirrored)
    assert np.allclose(move(start), end, atol=1e-6)


def test_points_in_one_place_are_only_shifted() -> None:
    move = rigid(np.zeros((3, 2)), np.full((3, 2), 5.0), np.ones(3), 2)
    assert np.allclose(move(np.array([[1.0, 0]])), [[7, 5]])


def test_limbs_are_about_as_thick_as_they_were_drawn() -> None:
    ratios = []
    for seed in range(10):
        character, pixels, body = measured(seed)
        drawn = character.body.arm_radius + character.look.outline_width
        ratios.append(body.radii[0, 1] / (drawn * pixels))
    assert 0.85 < np.median(ratios) < 1.3


@pytest.mark.parametrize("seed", range(6))
def test_shins_beyond_the_picture_make_no_thin_legs(seed: int) -> None:
    """Detectors guess joints where there is no picture any more."""
    _, shown = scene(seed)
    whole = Body.of(shown.pose, shown.character_mask[0], (0, 0), 0)
    cut = int(whole.joints[[9, 12], 1].min()) + 4  # just below the higher knee
    half = Body.of(
        PoseTrack(shown.pose.keypoints, shown.pose.scores, (cut, 256)), shown.character_mask[0][:cut], (0, 0), 0
    )
    assert half.radii.keys() == whole.radii.keys()
    for leg in (2, 3):
        assert half.radii[leg, 1] > 0.6 * whole.radii[leg, 1]


def test_skirts_are_told_from_trousers() -> None:
    right = []
    for seed in range(24):
        character, _, body = measured(seed)
        right.append((body.hem > 0) == (character.look.garment in ("dress", "skirt", "coat")))
    assert np.mean(right) > 0.8


def test_the_head_is_where_it_was_drawn() -> None:
    for seed in range(6):
        character, pixels, body = measured(seed)
        ears = scene(seed)[1].pose.keypoints[0, 0, [16, 17]].mean(0)
        assert np.linalg.norm(body.head - ears) < 1e-3
        assert 0.6 < body.head_radius / (character.body.head / 2 * pixels) < 1.6


def test_a_small_head_on_a_long_neck_is_no_large_head() -> None:
    _, _, body = measured(0)
    _, shown = scene(0)
    pose, mask = shown.pose, shown.character_mask[0]
    joints = pose.keypoints.copy()
    joints[..., [0, 14, 15, 16, 17], :] = joints[..., [0], :]
    joints[..., 1:14, 1] += 4 * body.head_radius  # as far down as if the neck were twice as long as the head is high
    long = Body.of(PoseTrack(joints, pose.scores, pose.size), mask, (0, 0), 0)
    crown = float(np.max(long.head[1] - np.flatnonzero(mask.any(1)).min()))
    assert 0.8 * np.linalg.norm(long.head - long.joints[1]) > 1.2 * crown
    assert long.head_radius <= crown + 1


def test_guessed_shoulders_and_hips_make_an_upright_trunk() -> None:
    points = scene(0)[1].pose.keypoints[0, 0].astype(np.float64)
    for lost in ([2], [5], [8], [11], [8, 11], [2, 5], [2, 5, 8, 11], [2, 5, 8, 11, *FACE]):
        seen = np.ones(18, bool)
        seen[lost] = False
        whole = with_trunk(np.where(seen[:, None], points, 0), seen)
        assert np.array_equal(whole[seen], points[seen])
        shoulders, hips, down = whole[5] - whole[2], whole[11] - whole[8], whole[[8, 11]].mean(0) - whole[1]
        assert shoulders[0] > 0, lost
        assert hips[0] > 0, lost
        assert down[1] > abs(down[0]), lost


@settings(max_examples=30)
@given(st.floats(0.2, 4), st.integers(0, 5), st.integers(0, 2**18 - 1))
def test_scale_and_lost_joints(scale: float, seed: int, lost: int) -> None:
    """A body that only grew: its scale is measured on what is seen, and what is not is where it belongs."""
    _, _, body = measured(seed)
    shown = scene(seed)[1].pose
    scores = shown.scores.copy()
    scores[0, 0, [joint for joint in range(18) if lost >> joint & 1]] = 0
    track = PoseTrack(shown.keypoints * np.float32(scale), scores, shown.size)
    bones = (
        (1, 8),
        (1, 11),
        (1, 2),
        (1, 5),
        (1, 0),
        (2, 3),
        (3, 4),
        (5, 6),
        (6, 7),
        (8, 9),
        (9, 10),
        (11, 12),
        (12, 13),
    )
    if (scores[0, 0, TRUNK] > 0).sum() < 2 or not any(scores[0, 0, list(bone)].all() for bone in bones):
        return
    movement = Movement.of(track, body, 0)
    assert movement.scale == pytest.approx(scale, rel=1e-3)
    known = body.seen
    assert np.allclose(movement.joints[0, known], shown.keypoints[0, 0, known] * scale, atol=0.02 * scale)


def test_frames_without_a_trunk_take_the_nearest_that_has_one() -> None:
    _, _, body = measured(0)
    shown = render(scene(0)[0], 6, 256).pose
    scores = shown.scores.copy()
    scores[[0, 2, 3, 5]] = 0
    movement = Movement.of(replace(shown, scores=scores), body, 0)
    assert np.allclose(movement.joints[[0, 2]], movement.joints[1])
    assert np.allclose(movement.joints[[3, 5]], movement.joints[4])
    assert not np.allclose(movement.joints[1], movement.joints[4])
    assert movement.seen[[0, 5]].any()


def test_levels_of_a_leg() -> None:
    joints = np.arange(36, dtype=float).reshape(18, 2)
    for level, expected in ((0, joints[11]), (0.5, (joints[11] + joints[12]) / 2), (1, joints[12]), (2, joints[13])):
        assert np.allclose(leg_point(joints, 1, level), expected)
