"""Joints that were put right by hand."""

import numpy as np

from bunraku.cues.corrections import Pin, corrected
from bunraku.perception.pose import LEFT_HAND, RIGHT_HAND, PoseTrack


def track(frames: int = 11, people: int = 2, joints: int = 18) -> PoseTrack:
    keypoints = np.random.default_rng(0).uniform(10, 90, (frames, people, joints, 2)).astype(np.float32)
    return PoseTrack(keypoints, np.ones((frames, people, joints), np.float32), (100, 100))


def test_a_pin_moves_its_joint_and_fades_out_around() -> None:
    before = track()
    after = corrected(before, [Pin(5, 1, 4, (50.0, 60.0))], reach=3)
    moved = after.keypoints - before.keypoints
    whole = np.array([50.0, 60.0]) - before.keypoints[5, 1, 4]
    for frame, share in ((5, 1), (4, 0.75), (7, 0.5), (8, 0.25), (9, 0), (1, 0)):
        np.testing.assert_allclose(moved[frame, 1, 4], share * whole, atol=1e-4)
    moved[:, 1, 4] = 0
    assert not moved.any()


def test_pins_hold_whatever_their_neighbours_do() -> None:
    pins = [Pin(4, 0, 3, (1.0, 2.0)), Pin(6, 0, 3, (80.0, 90.0)), Pin(6, 0, 3, (70.0, 20.0))]
    after = corrected(track(), pins, reach=4)
    np.testing.assert_allclose(after.keypoints[4, 0, 3], (1, 2), atol=1e-4)
    np.testing.assert_allclose(after.keypoints[6, 0, 3], (70, 20), atol=1e-4)


def test_pins_far_apart_do_not_move_what_lies_between() -> None:
    before = track(40)
    after = corrected(before, [Pin(5, 0, 3, (1.0, 2.0)), Pin(35, 0, 3, (80.0, 90.0))], reach=3)
    assert np.array_equal(after.keypoints[9:31], before.keypoints[9:31])
    assert not np.array_equal(after.keypoints[6], before.keypoints[6])


def test_a_lost_joint_is_placed_and_goes_from_pin_to_pin() -> None:
    before = track()
    before.scores[:, 0, 7] = 0
    after = corrected(before, [Pin(2, 0, 7, (10.0, 10.0)), Pin(6, 0, 7, (30.0, 50.0))], reach=2)
    np.testing.assert_allclose(after.keypoints[[2, 3, 4, 5, 6], 0, 7, 0], (10, 15, 20, 25, 30), atol=1e-4)
    assert after.scores[:, 0, 7].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_hidden_joints_count_as_not_seen_in_their_frame_alone() -> None:
    after = corrected(track(), [Pin(3, 0, 2, None)], reach=5)
    assert after.scores[:, 0, 2].tolist() == [1, 1, 1, 0] + [1] * 7


def test_hands_go_with_their_wrists() -> None:
    before = track(1, 1, 134)
    after = corrected(before, [Pin(0, 0, 4, (50.0, 60.0))])
    moved = after.keypoints - before.keypoints
    np.testing.assert_allclose(moved[0, 0, RIGHT_HAND], np.repeat(moved[0, 0, 4:5], 21, 0), atol=1e-4)
    assert not moved[0, 0, LEFT_HAND].any()


def test_the_poses_that_came_in_stay_as_they_were() -> None:
    before = track()
    kept = before.keypoints.copy()
    corrected(before, [Pin(5, 1, 4, (50.0, 60.0))], reach=3)
    assert np.array_equal(before.keypoints, kept)
