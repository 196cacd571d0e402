"""The reference's pose: read, scaled, found in one of several copies."""

import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import detect_people, mirrored_distance, open_reference, read_people, reference_pose
from bunraku.cues.openpose_json import sidecar, write_pose
from bunraku.cues.retarget import MIRROR
from bunraku.errors import BunrakuError
from bunraku.media import read_image, resize, write_image
from bunraku.perception.pose import LEFT_HAND, RIGHT_HAND, WHOLE_BODY, Detections, PoseTrack
from tests.tiny import walking_track


class Finder:
    """A detector that finds the orange dots that stand for a person's joints, only in copies of one size."""

    name, provider = "finder", "numpy"

    def __init__(self, shape: tuple[int, int], score: float = 0.95) -> None:
        self.shape, self.score, self.looked = shape, score, 0

    def __call__(self, frame: np.ndarray) -> Detections:
        self.looked += 1
        if frame.shape[:2] != self.shape:
            return Detections.of([])
        rows, columns = np.nonzero((np.abs(frame.astype(int) - (250, 120, 0)) < 60).all(-1))
        keypoints = np.tile(np.array([columns.mean() + 0.5, rows.mean() + 0.5], np.float32), (WHOLE_BODY, 1))
        small = keypoints + 1
        keypoints[:18] += np.linspace(-5, 5, 18, dtype=np.float32)[:, None]
        scores = np.full(WHOLE_BODY, self.score, np.float32)
        return Detections.of([(small, scores), (keypoints, scores)])

    def close(self) -> None:
        pass


@pytest.fixture
def picture() -> np.ndarray:
    image = np.full((120, 80, 3), 200, np.uint8)
    image[50:60, 20:30] = (250, 120, 0)
    return image


def test_a_pose_is_found_in_a_framed_copy_and_comes_back_in_pixels_of_the_picture(picture: np.ndarray) -> None:
    finder = Finder((256 + 128, 171 + 128))
    track = detect_people(picture, finder)
    assert track is not None
    assert track.size == (120, 80)
    # of the two that are found the larger, whose joints are centred on the square
    np.testing.assert_allclose(track.keypoints[0, 0, :18].mean(0), (25, 55), atol=0.3)
    assert finder.looked == 3


def test_the_clearest_of_all_copies_is_taken(picture: np.ndarray) -> None:
    class Twice(Finder):
        def __call__(self, frame: np.ndarray) -> Detections:
            self.shape, self.score = frame.shape[:2], 0.8 if max(frame.shape) == 768 else 0.5
            return super().__call__(frame)

    track = detect_people(picture, Twice((0, 0)))
    assert track is not None
    assert track.scores[0, 0, 0] == np.float32(0.8)


def test_hands_come_from_any_copy_that_shows_them_at_the_same_wrist(picture: np.ndarray) -> None:
    class Handless(Finder):
        def __call__(self, frame: np.ndarray) -> Detections:
            self.shape, self.score = frame.shape[:2], 0.8 if max(frame.shape) == 768 else 0.5
            found = super().__call__(frame)
            if self.score == 0.8:
                found.scores[:, LEFT_HAND] = found.scores[:, RIGHT_HAND] = 0
            else:
                found.keypoints[:, RIGHT_HAND] += 1000  # somebody else's
                found.keypoints[:, 4] += 1000
            return found

    track = detect_people(picture, Handless((0, 0)))
    assert track is not None
    assert track.scores[0, 0, 0] == np.float32(0.8)
    assert (track.scores[0, 0, LEFT_HAND] == np.float32(0.5)).all()
    np.testing.assert_allclose(track.keypoints[0, 0, LEFT_HAND], np.broadcast_to((25, 55), (21, 2)), atol=0.5)
    assert not track.scores[0, 0, RIGHT_HAND].any()


def test_nobody_is_none_and_a_plain_error(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert detect_people(picture, Finder((1, 1))) is None
    monkeypatch.setattr("bunraku.animate.reference.create_pose_detector", lambda *_, **__: Finder((1, 1)))
    with pytest.raises(
        BunrakuError, match=r"no person was found in the reference .*hero\.png .*finder.*hero\.pose\.json"
    ):
        reference_pose(picture, tmp_path / "hero.png")


def test_pose_files_round_trip_and_scale(tmp_path: Path) -> None:
    track, path = walking_track(1, (96, 64)), sidecar(tmp_path / "hero.png")
    write_pose(track, path)
    assert path.name == "hero.pose.json"
    assert [file.name for file in tmp_path.iterdir()] == ["hero.pose.json"]
    np.testing.assert_array_equal(read_people(path, (96, 64)).keypoints, track.keypoints)
    np.testing.assert_allclose(read_people(path, (192, 128)).keypoints, 2 * track.keypoints)


def test_pose_files_without_a_size_take_the_pictures(tmp_path: Path) -> None:
    write_pose(walking_track(1), tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    del content["canvas_height"], content["canvas_width"]
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert read_people(tmp_path / "x.json", (64, 64)).size == (64, 64)


def test_pose_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    track = walking_track(1)
    write_pose(track, path)
    with pytest.raises(BunrakuError, match=r"64x64 px, the reference has 100x64.*another picture"):
        read_people(path, (64, 100))
    track.scores[0, 0, 1] = 0
    write_pose(PoseTrack(track.keypoints, track.scores, track.size), path)
    with pytest.raises(BunrakuError, match="no person with at least 8 body joints"):
        read_people(path, (64, 64))
    with pytest.raises(BunrakuError, match="is a folder"):
        read_people(tmp_path, (64, 64))


def test_a_pose_is_read_from_the_file_that_is_named_or_lies_beside(
    puppets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(puppets / "a.png", tmp_path / "alone.png")
    assert open_reference(tmp_path / "alone.png").known_people is None
    with caplog.at_level(logging.INFO):
        beside = open_reference(puppets / "a.png").known_people
    assert "a.pose.json" in caplog.text
    write_image(tmp_path / "alone.png", resize(read_image(puppets / "a.png"), (192, 128)))
    named = open_reference(tmp_path / "alone.png", MotionOptions(reference_pose=puppets / "a.pose.json")).known_people
    assert beside is not None
    assert named is not None
    assert named.size == (192, 128)
    np.testing.assert_allclose(named.keypoints, 2 * beside.keypoints, rtol=1e-5)


def test_of_several_people_one_is_chosen_and_all_are_named(
    picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Pair(Finder):
        def __call__(self, frame: np.ndarray) -> Detections:
            spots = np.random.default_rng(0).uniform(-1, 1, (WHOLE_BODY, 2)).astype(np.float32)
            people = [((x, 60) + size * spots).astype(np.float32) for x, size in ((60, 10), (20, 20))]
            return Detections.of([(points, np.ones(WHOLE_BODY, np.float32)) for points in people])

    monkeypatch.setattr("bunraku.animate.reference.create_pose_detector", lambda *_, **__: Pair((0, 0)))
    write_image(tmp_path / "pair.png", picture)
    middles = []
    for person in (0, 1):
        with caplog.at_level(logging.INFO):
            options = MotionOptions(reference_person=person)
            pose = open_reference(tmp_path / "pair.png", options).pose(options)
        middles.append(np.median(pose.keypoints[0, 0, :18, 0]))
        assert re.search(r"2 people are in .*pair\.png: 0 at \d+ % of the width; 1 at \d+ %", caplog.text)
        assert f"Person {person} is moved; --reference-person chooses another" in caplog.text
    assert middles[0] < 40 < middles[1]
    options = MotionOptions(reference_person=2)
    with pytest.raises(BunrakuError, match=r"no person 2 in .*pair\.png \(--reference-person\): 2 found"):
        open_reference(tmp_path / "pair.png", options).pose(options)


@pytest.mark.slow
def test_a_cartoon_is_found_as_it_is(assets: Path) -> None:
    path = assets / "references" / "cartoon.png"
    track = reference_pose(read_image(path), path, "mediapipe")
    nose, ankle = track.keypoints[0, 0, 0], track.keypoints[0, 0, 10]
    assert nose[1] < 0.25 * track.size[0] < 0.75 * track.size[0] < ankle[1]


def test_limbs_that_point_at_the_camera_are_warned_of(
    picture: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png", picture)
    for share, expected in ((1.0, ""), (0.1, "the arms in")):
        track = walking_track(1, picture.shape[:2])
        points = track.keypoints[0, 0]
        for joint, parent in ((3, 2), (4, 3), (6, 5), (7, 6)):
            points[joint : joint + (2 if joint in (3, 6) else 1)] += (share - 1) * (points[joint] - points[parent])
        write_pose(track, tmp_path / "a.pose.json")
        caplog.clear()
        open_reference(tmp_path / "a.png").pose(MotionOptions())
        assert expected in caplog.text
        assert ("point at the camera" in caplog.text) is bool(expected)


def standing() -> np.ndarray:
    """Body joints (18, 2) of somebody who stands left of the middle of a picture of 120x80 pixels and raises the right arm."""
    x = [30, 30, 24, 18, 16, 36, 38, 40, 26, 26, 26, 34, 34, 34, 29, 31, 27, 33]
    y = [20, 32, 32, 24, 10, 32, 44, 56, 60, 80, 100, 60, 80, 100, 18, 18, 19, 19]
    return np.stack([x, y], -1).astype(np.float32)


@pytest.mark.parametrize("understands", [True, False])
def test_what_is_not_seen_again_in_the_mirror_is_doubted(picture: np.ndarray, understands: bool) -> None:
    class Seer(Finder):
        def __call__(self, frame: np.ndarray) -> Detections:
            scale = np.array([frame.shape[1] / 80, frame.shape[0] / 120], np.float32)
            keypoints = np.zeros((WHOLE_BODY, 2), np.float32)
            keypoints[:18] = standing() * scale
            if understands and frame[:, : frame.shape[1] // 2].mean() > frame[:, frame.shape[1] // 2 :].mean():
                keypoints[:18] = (standing()[MIRROR] * (-1, 1) + (80, 0)) * scale
            return Detections.of([(keypoints, np.full(WHOLE_BODY, 0.95, np.float32))])

    pose = detect_people(picture, Seer((120, 80)))
    assert pose is not None
    distance = mirrored_distance(picture, pose, Seer((120, 80)))
    assert distance == pytest.approx(0, abs=1e-4) if understands else distance > 0.2


def test_a_doubtful_pose_is_said_before_anything_is_computed(
    picture: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png", picture)
    for points, words in ((standing(), ""), (np.array([80, 120], np.float32) - standing(), "the body is upside down")):
        track = PoseTrack(points[None, None], np.ones((1, 1, 18), np.float32), (120, 80))
        write_pose(track, tmp_path / "a.pose.json")
        caplog.clear()
        shown = tmp_path / f"shown{len(words)}.png"
        replace(open_reference(tmp_path / "a.png"), doubtful=shown).pose(MotionOptions())
        assert ("is doubtful" in caplog.text) is bool(words)
        assert words in caplog.text
        assert shown.is_file() is (f"{shown.name} shows it" in caplog.text) is bool(words)


def test_a_mask_beside_the_picture(tmp_path: Path) -> None:
    still, mask = tmp_path / "still.webp", tmp_path / "still.mask.png"
    write_image(still, np.full((64, 48, 3), 255, np.uint8))
    assert open_reference(still).matte is None
    write_image(mask, np.full((64, 48, 3), 255, np.uint8))
    opened = open_reference(still)
    assert opened.matte is not None
    assert (opened.matte == 255).all()
    assert mask in opened.files
    write_image(mask, np.full((40, 40, 3), 255, np.uint8))
    with pytest.raises(BunrakuError, match=r"still.mask.png has 40x40 px, the reference 48x64"):
        open_reference(still)
