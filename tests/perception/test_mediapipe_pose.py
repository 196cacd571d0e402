"""MediaPipe: the mapping to 134 keypoints exactly, and what it finds in real pictures."""

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.media.images import read_image
from bunraku.media.reader import VideoReader
from bunraku.perception import mediapipe_pose
from bunraku.perception.mediapipe_pose import MediaPipePose, to_whole_body
from bunraku.perception.pose import FACE, LEFT_HAND, RIGHT_HAND

ASSETS = Path(__file__).parents[3] / "shared" / "assets"
needs_footage = pytest.mark.skipif(not ASSETS.is_dir(), reason="no ../shared/assets")
pytest.importorskip("mediapipe")


def landmarks(points, visibility=None):
    visibility = np.ones(len(points)) if visibility is None else visibility
    return SimpleNamespace(
        landmark=[SimpleNamespace(x=x, y=y, visibility=v) for (x, y), v in zip(points, visibility, strict=True)]
    )


def holistic(pose, visibility=None, **parts):
    names = ("face_landmarks", "left_hand_landmarks", "right_hand_landmarks")
    found = {name: landmarks(parts[name]) if name in parts else None for name in names}
    return SimpleNamespace(pose_landmarks=landmarks(pose, visibility), **found)


def standing():
    """33 pose landmarks, each on its own pixel of a 100x100 frame, with a torso 30 px long and wrists far apart."""
    pose = np.stack([np.linspace(0.2, 0.8, 33), np.linspace(0.1, 0.9, 33)], axis=1)
    pose[[11, 12]], pose[[23, 24]] = [(0.6, 0.3), (0.4, 0.3)], [(0.55, 0.6), (0.45, 0.6)]
    pose[[15, 16]] = [(0.9, 0.5), (0.1, 0.5)]
    return pose


def test_each_joint_is_the_landmark_of_its_name():
    pose, visibility = standing(), np.linspace(0.4, 1, 33)
    keypoints, scores = to_whole_body(holistic(pose, visibility), (100, 200))
    names = {
        0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15, 8: 24, 9: 26, 10: 28, 11: 23, 12: 25, 13: 27,
        14: 5, 15: 2, 16: 8, 17: 7, 18: 31, 20: 29, 21: 32, 23: 30,
    }  # fmt: skip
    for joint, landmark in names.items():
        np.testing.assert_allclose(keypoints[joint], pose[landmark] * (200, 100), rtol=1e-5)
        assert scores[joint] == pytest.approx(visibility[landmark])
    np.testing.assert_allclose(keypoints[1], (100, 30), rtol=1e-5)
    assert scores[1] == pytest.approx(visibility[11])
    assert not scores[[19, 22]].any()
    assert not scores[24:].any()


def test_far_outside_the_frame_is_not_seen():
    pose = standing()
    pose[27], pose[28] = (0.5, 1.04), (0.5, 1.2)
    _, scores = to_whole_body(holistic(pose), (100, 100))
    assert scores[13] == 1
    assert scores[10] == 0


def test_hands_belong_to_their_wrists():
    pose = standing()
    fan = np.stack([np.linspace(0, 0.1, 21), np.linspace(0, 0.1, 21)], axis=1)
    left, right = pose[15] + fan, pose[16] - fan
    keypoints, scores = to_whole_body(holistic(pose, left_hand_landmarks=left, right_hand_landmarks=right), (100, 100))
    np.testing.assert_allclose(keypoints[LEFT_HAND], left * 100, rtol=1e-5)
    np.testing.assert_allclose(keypoints[RIGHT_HAND], right * 100, rtol=1e-5)
    assert scores[92:].all()
    # the same hand twice: it stays with the wrist it hangs on
    pose[16] = pose[15] + 0.05
    _, scores = to_whole_body(holistic(pose, left_hand_landmarks=left, right_hand_landmarks=left), (100, 100))
    assert scores[LEFT_HAND].all()
    assert not scores[RIGHT_HAND].any()
    # a hand far from its wrist is somebody else's
    _, scores = to_whole_body(holistic(pose, left_hand_landmarks=left - 0.3), (100, 100))
    assert not scores[LEFT_HAND].any()


def test_face_takes_the_score_of_the_nose():
    face = np.stack([np.arange(468) / 1000, np.arange(468) / 2000], axis=1)
    visibility = np.ones(33)
    visibility[0] = 0.4
    keypoints, scores = to_whole_body(holistic(standing(), visibility, face_landmarks=face), (1000, 1000))
    assert keypoints[FACE][8, 0] == pytest.approx(152)  # the chin
    np.testing.assert_allclose(scores[FACE], 0.4)
    assert len(set(mediapipe_pose.IBUG_FROM_MESH)) == 68


def test_paint_out_fills_from_around():
    frame = np.full((200, 100, 3), (10, 200, 50), np.uint8)
    frame[50:150, 40:60] = 255
    mask = np.zeros((200, 100), np.float32)
    mask[50:150, 40:60] = 1
    filled, painted = mediapipe_pose._paint_out(frame, mask)
    assert np.abs(filled.astype(int) - (10, 200, 50)).max() < 16
    assert painted[50:150, 40:60].all()
    assert not painted[:40].any()


def test_a_missing_or_unusable_mediapipe_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(BunrakuError, match=r"bunraku\[mediapipe\]"):
        MediaPipePose()
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", SimpleNamespace(__version__="1.2.2"))
    with pytest.raises(BunrakuError, match=r"mediapipe 1\.2\.2 .*0\.10\.21"):
        MediaPipePose()


def test_a_frame_without_people_and_a_frame_of_the_wrong_type():
    detector = MediaPipePose()
    assert len(detector(np.full((120, 90, 3), 127, np.uint8))) == 0
    with pytest.raises(ValueError, match="uint8"):
        detector(np.zeros((120, 90, 3)))
    detector.close()


@needs_footage
def test_the_dancer_is_found_in_every_frame(capfd):
    detector = MediaPipePose(max_people=2)
    found = [detector(frame) for frame in islice(VideoReader(ASSETS / "drivers" / "dance_plain.mp4"), 12)]
    detector.close()
    assert capfd.readouterr().err == ""
    assert [len(people) for people in found] == [1] * 12
    keypoints = np.stack([people.keypoints[0] for people in found])
    scores = np.stack([people.scores[0] for people in found])
    assert scores[:, :14].min() > 0.5
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
    assert found.scores[0, LEFT_HAND].all()


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
