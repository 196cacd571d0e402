"""MediaPipe's networks: the mapping to 134 keypoints exactly, and what is found in real pictures and clips."""

import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.media import fit
from bunraku.media.images import read_image
from bunraku.media.reader import VideoReader
from bunraku.perception import litert, mediapipe_pose
from bunraku.perception.mediapipe_pose import MediaPipePose, to_whole_body
from bunraku.perception.pose import FACE, LEFT_HAND, RIGHT_HAND

ASSETS = Path(__file__).parents[3] / "shared" / "assets"
needs_footage = pytest.mark.skipif(not ASSETS.is_dir(), reason="no ../shared/assets")
pytest.importorskip("ai_edge_litert")


def standing():
    """33 pose landmarks, each on its own pixel of a 100x100 frame, with a torso 30 px long and wrists far apart."""
    pose = np.stack([np.linspace(20, 80, 33), np.linspace(10, 90, 33)], axis=1)
    pose[[11, 12]], pose[[23, 24]] = [(60, 30), (40, 30)], [(55, 60), (45, 60)]
    pose[[15, 16]] = [(90, 50), (10, 50)]
    return pose


def whole(pose, visibility=None, face=None, left=None, right=None, size=(100, 100)):
    return to_whole_body(pose, np.ones(33) if visibility is None else visibility, face, left, right, size)


def test_each_joint_is_the_landmark_of_its_name():
    pose, visibility = standing(), np.linspace(0.4, 1, 33)
    keypoints, scores = whole(pose, visibility)
    names = {
        0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15, 8: 24, 9: 26, 10: 28, 11: 23, 12: 25, 13: 27,
        14: 5, 15: 2, 16: 8, 17: 7, 18: 31, 20: 29, 21: 32, 23: 30,
    }  # fmt: skip
    for joint, landmark in names.items():
        np.testing.assert_allclose(keypoints[joint], pose[landmark], rtol=1e-5)
        assert scores[joint] == pytest.approx(visibility[landmark])
    np.testing.assert_allclose(keypoints[1], (50, 30), rtol=1e-5)
    assert scores[1] == pytest.approx(visibility[11])
    assert not scores[[19, 22]].any()
    assert not scores[24:].any()


def test_far_outside_the_frame_is_not_seen():
    pose = standing()
    pose[27], pose[28] = (50, 104), (50, 120)
    _, scores = whole(pose)
    assert scores[13] == 1
    assert scores[10] == 0


def test_hands_belong_to_their_wrists():
    pose = standing()
    fan = np.stack([np.linspace(0, 10, 21), np.linspace(0, 10, 21)], axis=1)
    left, right = pose[15] + fan, pose[16] - fan
    keypoints, scores = whole(pose, left=left, right=right)
    np.testing.assert_allclose(keypoints[LEFT_HAND], left, rtol=1e-5)
    np.testing.assert_allclose(keypoints[RIGHT_HAND], right, rtol=1e-5)
    assert scores[92:].all()
    # the same hand twice: it stays with the wrist it hangs on
    pose[16] = pose[15] + 5
    _, scores = whole(pose, left=left, right=left)
    assert scores[LEFT_HAND].all()
    assert not scores[RIGHT_HAND].any()
    # a hand far from its wrist is somebody else's
    _, scores = whole(pose, left=left - 30)
    assert not scores[LEFT_HAND].any()


def test_face_takes_the_score_of_the_nose():
    face = np.stack([np.arange(468), np.arange(468) / 2], axis=1)
    visibility = np.ones(33)
    visibility[0] = 0.4
    keypoints, scores = whole(standing(), visibility, face=face, size=(1000, 1000))
    assert keypoints[FACE][8, 0] == pytest.approx(152)  # the chin
    np.testing.assert_allclose(scores[FACE], 0.4)
    assert len(set(mediapipe_pose.IBUG_FROM_MESH)) == 68


def test_a_missing_or_unusable_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(BunrakuError, match=r"LiteRT .*\.\[mediapipe\]"):
        MediaPipePose()
    monkeypatch.setattr(litert, "find_spec", lambda name: None)
    with pytest.raises(BunrakuError, match=r"needs MediaPipe; .*\.\[mediapipe\]"):
        MediaPipePose()
    monkeypatch.setattr(litert, "find_spec", lambda name: type("Spec", (), {"submodule_search_locations": [tmp_path]}))
    with pytest.raises(BunrakuError, match=r"without the network pose_detection.tflite .*mediapipe==0\.10\.21"):
        MediaPipePose()


@pytest.mark.parametrize("grey", [0, 127])
def test_a_frame_without_people_and_a_frame_of_the_wrong_type(grey):
    detector = MediaPipePose(max_people=8)
    for _ in range(2):
        assert len(detector(np.full((120, 90, 3), grey, np.uint8))) == 0
    with pytest.raises(ValueError, match="uint8"):
        detector(np.zeros((120, 90, 3)))
    detector.close()


def test_landmarks_move_to_the_centre_of_mass_of_a_clear_heat_map_only():
    heat = np.full((64, 64, 2), -20.0, np.float32)
    heat[10, 20, 0] = heat[10, 21, 0] = 20
    heat[10, 20, 1] = -0.1
    points = np.array([(18.5 / 64, 11.5 / 64), (18.5 / 64, 11.5 / 64)])
    moved = mediapipe_pose._refined(points, heat)
    np.testing.assert_allclose(moved[0], (20.5 / 64, 10 / 64), atol=1e-6)
    np.testing.assert_array_equal(moved[1], points[1])


@needs_footage
def test_the_dancer_is_found_in_every_frame(capfd):
    detector = MediaPipePose(max_people=2)
    found = [detector(frame) for frame in islice(VideoReader(ASSETS / "drivers" / "dance_plain.mp4"), 12)]
    detector.close()
    assert capfd.readouterr().err == ""
    assert [len(people) for people in found] == [1] * 12
    keypoints = np.stack([people.keypoints[0] for people in found])
    scores = np.stack([people.scores[0] for people in found])
    assert scores[:, :14].min() > 0.4
    assert scores[:, FACE].min() > 0.5
    np.testing.assert_allclose(keypoints[:, 1], keypoints[:, [2, 5]].mean(axis=1), atol=1e-3)
    # she faces the camera: her right is at the left of the picture; head above shoulders above hips above feet
    for right, left in ((2, 5), (8, 11), (14, 15), (24, 40)):
        assert (keypoints[:, right, 0] < keypoints[:, left, 0]).all()
    heights = keypoints[:, [0, 1, 8, 9, 10], 1]
    assert (np.diff(heights, axis=1) > 0).all()
    # iBUG: the tip of the nose between brows and chin, the upper lip above the lower
    face = keypoints[:, FACE]
    assert (face[:, 19, 1] < face[:, 30, 1]).all()
    assert (face[:, 51, 1] < face[:, 57, 1]).all()
    assert (face[:, 57, 1] < face[:, 8, 1]).all()
    assert np.abs(keypoints[:, 0] - face[:, 30]).max() < 15


@needs_footage
@pytest.mark.parametrize(("name", "has_face"), [("cartoon", True), ("robot", False), ("photo_woman", True)])
def test_stills_have_one_whole_body(name, has_face):
    detector = MediaPipePose(max_people=2, video=False)
    found = detector(read_image(ASSETS / "references" / f"{name}.png"))
    detector.close()
    assert len(found) == 1
    assert (found.scores[0, :14] > 0.5).all()
    assert bool(found.scores[0, FACE].any()) == has_face


@needs_footage
def test_somebody_cut_by_the_border_is_found_and_what_lies_outside_is_not_seen():
    picture = read_image(ASSETS / "references" / "photo_woman.png")
    detector = MediaPipePose(video=False)
    whole, half = detector(picture), detector(np.ascontiguousarray(picture[:400]))
    detector.close()
    assert len(whole) == len(half) == 1
    upper = [0, 1, 2, 3, 5, 6, 14, 15]
    assert np.linalg.norm(half.keypoints[0, upper] - whole.keypoints[0, upper], axis=1).max() < 30  # of 922
    assert (whole.scores[0, [9, 10, 12, 13]] > 0.5).all()
    assert not (half.scores[0, [10, 13]] > 0.3).any()


@needs_footage
def test_two_people_in_one_still_and_one_when_one_is_asked_for():
    picture = read_image(ASSETS / "references" / "two_women.png")
    detector = MediaPipePose(max_people=3, video=False)
    found = detector(picture)
    again = detector(picture)
    detector.close()
    assert len(found) == 2
    left, right = sorted(found.keypoints[:, 1, 0])
    assert left < 200
    assert right > 300
    np.testing.assert_array_equal(found.keypoints, again.keypoints)
    one = MediaPipePose(video=False)
    assert len(one(picture)) == 1
    one.close()


@needs_footage
def test_eight_people_are_found_nobody_twice_and_the_largest_where_fewer_are_asked_for():
    names = ("cartoon", "photo_woman")
    figures = [cv2.resize(read_image(ASSETS / "references" / f"{name}.png"), (384, 576)) for name in names]
    crowd = np.concatenate([np.concatenate([figures[(row + i) % 2] for i in range(4)], axis=1) for row in range(2)])
    for people in (8, 3):
        detector = MediaPipePose(max_people=people, video=False)
        found = detector(crowd)
        detector.close()
        cells = (found.keypoints[:, 1] // (384, 576)).astype(int)
        assert len({tuple(cell) for cell in cells.tolist()}) == len(found) == people


@needs_footage
def test_one_dancer_is_not_found_twice_where_eight_are_looked_for():
    detector = MediaPipePose(max_people=8)
    found = [detector(frame) for frame in islice(VideoReader(ASSETS / "drivers" / "dance_plain.mp4", start=40), 7)]
    detector.close()
    assert [len(people) for people in found] == [1] * 7


@needs_footage
@pytest.mark.parametrize("height", [96, 192, 384])
def test_whoever_fills_a_small_frame_is_found_alike_where_one_and_where_eight_are_looked_for(height):
    """Squares for small people show parts of this one, which are taken for whole bodies if one believes them."""
    frame = next(iter(VideoReader(ASSETS / "drivers" / "dance_plain.mp4")))
    shown = fit(frame, (height, height * 2 // 3), "crop")[0]
    alone, among = (MediaPipePose(max_people=people, video=False)(shown) for people in (1, 8))
    seen = alone.scores[:, :18] >= 0.3
    assert len(among) == 1
    np.testing.assert_allclose(among.keypoints[:, :18][seen], alone.keypoints[:, :18][seen], atol=0.02 * height)


@needs_footage
def test_both_are_found_in_every_frame_while_they_embrace():
    detector = MediaPipePose(max_people=2)
    found = [detector(frame) for frame in VideoReader(ASSETS / "drivers" / "two_people.mp4", start=32)]
    detector.close()
    assert [len(people) for people in found] == [2] * 45
    # noses, read off the frames by eye: hands reached out, and in each other's arms
    for number, expected in {3: [(867, 349), (975, 319)], 30: [(938, 365), (950, 316)]}.items():
        np.testing.assert_allclose(sorted(found[number].keypoints[:, 0].tolist()), expected, atol=25)


@needs_footage
def test_a_frame_of_4k_gives_the_same_poses_three_times_as_large():
    frame = next(iter(VideoReader(ASSETS / "drivers" / "juggling_ball.mp4")))
    large = cv2.resize(frame, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert large.shape == (2160, 3840, 3)
    detector = MediaPipePose()
    small, big = detector(frame), detector(large)
    detector.close()
    seen = small.scores[0, :18] > 0.5
    distance = np.linalg.norm(big.keypoints[0, :18] / 3 - small.keypoints[0, :18], axis=1)[seen]
    assert distance.max() < 6  # of 720
