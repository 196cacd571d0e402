"""Plausible poses: faults put into theatre dances are found, what is sound stays as it is, and stills are doubted in words."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bunraku.cues.plausible import WORDS, doubts, judge
from bunraku.cues.retarget import MIRROR
from bunraku.perception.pose import BODY, FACE, LEFT_HAND, RIGHT_HAND, WHOLE_BODY, PoseTrack
from bunraku.theatre.scene import render, sample_scene

DANCES, FRAMES = 8, 48


@cache
def dance(seed):
    return render(sample_scene(seed, "test", frames=FRAMES), FRAMES, (32, 32)).pose.scaled((256, 256))


def trunk(pose, frame):
    points = pose.keypoints[frame, 0]
    return float(np.linalg.norm(points[1] - points[[8, 11]].mean(0)))


def exchange(keypoints, rng, at):
    keypoints[at, :, BODY] = keypoints[at][:, :, MIRROR]


def exchange_legs(keypoints, rng, at):
    keypoints[at, :, 8:14] = keypoints[at][:, :, [11, 12, 13, 8, 9, 10]]


def turn_over(keypoints, rng, at):
    middle = keypoints[at].mean(2, keepdims=True)
    keypoints[at] = 2 * middle - keypoints[at]


def throw_a_joint(keypoints, rng, at):
    joint, angle = rng.choice([3, 4, 6, 7, 9, 10, 12, 13]), rng.uniform(0, 2 * np.pi)
    length = np.linalg.norm(keypoints[at, 0, 1] - keypoints[at, 0, [8, 11]].mean(0), axis=-1).mean()
    keypoints[at, 0, joint] += 1.2 * length * np.array([np.cos(angle), np.sin(angle)])


def arm_on_arm(keypoints, rng, at):
    keypoints[at, 0, 6:8] = keypoints[at, 0, 3:5] + 0.5


def test_sound_dances_are_left_alone():
    for seed in range(DANCES):
        judged = judge(dance(seed))
        assert not any(where.any() for where in judged.faults.values())
        np.testing.assert_array_equal(judged.track.keypoints, dance(seed).keypoints)
        np.testing.assert_array_equal(judged.track.scores, dance(seed).scores)


@pytest.mark.parametrize(
    ("fault", "frames", "kinds"),
    [
        (exchange, 1, {"exchanged"}),
        (exchange, 4, {"exchanged"}),
        (exchange_legs, 1, {"exchanged"}),
        (turn_over, 1, {"inverted"}),
        (turn_over, 20, {"inverted"}),
        (throw_a_joint, 1, {"stretched", "jumped"}),
        (arm_on_arm, 3, {"doubled"}),
    ],
)
def test_faults_are_found_and_put_right_or_called_unsure(fault, frames, kinds):
    """All frames with a fault are found, and of those without one at most 1 in 100 is called faulty."""
    rng, false_alarms = np.random.default_rng(0), 0
    for seed in range(DANCES):
        sound, start = dance(seed), int(rng.integers(5, 23))
        keypoints, at = sound.keypoints.copy(), slice(start, start + frames)
        fault(keypoints, rng, at)
        judged = judge(replace(sound, keypoints=keypoints))
        found = np.any([judged.faults[kind] for kind in kinds], 0)[:, 0]
        assert found[at].all()
        false_alarms += int(np.any(list(judged.faults.values()), 0).sum()) - frames
        off = np.linalg.norm(judged.track.keypoints - sound.keypoints, axis=-1)[at, 0]
        trusted = (judged.track.scores[at, 0] > 0.3) & (sound.scores[at, 0] > 0.3)
        assert not (off[trusted] > 0.2 * trunk(sound, start)).any()
    assert false_alarms <= 0.01 * DANCES * FRAMES


def test_whoever_turns_for_good_is_not_turned_back():
    pose = dance(1)
    keypoints = pose.keypoints.copy()
    keypoints[20:, :, BODY] = keypoints[20:][:, :, MIRROR]
    judged = judge(replace(pose, keypoints=keypoints))
    np.testing.assert_array_equal(judged.track.keypoints, keypoints)


def test_a_handstand_that_is_walked_into_is_one():
    """A cartwheel: the body turns by 20 degrees a frame."""
    pose, body = dance(0)[:1], []
    middle = pose.keypoints[0, 0].mean(0)
    for angle in np.radians(20 * np.arange(18)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        body.append((pose.keypoints[0, 0] - middle) @ turn.T + middle)
    track = PoseTrack(np.stack(body)[:, None].astype(np.float32), np.ones((18, 1, 18), np.float32), pose.size)
    assert not judge(track).faults["inverted"].any()


def test_hands_go_along_with_exchanged_arms():
    pose = dance(2)
    keypoints = np.zeros((FRAMES, 1, WHOLE_BODY, 2), np.float32)
    keypoints[:, :, BODY] = pose.keypoints[:, :, BODY]
    keypoints[:, :, LEFT_HAND], keypoints[:, :, RIGHT_HAND] = keypoints[:, :, [7]], keypoints[:, :, [4]]
    scores = np.ones((FRAMES, 1, WHOLE_BODY), np.float32)
    scores[:, :, FACE] = 0
    damaged = keypoints.copy()
    exchange(damaged, None, slice(9, 10))
    damaged[9, :, LEFT_HAND], damaged[9, :, RIGHT_HAND] = keypoints[9, :, RIGHT_HAND], keypoints[9, :, LEFT_HAND]
    judged = judge(PoseTrack(damaged, scores, pose.size))
    np.testing.assert_array_equal(judged.track.keypoints[:, :, LEFT_HAND], keypoints[:, :, LEFT_HAND])


def test_nobody_and_unseen_people_are_no_error():
    empty = PoseTrack(np.zeros((4, 0, 18, 2), np.float32), np.zeros((4, 0, 18), np.float32), (64, 64))
    assert judge(empty).track.people == 0
    unseen = PoseTrack(np.full((4, 1, 18, 2), np.nan, np.float32), np.zeros((4, 1, 18), np.float32), (64, 64))
    assert not any(where.any() for where in judge(unseen).faults.values())
    assert set(judge(unseen).faults) == set(WORDS)


def still(changes=(), turn=False):
    """A standing figure with arms at its sides; some joints elsewhere."""
    points = np.zeros((18, 2), np.float32)
    points[[0, 14, 15, 16, 17]] = (100, 30), (96, 26), (104, 26), (90, 28), (110, 28)
    points[[1, 2, 5, 8, 11]] = (100, 50), (82, 50), (118, 50), (90, 100), (110, 100)
    points[[3, 4, 6, 7]] = (76, 78), (74, 104), (124, 78), (126, 104)
    points[[9, 10, 12, 13]] = (90, 145), (90, 190), (110, 145), (110, 190)
    for joint, place in dict(changes).items():
        points[joint] = place
    if turn:
        points = np.array([200, 220], np.float32) - points
    return PoseTrack(points[None, None], np.ones((1, 1, 18), np.float32), (220, 200))


@pytest.mark.parametrize(
    ("pose", "words"),
    [
        (still(), None),
        (still({3: (60, 40), 4: (84, 12), 6: (140, 40), 7: (116, 12)}), None),  # hands on the head
        (still({6: (122, 22), 7: (124, 2)}), None),  # an arm stretched up
        (still(turn=True), "the body is upside down"),
        (still({0: (100, 70)}), "the head is below the shoulders"),
        (still({6: (114, 34), 7: (116, 22)}), "the left arm lies wholly beside the head"),
        (still({12: (90, 146), 13: (90, 191)}), "the left leg lies on another limb"),
        (still({10: (90, 290)}), "longer than any body's"),
    ],
)
def test_a_still_is_doubted_in_words(pose, words):
    found = doubts(pose)
    assert len(found) == (0 if words is None else 1), found
    assert words is None or words in found[0]


def test_a_face_upside_down_is_doubted():
    pose = still()
    keypoints = np.zeros((1, 1, WHOLE_BODY, 2), np.float32)
    keypoints[:, :, BODY], keypoints[:, :, FACE] = pose.keypoints, (100, 30)
    scores = np.ones((1, 1, WHOLE_BODY), np.float32)
    for chin, doubtful in ((40, False), (20, True)):
        keypoints[0, 0, FACE.start + 8] = (100, chin)
        assert bool(doubts(PoseTrack(keypoints, scores, pose.size))) == doubtful


def test_a_back_that_was_taken_for_a_front_is_put_right_however_long():
    """Somebody turns between two frames; in ten frames of the back the detector sees a front."""
    pose = dance(1)
    keypoints = pose.keypoints.copy()
    keypoints[20:, :, BODY] = keypoints[20:][:, :, MIRROR]
    behind = np.arange(FRAMES)[:, None] >= 20
    taken = keypoints.copy()
    taken[28:38, :, BODY] = taken[28:38][:, :, MIRROR]
    judged = judge(replace(pose, keypoints=taken), behind=behind)
    np.testing.assert_array_equal(judged.track.keypoints, keypoints)
    assert np.flatnonzero(judged.faults["exchanged"][:, 0]).tolist() == list(range(28, 38))


def test_whoever_shows_the_back_for_a_moment_is_not_turned_back():
    pose = dance(1)
    keypoints = pose.keypoints.copy()
    keypoints[20:24, :, BODY] = keypoints[20:24][:, :, MIRROR]
    behind = np.isin(np.arange(FRAMES), range(20, 24))[:, None]
    np.testing.assert_array_equal(judge(replace(pose, keypoints=keypoints), behind=behind).track.keypoints, keypoints)
