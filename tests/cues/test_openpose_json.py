import json

import numpy as np
import pytest

from bunraku.cues.openpose_json import read_openpose_json, write_openpose_json
from bunraku.errors import BunrakuError
from bunraku.perception.pose import FEET, WHOLE_BODY, PoseTrack


def random_track(joints, *, frames=12, people=2, missing=0.3, seed=0):
    rng = np.random.default_rng(seed)
    scores = (rng.random((frames, people, joints)) * (rng.random((frames, people, joints)) > missing)).astype(
        np.float32
    )
    keypoints = rng.uniform(-10, 600, (frames, people, joints, 2)).astype(np.float32)
    return PoseTrack(keypoints, scores, (480, 640))


def person(**parts):
    triples = {name: np.array(points, float).ravel().tolist() for name, points in parts.items()}
    return {"person_id": [-1], **triples}


def write(path, *frames, **canvas):
    path.mkdir(exist_ok=True)
    for i, people in enumerate(frames):
        (path / f"clip_{i}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people, **canvas}))
    return path


def points(count, *, at=100.0):
    return [(at + 5 * i, at + i, 0.5) for i in range(count)]


@pytest.mark.parametrize(("joints", "feet"), [(18, False), (WHOLE_BODY, False), (WHOLE_BODY, True)])
def test_round_trip_is_exact(tmp_path, joints, feet):
    track = random_track(joints)
    if joints == WHOLE_BODY and not feet:
        track.scores[:, :, FEET] = 0
        track.keypoints[:, :, FEET] = 0
    track.scores[3, 1], track.keypoints[3, 1] = 0, 0
    write_openpose_json(track, tmp_path / "new" / "poses")
    result = read_openpose_json(tmp_path / "new" / "poses")
    assert result.size == (480, 640)
    np.testing.assert_array_equal(result.keypoints, track.keypoints)
    np.testing.assert_array_equal(result.scores, track.scores)


def test_body_25_maps_to_18_and_feet(tmp_path):
    folder = write(tmp_path / "a", [person(pose_keypoints_2d=points(25))], canvas_height=200, canvas_width=400)
    track = read_openpose_json(folder)
    assert track.keypoints.shape == (1, 1, WHOLE_BODY, 2)
    x = ((track.keypoints[0, 0, :, 0] - 100) / 5).round().astype(int)
    assert x[:18].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert x[FEET].tolist() == [19, 20, 21, 22, 23, 24]
    assert (track.scores[0, 0, 24:] == 0).all()


def test_hands_and_the_70_point_face(tmp_path):
    parts = {
        "pose_keypoints_2d": points(18),
        "face_keypoints_2d": points(70, at=200),
        "hand_left_keypoints_2d": points(21, at=300),
        "hand_right_keypoints_2d": points(21, at=400),
    }
    track = read_openpose_json(write(tmp_path / "a", [person(**parts)]), size=(512, 512))
    x = track.keypoints[0, 0, :, 0]
    assert (x[24], x[91], x[92], x[112], x[113], x[133]) == (200, 535, 300, 400, 400, 500)


def test_frames_come_in_the_order_of_their_numbers_and_people_are_linked(tmp_path):
    frames = []
    for i in range(12):  # the left person first in even frames, second in odd ones
        people = [person(pose_keypoints_2d=points(18, at=at + i)) for at in (50, 300)]
        frames.append(people if i % 2 == 0 else people[::-1])
    track = read_openpose_json(write(tmp_path / "a", *frames), size=(512, 512))
    assert track.keypoints.shape == (12, 2, 18, 2)
    starts = np.sort(track.keypoints[:, :, 0, 0], axis=1)
    np.testing.assert_array_equal(starts, [(50 + i, 300 + i) for i in range(12)])
    assert np.abs(np.diff(track.keypoints, axis=0)).max() == 1


def test_one_file_with_a_list_of_frames_and_fractions_of_the_picture(tmp_path):
    half = [(0.25, 0.5, 1)] * 18
    frame = {"people": [person(pose_keypoints_2d=half) | {"hand_left_keypoints_2d": None}]}
    frame |= {"canvas_height": 200, "canvas_width": 400}
    (tmp_path / "poses.json").write_text(json.dumps([frame, frame, {**frame, "people": []}]))
    track = read_openpose_json(tmp_path / "poses.json")
    assert track.keypoints.shape == (3, 1, 18, 2)
    np.testing.assert_array_equal(track.keypoints[0, 0, 5], (100, 100))
    assert not track.scores[2].any()


def test_a_folder_that_has_poses_is_not_mixed_with_new_ones(tmp_path):
    write_openpose_json(random_track(18), tmp_path / "a")
    with pytest.raises(BunrakuError, match=r"has \.json files already"):
        write_openpose_json(random_track(18), tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not OpenPose JSON"),
        ('{"annotations": []}', "a list 'people'"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "has 1 keypoints; expected 18 or 25"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "not a list of numbers"),
        ('{"people": [{"pose_keypoints_2d": ["a", 2, 3]}]}', "not a list of numbers"),
        ('{"people": ["a"]}', "not a list of numbers"),
        ('{"people": []}', r"how large the picture is .*Give its size"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BunrakuError, match=message):
        read_openpose_json(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(BunrakuError, match=r"holds no \.json files"):
        read_openpose_json(tmp_path)
    with pytest.raises(BunrakuError, match="No such file"):
        read_openpose_json(tmp_path / "none.json")
