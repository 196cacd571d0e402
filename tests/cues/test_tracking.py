from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.tracking import bridge, from_behind, hold, join, largest_first, link, lost_ranges
from bunraku.perception.clothes import clothes
from bunraku.perception.pose import FACE, WHOLE_BODY, PoseTrack
from bunraku.theatre.scene import render, sample_scene

SIZE = (480, 640)
BODY = np.random.default_rng(7).normal(0, 1, (18, 2)) * (15, 40)


def crossing(frames=60, noise=1.0, seed=0):
    """Two people who walk through each other, (F, 2, 18, 2): the first from left to right and larger."""
    rng = np.random.default_rng(seed)
    x = np.linspace(100, 540, frames)
    places = np.stack([np.stack([x, np.full(frames, 240)], -1), np.stack([x[::-1], np.full(frames, 250)], -1)], 1)
    bodies = np.stack([BODY * 1.2, BODY[:, ::-1] * (0.4, 2)])
    return places[:, :, None] + bodies + rng.normal(0, noise, (frames, 2, 18, 2))


def detections(points, *, shuffle=0, absent=()):
    rng = np.random.default_rng(shuffle)
    frames = []
    for frame, people in enumerate(points):
        order = [p for p in rng.permutation(len(people)) if (frame, p) not in absent]
        frames.append((people[order].astype(np.float32), np.ones((len(order), 18), np.float32)))
    return frames


def series(values, scores):
    keypoints = np.zeros((len(values), 1, 18, 2), np.float32)
    keypoints[:, 0, :, 0] = np.asarray(values)[:, None]
    return PoseTrack(keypoints, np.repeat(np.asarray(scores, np.float32)[:, None, None], 18, axis=2), SIZE)


@pytest.mark.parametrize("seed", range(5))
def test_people_who_cross_keep_their_identity(seed):
    points = crossing(seed=seed)
    track = link(detections(points, shuffle=seed), SIZE)
    assert track.keypoints.shape == (60, 2, 18, 2)
    np.testing.assert_allclose(track.keypoints, points, atol=1e-3)


def test_someone_who_comes_back_is_the_same_person():
    points = crossing()[:, ::-1]
    absent = {(frame, 1) for frame in range(20, 28)}
    track = link(detections(points, absent=absent), SIZE)
    assert track.people == 2
    expected = np.ones(60)
    expected[20:28] = 0
    np.testing.assert_array_equal(track.scores[:, 0, 0], expected)
    np.testing.assert_allclose(track.keypoints[28:, 0], points[28:, 1], atol=1e-3)


def test_someone_who_is_gone_too_long_is_a_new_person():
    points = crossing()[:, :1]
    absent = {(frame, 0) for frame in range(20, 28)}
    assert link(detections(points, absent=absent), SIZE, max_lost=8).people == 1
    assert link(detections(points, absent=absent), SIZE, max_lost=7).people == 2


def test_largest_person_comes_first_and_flashes_are_dropped():
    points = crossing()
    frames = detections(points[:, ::-1])
    ghost = (np.concatenate([frames[5][0], frames[5][0][:1] + 200]), np.ones((3, 18), np.float32))
    track = link([*frames[:5], ghost, *frames[6:]], SIZE)
    assert track.people == 2
    sizes = np.linalg.norm(np.ptp(track.keypoints, axis=2), axis=-1).mean(0)
    assert sizes[0] > sizes[1]
    assert link(frames, SIZE, max_people=1).people == 1


def test_one_frame_and_no_frames_and_nobody():
    assert link(detections(crossing()[:1]), SIZE).keypoints.shape == (1, 2, 18, 2)
    assert link([], SIZE).keypoints.shape == (0, 0, 18, 2)
    nobody = (np.zeros((0, 134, 2), np.float32), np.zeros((0, 134), np.float32))
    assert link([nobody] * 4, SIZE).keypoints.shape == (4, 0, 134, 2)


def test_bridge_fills_short_gaps_and_leaves_long_ones():
    track = series([0, 99, 2, 3, 99, 99, 99, 7, 99], [0.9, 0, 0.8, 1, 0, 0, 0, 1, 0])
    result = bridge(track, 2)
    np.testing.assert_allclose(result.keypoints[:, 0, 3, 0], [0, 1, 2, 3, 99, 99, 99, 7, 99])
    np.testing.assert_allclose(result.scores[:, 0, 3], [0.9, 0.8, 0.8, 1, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(bridge(track, 3).keypoints[:, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7, 99])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 30))
def test_bridge_is_exact_on_straight_lines_and_never_touches_seen_joints(seed, max_gap, frames):
    rng = np.random.default_rng(seed)
    scores = (rng.random((frames, 2, 18)) * (rng.random((frames, 2, 18)) > 0.4)).astype(np.float32)
    line = (rng.normal(0, 50, (1, 2, 18, 2)) + np.arange(frames)[:, None, None, None] * 3).astype(np.float32)
    broken = np.where(scores[..., None] >= 0.3, line, np.nan).astype(np.float32)
    result = bridge(PoseTrack(broken, scores, SIZE), max_gap)
    known = result.scores >= 0.3
    np.testing.assert_allclose(result.keypoints[known], line[known], atol=1e-3)
    for person, joint in np.ndindex(2, 18):
        seen = np.flatnonzero(scores[:, person, joint] >= 0.3)
        inside = {f for a, b in pairwise(seen) if b - a - 1 <= max_gap for f in range(a, b)}
        assert set(np.flatnonzero(known[:, person, joint])) == inside | set(seen)


def test_lost_ranges_and_hold():
    track = series([0, 1, 2, 3, 4, 5], [0, 1, 0, 0, 1, 0])
    assert lost_ranges(track, 0) == [(0, 1), (2, 4), (5, 6)]
    assert lost_ranges(series([0, 1], [1, 1]), 0) == []
    held = hold(track)
    np.testing.assert_array_equal(held.keypoints[:, 0, 0, 0], [1, 1, 1, 1, 4, 4])
    assert lost_ranges(held, 0) == []
    never = hold(series([0, 1], [0, 0]))
    assert lost_ranges(never, 0) == [(0, 2)]


def test_joining_keeps_every_pose_and_takes_nobody_twice():
    """Two who cross, cut into pieces with identities of their own."""
    points = crossing(noise=0)
    keypoints, scores = np.zeros((60, 6, 18, 2), np.float32), np.zeros((60, 6, 18), np.float32)
    for piece, frames in enumerate((slice(0, 20), slice(20, 35), slice(40, 60))):
        for p in range(2):
            keypoints[frames, 2 * piece + p], scores[frames, 2 * piece + p] = points[frames, p], 1
    track = join(PoseTrack(keypoints, scores, SIZE))
    assert track.people == 2
    seen = np.delete(np.arange(60), range(35, 40))
    np.testing.assert_array_equal(track.keypoints[seen], points[seen].astype(np.float32))
    assert not track.scores[35:40].any()


def test_people_are_ordered_by_their_mean_size_while_seen():
    points = crossing(noise=0).astype(np.float32)
    scores = np.ones((60, 2, 18), np.float32)
    scores[:50, 1] = 0
    points[50:, 1] = points[50:, 1].mean(1, keepdims=True) + 3 * (
        points[50:, 1] - points[50:, 1].mean(1, keepdims=True)
    )
    track = largest_first(PoseTrack(points, scores, SIZE))
    np.testing.assert_array_equal(track.keypoints, points[:, ::-1])
    np.testing.assert_array_equal(track.scores, scores[:, ::-1])


def whole_body(turns, faces, roll=0.0):
    """One person over frames: the width of shoulders and hips, as shares of the trunk (negative from behind), and a face or none."""
    keypoints = np.zeros((len(turns), 1, WHOLE_BODY, 2), np.float32)
    scores = np.ones((len(turns), 1, WHOLE_BODY), np.float32)
    for frame, turn in enumerate(turns):
        width = 50 * turn
        for joint, place in {
            1: (0, -100),
            2: (-width, -100),
            5: (width, -100),
            8: (-width / 2, 0),
            11: (width / 2, 0),
        }.items():
            keypoints[frame, 0, joint] = place
    scores[:, 0, FACE] = np.array(faces)[:, None]
    angle = np.radians(roll)
    turned = keypoints @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    return PoseTrack(turned + np.float32(240), scores, SIZE)


@pytest.mark.parametrize("roll", [0, 70, 180])
def test_backs_are_told_from_fronts_and_profiles(roll):
    turns = [0.6, 0.6, -0.6, -0.6, 0.05, -0.05, 0.6]
    behind = from_behind(whole_body(turns, [1, 0, 0, 0, 0, 0, 1], roll))[:, 0]
    assert behind.tolist() == [False, False, True, True, False, False, False]
    assert not from_behind(whole_body(turns, [1] * 7, roll)).any(), "whoever looks over the shoulder has a face"


def test_left_and_right_may_be_exchanged_in_a_back():
    behind = from_behind(whole_body([0.6, -0.6, -0.6, 0.5, -0.6, -0.6, 0.6], [1, 0, 0, 0, 0, 0, 1]))[:, 0]
    assert behind.tolist() == [False, *[True] * 5, False]


def uniforms(*people):
    """Clothes (P, 2, 4) of one colour each."""
    return np.eye(4, dtype=np.float32)[np.array(people, int)][:, None].repeat(2, axis=1)


def test_clothes_bring_somebody_back_after_any_time_and_at_any_place():
    points = crossing()[:, :1]
    points[40:] += (0, -80)  # and comes back elsewhere
    absent = {(frame, 0) for frame in range(10, 40)}
    frames = detections(points, absent=absent)
    dressed = [uniforms(*[2] * len(keypoints)) for keypoints, _ in frames]
    assert link(frames, SIZE, max_lost=5).people == 2
    assert link(frames, SIZE, max_lost=5, clothes=dressed).people == 1
    changed = [uniforms(*[2 if i < 20 else 3] * len(frames[i][0])) for i in range(60)]
    assert link(frames, SIZE, max_lost=5, clothes=changed).people == 2


def test_after_a_cut_clothes_say_who_is_who_and_motion_does_not():
    points = crossing()[:8]
    points[4:] = points[4:, ::-1]  # they have changed places
    frames = detections(points, shuffle=3)
    order = [int(abs(f[0][0] - p[1]).max() < 1e-3) for f, p in zip(frames, points)]  # who comes first
    dressed = [uniforms(*((1, 0) if first else (0, 1))) for first in order]
    track = link(frames, SIZE, clothes=dressed, cuts=[4])
    np.testing.assert_allclose(track.keypoints[:4], points[:4], atol=1e-3)
    np.testing.assert_allclose(track.keypoints[4:], points[4:], atol=1e-3)
    assert link(frames, SIZE, cuts=[4], min_frames=1).people == 4


def test_gaps_are_not_bridged_over_a_cut():
    track = series([10, 0, 20, 0, 30], [1, 0, 1, 0, 1])
    bridged = bridge(track, 3, cuts=[2])
    np.testing.assert_array_equal(bridged.scores[:, 0, 0], [1, 0, 1, 1, 1])


def theatre_crowd(seed, frames=48):
    """Noisy detections of people of the theatre who cross and hide each other, shuffled, one in ten missing; who each is."""
    people = 2 + seed % 2
    scene = render(sample_scene(seed, "test", people=people, frames=frames), frames, 96)
    rng = np.random.default_rng(seed)
    found, colours, truth = [], [], []
    for frame in range(frames):
        pose, numbers = scene.pose[frame : frame + 1], []
        seen = (pose.scores[0] >= 0.3) & ~scene.occluded[frame].astype(bool)
        numbers = [p for p in rng.permutation(people) if seen[p].sum() >= 6 and rng.random() > 0.1]
        noise = rng.normal(0, 0.02 * 60, (len(numbers), *pose.keypoints.shape[2:]))
        keypoints = (pose.keypoints[0, numbers] + noise).astype(np.float32)
        found.append((keypoints, np.where(seen[numbers], 0.9, 0.1).astype(np.float32)))
        colours.append(clothes(scene.frames[frame], *found[-1]))
        truth.append(numbers)
    return found, colours, truth


def switches(track, found, truth):
    """How often somebody is suddenly another identity."""
    last, count = {}, 0
    for frame, ((keypoints, _), numbers) in enumerate(zip(found, truth)):
        for points, person in zip(keypoints, numbers):
            same = [i for i in range(track.people) if np.array_equal(track.keypoints[frame, i], points)]
            count += bool(same) and last.get(person, same[0]) != same[0]
            last[person] = same[0] if same else last.get(person)
    return count


def test_crowds_of_the_theatre_keep_their_identities():
    without = with_clothes = 0
    for seed in range(12):
        found, colours, truth = theatre_crowd(seed)
        without += switches(link(found, (96, 96)), found, truth)
        with_clothes += switches(link(found, (96, 96), clothes=colours), found, truth)
    assert with_clothes == 0
    assert without >= 6  # so they are hard enough
