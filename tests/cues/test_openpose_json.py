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
    track.keypoints[:, 1] /= 2  # people are read in the order of their sizes
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


def body(at=(250.0, 200.0), scale=100.0, confidence=0.9):
    """The 18 joints of a standing person as triples; `scale` is about half the height."""
    joints = [
        (0, -0.8), (0, -0.6), (-0.2, -0.6), (-0.3, -0.3), (-0.35, 0), (0.2, -0.6), (0.3, -0.3), (0.35, 0), (-0.1, 0),
        (-0.15, 0.4), (-0.15, 0.8), (0.1, 0), (0.15, 0.4), (0.15, 0.8), (-0.05, -0.85), (0.05, -0.85), (-0.1, -0.8), (0.1, -0.8),
    ]  # fmt: skip
    return [(at[0] + scale * x, at[1] + scale * y, confidence) for x, y in joints]


CANVAS = {"canvas_height": 400, "canvas_width": 500}


def test_hidden_files_are_skipped(tmp_path):
    folder = write(tmp_path / "a", [person(pose_keypoints_2d=body())], **CANVAS)
    (folder / "._clip_0_keypoints.json").write_bytes(b"\x00\x05\x16\x07 AppleDouble")
    assert len(read_openpose_json(folder)) == 1


def test_a_byte_order_mark_is_skipped(tmp_path):
    folder = write(tmp_path / "a", [person(pose_keypoints_2d=body())], **CANVAS)
    file = folder / "clip_0_keypoints.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_openpose_json(folder).people == 1


def test_keys_of_old_files(tmp_path):
    old = person(pose_keypoints=body(), face_keypoints=points(70), hand_left_keypoints=points(21))
    new = person(pose_keypoints_2d=body(), face_keypoints_2d=points(70), hand_left_keypoints_2d=points(21))
    tracks = [read_openpose_json(write(tmp_path / name, [p], **CANVAS)) for name, p in (("a", old), ("b", new))]
    assert tracks[0].scores.sum() > 50
    np.testing.assert_array_equal(tracks[0].keypoints, tracks[1].keypoints)
    np.testing.assert_array_equal(tracks[0].scores, tracks[1].scores)


def test_keypoints_under_an_unknown_key_are_named(tmp_path):
    folder = write(tmp_path / "a", [person(keypoints=body())], **CANVAS)
    with pytest.raises(BunrakuError, match=r"a person has person_id, keypoints, but no pose_keypoints_2d"):
        read_openpose_json(folder)


@pytest.mark.parametrize("count", [18, 25])
def test_pairs_have_no_confidence(tmp_path, count):
    pairs = [(x, y) for x, y, _ in points(count)]
    pairs[3] = (0, 0)
    track = read_openpose_json(write(tmp_path / "a", [person(pose_keypoints_2d=pairs)], **CANVAS))
    assert track.scores[0, 0, :18].tolist() == [1, 1, 1, 0, *[1] * 14]
    np.testing.assert_array_equal(track.keypoints[0, 0, 2], (110, 102))


@pytest.mark.parametrize(("part", "count"), [("face_keypoints_2d", 56), ("hand_right_keypoints_2d", 20)])
def test_a_part_of_another_number_of_points_is_left_out(tmp_path, part, count, caplog):
    frame = [person(pose_keypoints_2d=body(), **{part: points(count)})]
    track = read_openpose_json(write(tmp_path / "a", frame, frame, **CANVAS))
    assert track.keypoints.shape == (2, 1, 18, 2)
    assert f"{part} has {count} points" in caplog.text
    assert len(caplog.records) == 1


def as_fractions(triples, signed=False):
    return [((2 * x / 500 - 1, 2 * y / 400 - 1, s) if signed else (x / 500, y / 400, s)) for x, y, s in triples]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("at", [(250, 200), (250, 330), (470, 200)])
def test_fractions_may_leave_the_picture_a_little(tmp_path, signed, at):
    """At the second place the feet are below the picture, at the third an arm is beside it."""
    expected = np.array(body(at))[:, :2]
    frame = [person(pose_keypoints_2d=as_fractions(body(at), signed))]
    track = read_openpose_json(write(tmp_path / "a", frame, **CANVAS))
    np.testing.assert_allclose(track.keypoints[0, 0], expected, atol=1e-3)


def test_units_are_judged_part_by_part(tmp_path):
    """The body in pixels, a hand in fractions, and the other way round; a hand in the quarter without negative numbers."""
    hand = [(300.0 + i, 220.0 + i, 0.9) for i in range(21)]
    for signed in (False, True):
        for parts in (
            {"pose_keypoints_2d": body(), "hand_left_keypoints_2d": as_fractions(hand)},
            {"pose_keypoints_2d": as_fractions(body(), signed), "hand_left_keypoints_2d": hand},
            {"pose_keypoints_2d": as_fractions(body(), signed), "hand_left_keypoints_2d": as_fractions(hand, signed)},
        ):
            (tmp_path / "a.json").write_text(json.dumps({"people": [person(**parts)], **CANVAS}))
            track = read_openpose_json(tmp_path / "a.json")
            np.testing.assert_allclose(track.keypoints[0, 0, :18], np.array(body())[:, :2], atol=1e-3)
            np.testing.assert_allclose(track.keypoints[0, 0, 92:113], np.array(hand)[:, :2], atol=1e-3)


@pytest.mark.parametrize(
    ("canvas", "given", "size"),
    [
        ({"width": 500, "height": 400}, None, (400, 500)),
        (CANVAS, (10, 10), (400, 500)),
        ({"canvas_height": 400}, (400, 500), (400, 500)),
        ({}, (400, 500), (400, 500)),
    ],
)
def test_the_size_is_the_files_own_or_else_the_given_one(tmp_path, canvas, given, size):
    assert read_openpose_json(write(tmp_path / "a", [person(pose_keypoints_2d=body())], **canvas), given).size == size


@pytest.mark.parametrize(
    ("canvas", "message"),
    [
        ({}, r"no canvas_height or canvas_width\); give its size, such as --canvas 768x512 \(height x width\)$"),
        ({"canvas_height": 400}, r"no canvas_width\); give its size, such as --canvas"),
        ({"width": 400}, r"no height\); give"),
        ({"canvas_height": 400, "canvas_width": "wide"}, "does not say how large"),
    ],
)
def test_errors_about_the_size_name_the_option(tmp_path, canvas, message):
    folder = write(tmp_path / "a", [person(pose_keypoints_2d=body())], **canvas)
    with pytest.raises(BunrakuError, match=message):
        read_openpose_json(folder)


def test_files_that_disagree_about_the_size(tmp_path):
    frames = [{"people": [], "canvas_height": side, "canvas_width": side} for side in (400, 500)]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    with pytest.raises(BunrakuError, match=r"different sizes .*\(400, 400\), \(500, 500\); give its size"):
        read_openpose_json(tmp_path / "a.json")


def numbered(path, numbers):
    path.mkdir()
    for i in numbers:
        content = {"people": [person(pose_keypoints_2d=body((200.0 + i, 200.0)))], **CANVAS}
        (path / f"clip2_{i:012d}_keypoints.json").write_text(json.dumps(content))
    return path


def test_missing_numbers_are_frames_without_people(tmp_path, caplog):
    track = read_openpose_json(numbered(tmp_path / "a", [3, 4, 5, 8, 9, 10]))
    assert track.scores.any(-1)[:, 0].tolist() == [True] * 3 + [False] * 2 + [True] * 3
    np.testing.assert_allclose(np.diff(track.keypoints[[0, 2, 5, 7], 0, 1, 0]), [2, 3, 2])
    assert "2 numbers are missing" in caplog.text
    assert "after clip2_000000000005_keypoints.json" in caplog.text


@pytest.mark.parametrize("numbers", [[0, 1, 2], [7, 9, 11, 13], [1000, 1033, 1067, 1100]])
def test_every_second_number_and_times_are_no_gaps(tmp_path, numbers, caplog):
    assert read_openpose_json(numbered(tmp_path / "a", numbers)).scores.any(-1).all()
    assert not caplog.records


def test_a_jump_of_the_numbers_makes_no_long_clip(tmp_path, caplog):
    assert len(read_openpose_json(numbered(tmp_path / "a", [0, 1, 2, 900000]))) == 4
    assert "899997 numbers are missing" in caplog.text


def moving(path, frames, **canvas):
    """`frames`: for each the (person_id, x, scale) of its people."""
    return write(
        path, *([person(pose_keypoints_2d=body((x, 200.0), scale)) | {"person_id": [i]} for i, x, scale in f] for f in frames),
        **CANVAS,
    )  # fmt: skip


def test_the_largest_person_comes_first(tmp_path):
    track = read_openpose_json(moving(tmp_path / "a", [[(0, 80, 30), (1, 300, 100)]] * 3))
    np.testing.assert_array_equal(track.keypoints[:, :, 1, 0], [(300, 80)] * 3)


def test_an_identity_that_changes_is_one_person(tmp_path):
    """In the same place, across a cut, or after a few frames without anybody."""
    there = [[(0, 100 + i, 60)] for i in range(10)]
    for name, after in (
        ("same", [[(7, 110 + i, 60)] for i in range(10)]),
        ("cut", [[(7, 400 + i, 60)] for i in range(10)]),
        ("gap", [[]] * 5 + [[(7, 115 + i, 60)] for i in range(10)]),
        ("twice", [[(7, 110 + i, 60)] for i in range(5)] + [[(0, 115 + i, 60)] for i in range(5)]),
    ):
        track = read_openpose_json(moving(tmp_path / name, there + after))
        assert (track.people, int(track.scores.any(-1).sum())) == (1, 20), name


def test_two_people_at_once_are_two(tmp_path):
    frames = [[(0, 100, 60), (1, 300, 50)]] * 5 + [[(1, 300, 50), (2, 105, 60)]] * 5
    track = read_openpose_json(moving(tmp_path / "a", frames))
    np.testing.assert_array_equal(track.keypoints[:, :, 1, 0], [(100, 300)] * 5 + [(105, 300)] * 5)


def test_somebody_who_fills_a_gap_elsewhere_is_another_person(tmp_path):
    frames = [[(0, 80, 60)]] * 5 + [[(1, 400, 50)]] + [[(0, 80, 60)]] * 5
    track = read_openpose_json(moving(tmp_path / "a", frames))
    assert track.scores.any(-1)[:, 0].tolist() == [True] * 5 + [False] + [True] * 5


def test_somebody_else_after_a_while_is_another_person(tmp_path):
    frames = [[(0, 80, 60)]] * 5 + [[]] * 5 + [[(1, 400, 50)]] * 5
    assert read_openpose_json(moving(tmp_path / "a", frames)).people == 2


def test_low_confidences_are_told(tmp_path):
    folder = write(tmp_path / "a", [person(pose_keypoints_2d=body(confidence=0.25))], **CANVAS)
    with pytest.raises(BunrakuError, match=r"all confidences in .* are below 0\.3 \(the highest is 0\.25\)"):
        read_openpose_json(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not OpenPose JSON"),
        ('{"annotations": []}', "a list 'people'"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "has 1 keypoints; expected 18 or 25"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "not a list of numbers"),
        ('{"people": [{"pose_keypoints_2d": ["a", 2, 3]}]}', "not a list of numbers"),
        ('{"people": ["a"]}', "a person is not an object"),
        ('{"people": []}', r"how large the picture is .*give its size"),
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


@pytest.mark.parametrize("side", [{}, [400], "wide", 1e18, float("inf"), 0.5, -1])
def test_a_canvas_that_is_no_size_is_not_known(tmp_path, side):
    folder = write(tmp_path / "a", [person(pose_keypoints_2d=body())], canvas_height=400, canvas_width=side)
    with pytest.raises(BunrakuError, match="--canvas"):
        read_openpose_json(folder)


def test_nesting_is_no_json(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(BunrakuError, match="is not JSON: it is nested too deeply"):
        read_openpose_json(tmp_path / "deep.json")
