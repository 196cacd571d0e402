"""Where a moved figure goes in the picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.framing import framed, own_motion
from bunraku.cues.retarget import retarget_people
from bunraku.perception.pose import PoseTrack
from bunraku.theatre.scene import render, sample_scene

SIZE = (220, 200)
STANDING = np.zeros((18, 2), np.float32)
STANDING[[0, 14, 15, 16, 17]] = (100, 30), (96, 26), (104, 26), (90, 28), (110, 28)
STANDING[[1, 2, 5, 8, 11]] = (100, 50), (82, 50), (118, 50), (90, 100), (110, 100)
STANDING[[3, 4, 6, 7]] = (76, 78), (74, 104), (124, 78), (126, 104)
STANDING[[9, 10, 12, 13]] = (90, 145), (90, 190), (110, 145), (110, 190)
LEGS, ARMS, FEET, HEAD = [9, 10, 12, 13], [3, 4, 6, 7], [10, 13], [0, 14, 15, 16, 17]


def still(size=SIZE, **_):
    return PoseTrack(STANDING[None, None].copy(), np.ones((1, 1, 18), np.float32), size)


def walk(way, *, bend=0.0):
    """The standing figure moved along a way (F, 2); its right arm bends so that it is never the still's pose."""
    points = np.repeat(STANDING[None, None], len(way), 0) + np.asarray(way, np.float32)[:, None, None]
    points[:, 0, [3, 4]] += (0, bend)
    return PoseTrack(points, np.ones((len(way), 1, 18), np.float32), SIZE)


def unseen(track, joints):
    scores = track.scores.copy()
    scores[:, :, joints] = 0
    return PoseTrack(track.keypoints, scores, track.size)


@pytest.mark.parametrize("method", ["grounded", "full", "align", "fit"])
def test_who_drives_themself_stands_where_the_still_stands_to_the_pixel(method):
    for seed in range(4):
        pose = render(sample_scene(seed, "test", frames=24), 24, (32, 32)).pose
        reference = pose[7:8].scaled((300, 300))
        moved = own_motion(pose, reference)
        assert moved is not None
        np.testing.assert_allclose(moved.keypoints, pose.scaled((300, 300)).keypoints, atol=0.01)
        retargeted = retarget_people(pose, reference, method)  # which alone does not
        assert np.abs(retargeted.keypoints[7] - reference.keypoints[0])[reference.scores[0] > 0].max() > 0.5


def test_another_figure_does_not_drive_itself():
    dances = [render(sample_scene(seed, "test", frames=24), 24, (32, 32)).pose for seed in range(6)]
    for i, one in enumerate(dances):
        assert own_motion(one, dances[i - 1][5:6]) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-400, 400), st.floats(-300, 300)), min_size=1, max_size=8),
)
def test_head_and_feet_stay_in_the_picture_and_the_figure_keeps_its_size(way):
    driver = walk(way, bend=20)
    track, said = framed(driver, driver, still())
    kept = track.keypoints[:, 0, [*HEAD, *FEET]]
    assert (kept > -0.01).all()
    assert (kept < np.array(SIZE[::-1]) + 0.01).all()
    np.testing.assert_allclose(
        track.keypoints - track.keypoints[:, :, [1]], driver.keypoints - driver.keypoints[:, :, [1]], atol=1e-3
    )
    if not said:  # less than a pixel is not worth a word
        np.testing.assert_allclose(track.keypoints, driver.keypoints, atol=1)


def test_a_way_with_room_is_only_shifted_and_one_without_is_shortened():
    track, said = framed(driver := walk([(0, 0), (0, 36)], bend=20), driver, still())
    np.testing.assert_allclose(track.keypoints, driver.keypoints - (0, 6), atol=1e-3)
    assert said == ["the figure is moved by +0, -6 pixels of the still, so that head and feet stay in it"]
    track, said = framed(driver := walk([(-300, 0), (300, 0)], bend=20), driver, still())
    assert any("shortened" in words for words in said)
    way = track.keypoints[1, 0, 1] - track.keypoints[0, 0, 1]
    assert 100 < way[0] < 200  # all the room there is


def test_a_figure_without_room_becomes_smaller_and_it_is_said():
    driver = walk([(0, 0)] * 3, bend=20)
    large = PoseTrack((driver.keypoints - 100) * 1.5 + 100, driver.scores, SIZE)
    track, said = framed(large, large, still())
    assert track.keypoints[..., [*HEAD, *FEET], 1].min() > -0.01
    assert track.keypoints[:, :, [*HEAD, *FEET], 1].max() < SIZE[0] + 0.01
    assert any("of its size" in words for words in said)


def test_a_half_length_still_has_no_legs_and_its_edge_does_not_rise():
    half = unseen(still((110, 200)), LEGS)
    driver = walk([(0, 0), (0, -30), (10, 10)], bend=10)
    track, said = framed(driver, driver, half)
    assert not track.scores[:, :, LEGS].any()
    assert (track.keypoints[:, 0, 1, 1] >= STANDING[1, 1] - 0.01).all()
    assert any("shows no legs" in words for words in said)


@pytest.mark.parametrize("hips", [True, False])
def test_legs_that_the_driver_does_not_show_keep_the_stills_pose(hips):
    driver = unseen(walk([(0, 0), (20, 0)], bend=10), LEGS if hips else [8, 11, *LEGS])
    scrambled = driver.keypoints.copy()
    scrambled[:, :, LEGS] = 7  # what a detector guesses
    track, said = framed(driver := PoseTrack(scrambled, driver.scores, SIZE), driver, still())
    for frame, shift in ((0, 0), (1, 20)):
        np.testing.assert_allclose(track.keypoints[frame, 0, LEGS], STANDING[LEGS] + (shift, 0), atol=1e-3)
    assert (track.scores[:, :, LEGS] == 1).all()
    assert "the right leg and left leg: there the still's own pose" in said[0]


def test_arms_that_the_driver_shows_are_driven():
    driver = walk([(0, 0), (5, 0)], bend=20)
    track, said = framed(driver, driver, still())
    np.testing.assert_array_equal(track.keypoints[:, :, ARMS], driver.keypoints[:, :, ARMS])
    assert said == []


def test_a_profile_s_back_of_the_head_stays_in_the_picture():
    """Its nose is not the middle of the head."""
    driving = walk([(-40, 0)] * 3, bend=30)
    driving.keypoints[:, 0, [14, 15, 16, 17], 0] -= 8  # they look to the right
    before = driving.keypoints[0, 0, HEAD, 0].mean() - 0.7 * 20
    wall = still((220, 200))
    left = PoseTrack(driving.keypoints - np.float32([before + 6, 0]), driving.scores, driving.size)
    track, said = framed(left, driving, wall)
    assert track.keypoints[0, 0, HEAD, 0].mean() - 0.7 * 20 == pytest.approx(0, abs=0.1)
    assert any("moved by" in words for words in said)
