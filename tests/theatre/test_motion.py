"""Motion is a function of time, stays within joint limits, and survives the way through a pose track."""

from dataclasses import fields

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import motion_from_pose, render, sample_dance, sample_scene
from bunraku.theatre.motion import LIMBS, Posture

TIME = np.arange(48) / 12


def directions(track: PoseTrack) -> np.ndarray:
    """Unit vectors (F, 10, 2) of the limbs, the shoulder line and the trunk."""
    xy = track.keypoints[:, 0].astype(float)
    lines = [xy[:, b] - xy[:, a] for a, b in LIMBS] + [xy[:, 5] - xy[:, 2], xy[:, [8, 11]].mean(1) - xy[:, 1]]
    lines = np.stack(lines, 1)
    return lines / np.linalg.norm(lines, axis=-1, keepdims=True)


@pytest.mark.parametrize("seed", range(6))
def test_dances_are_lively_and_bounded(seed):
    dance = sample_dance(np.random.default_rng(seed))
    posture = dance.posture(TIME)
    for field in fields(Posture):
        value = getattr(posture, field.name)
        assert np.isfinite(value).all()
        assert np.abs(np.diff(value, axis=0)).max() < 2.2, f"{field.name} jumps"
    assert np.abs(posture.x).max() <= 0.24
    assert 0 <= posture.jump.min() <= posture.jump.max() <= 0.22
    assert posture.limbs[:, :4].std(0).max() > 0.3, "the arms hardly move"
    assert (posture.stretch > 0.6).all()
    assert 80 <= dance.tempo <= 140


def test_a_dance_does_not_depend_on_the_other_times_asked():
    dance = sample_dance(np.random.default_rng(1))
    np.testing.assert_array_equal(dance.posture(TIME).limbs[[7, 3]], dance.posture(TIME[[7, 3]]).limbs)


@pytest.mark.parametrize("seed", range(4))
def test_motion_from_pose_keeps_bone_directions(seed):
    scene = sample_scene(seed)
    track = render(scene, 40).pose
    other = sample_scene(seed + 50).recast(motion=motion_from_pose(track, scene.fps))
    copied = render(other, 40).pose
    cosine = (directions(track) * directions(copied)).sum(-1)
    assert cosine.min() > 0.999


def test_motion_from_pose_bridges_missing_joints():
    scene = sample_scene(2)
    track = render(scene, 24).pose
    scores = track.scores.copy()
    scores[10:12, 0, 3:5] = 0
    broken = np.where(scores[..., None] > 0, track.keypoints, 0)
    motion = motion_from_pose(PoseTrack(broken, scores, track.size), scene.fps)
    whole = motion_from_pose(track, scene.fps)
    time = np.arange(24) / 12
    apart = np.abs(np.exp(1j * motion.posture(time).limbs) - np.exp(1j * whole.posture(time).limbs)).max(1)
    assert apart[:9].max() < 1e-6
    assert apart.max() < 1.0


def test_recordings_play_back_and_forth():
    track = render(sample_scene(0), 10).pose
    motion = motion_from_pose(track, 12)
    there = motion.posture(np.arange(10) / 12).limbs
    back = motion.posture(np.arange(18, 8, -1) / 12).limbs
    np.testing.assert_allclose(there, back, atol=1e-9)


def test_one_frame_is_a_still():
    motion = motion_from_pose(render(sample_scene(0), 1).pose, 12)
    posture = motion.posture(np.array([0.0, 3.0]))
    np.testing.assert_array_equal(posture.limbs[0], posture.limbs[1])


def test_seen_from_behind_the_face_is_hidden():
    scene = sample_scene(0)
    track = render(scene, 3).pose
    mirrored = track.keypoints.copy()
    mirrored[..., 0] = 128 - mirrored[..., 0]
    motion = motion_from_pose(PoseTrack(mirrored, track.scores, track.size), 12)
    behind = render(scene.recast(motion=motion), 3).pose
    assert (behind.keypoints[:, 0, 2, 0] > behind.keypoints[:, 0, 5, 0]).all()
    assert not behind.scores[:, 0, [0, 14, 15]].any()


def test_tracks_that_make_no_motion_are_refused():
    track = render(sample_scene(0), 2).pose
    two = PoseTrack(np.repeat(track.keypoints, 2, 1), np.repeat(track.scores, 2, 1), track.size)
    with pytest.raises(BunrakuError, match="one person"):
        motion_from_pose(two, 12)
    scores = track.scores.copy()
    scores[..., 8] = 0
    with pytest.raises(BunrakuError, match="hips"):
        motion_from_pose(PoseTrack(track.keypoints, scores, track.size), 12)
