"""PoseRefiner: what it leaves alone, what it may do, and that clips of any length come back whole."""

import numpy as np
import pytest
import torch

from bunraku.cues.pose_refiner import PoseRefiner, motion_of, shots, stretched, windows
from bunraku.cues.retarget import ANKLES, HIPS, OUTWARDS, TREE
from bunraku.perception.pose import WHOLE_BODY, PoseTrack
from bunraku.theatre import sample_scene
from bunraku.theatre.scene import poses


@pytest.fixture
def dance() -> PoseTrack:
    return poses(sample_scene(3), np.arange(70) / 12, (256, 256))


@pytest.fixture
def fresh() -> PoseRefiner:
    torch.manual_seed(0)
    return PoseRefiner(32, 2, 4, 24).eval()


def test_a_fresh_network_moves_nothing(fresh, dance):
    refined = fresh.refine(dance, dance[:1])
    assert np.abs(refined.keypoints - dance.keypoints)[dance.scores > 0].max() < 1e-3
    assert (refined.scores >= dance.scores).all()
    assert refined.size == dance.size


def test_what_is_lost_for_a_while_lies_between_the_frames_around(fresh, dance):
    scores = dance.scores.copy()
    scores[10:14, 0, 4] = 0
    with torch.no_grad():
        fresh.out.bias[-18:] = 5.0  # everything can be seen
    refined = fresh.refine(
        PoseTrack(np.where(scores[..., None] > 0, dance.keypoints, 0), scores, dance.size), dance[:1]
    )
    assert (refined.scores[10:14, 0, 4] > 0.9).all()
    before, after = dance.keypoints[9, 0, 4], dance.keypoints[14, 0, 4]
    for step, frame in enumerate(range(10, 14), 1):
        assert refined.keypoints[frame, 0, 4] == pytest.approx(before + (after - before) * step / 5, abs=1e-2)


def test_who_is_not_seen_stays_unseen(fresh, dance):
    scores = dance.scores.copy()
    scores[:, 0, 7] = 0  # a wrist that is nowhere seen
    with torch.no_grad():
        fresh.out.bias[-18:] = 5.0
    assert (fresh.refine(PoseTrack(dance.keypoints, scores, dance.size), dance[:1]).scores[:, 0, 7] == 0).all()
    nobody = PoseTrack(dance.keypoints, np.zeros_like(dance.scores), dance.size)
    assert (fresh.refine(nobody, dance[:1]).scores == 0).all()


def test_hands_go_with_the_wrist(fresh, dance):
    with torch.no_grad():
        fresh.out.bias[2 * 7] = 0.05  # the left wrist lies a twentieth of a height to the right
    whole = np.zeros((len(dance), 1, WHOLE_BODY, 2), np.float32)
    whole[:, :, :18] = dance.keypoints
    whole[:, :, 92:113] = dance.keypoints[:, :, [7]] + 3
    refined = fresh.refine(PoseTrack(whole, np.ones(whole.shape[:3], np.float32), dance.size), dance[:1])
    moved = refined.keypoints - whole
    assert moved[:, 0, 7, 0].min() > 2
    assert np.allclose(moved[:, 0, 92:113], moved[:, :1, 7], atol=1e-3)
    assert np.abs(moved[:, 0, [4, 0, 10]]).max() < 1e-3


def test_longer_bones_keep_directions_ground_and_place():
    track = poses(sample_scene(5), np.arange(6) / 12, (256, 256))
    points = torch.from_numpy(track.keypoints[:, 0])[None]
    ratios = torch.ones(1, 18)
    ratios[0, [3, 9, 12]] = torch.tensor([1.5, 0.8, 0.8])
    longer = stretched(points, ratios, torch.ones(1, 18, dtype=torch.bool))
    for joint in OUTWARDS:
        ways = [at[0, :, joint] - at[0, :, TREE[joint]] for at in (points, longer)]
        assert torch.allclose(ways[1], ratios[0, joint] * ways[0], atol=1e-3), joint
    for at in (points, longer):
        assert torch.allclose(at[..., HIPS, 0].mean(-1), points[..., HIPS, 0].mean(-1), atol=1e-3)
        assert torch.allclose(at[..., ANKLES, 1].amax(-1), points[..., ANKLES, 1].amax(-1), atol=1e-3)


@pytest.mark.parametrize("length", [1, 5, 24, 25, 60, 61])
def test_windows_cover_a_clip_of_any_length(length):
    covered = np.zeros(length, int)
    for part in windows(length, 24):
        covered[part] += 1
        assert part.stop - part.start <= 24
    assert (covered > 0).all()


def test_what_it_sees_depends_neither_on_place_nor_on_size(dance):
    seen = motion_of(dance, dance[:1])
    moved = PoseTrack(2 * dance.keypoints + 40, dance.scores, (600, 600))
    again = motion_of(moved, moved[:1])
    assert np.allclose(seen.points, again.points, atol=1e-4)
    assert np.allclose(seen.body, again.body, atol=1e-4)


def test_half_precision_loses_nothing(fresh, dance):
    exact = fresh.refine(dance, dance[:1]).keypoints
    assert np.abs(fresh.half().refine(dance, dance[:1]).keypoints - exact).max() < 1e-2


def test_shots_are_mended_one_by_one(fresh, dance):
    cut = dance.keypoints.copy()
    cut[30:] += 90
    scores = dance.scores.copy()
    scores[28:32, 0, 4] = 0
    track = PoseTrack(cut, scores, (400, 400))
    assert shots(track) == [slice(0, 30), slice(30, 70)]
    assert shots(dance) == [slice(0, 70)]
    assert shots(PoseTrack(cut, np.zeros_like(scores), (400, 400))) == [slice(0, 70)]
    refined = fresh.refine(track, dance[:1]).keypoints[:, 0, 4]
    assert np.abs(refined[28:30] - cut[27, 0, 4]).max() < 1e-2  # not on the way to the next shot
    assert np.abs(refined[30:32] - cut[32, 0, 4]).max() < 1e-2


def test_what_is_lost_for_long_stays_lost(fresh, dance):
    scores = dance.scores.copy()
    scores[20:60] = 0
    with torch.no_grad():
        fresh.out.bias[-18:] = 5.0
    seen = fresh.refine(PoseTrack(dance.keypoints, scores, dance.size), dance[:1]).scores[:, 0, 1] > 0
    assert seen[:28].all()
    assert not seen[28:52].any()
    assert seen[52:].all()


def test_who_stays_where_he_is_stays_exactly(fresh, dance):
    with torch.no_grad():
        fresh.out.bias[:36] = 0.1
    resting = dance[:1].repeated(9)
    assert np.array_equal(fresh.refine(resting, dance[:1]).keypoints, resting.keypoints)
    assert not np.array_equal(fresh.refine(dance, dance[:1]).keypoints, dance.keypoints)
