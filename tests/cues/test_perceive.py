"""Frames become the cues of everybody, and one person is followed."""

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.cues import Cues
from bunraku.cues.perceive import follow, in_words, perceive_frames
from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, VideoWriter
from bunraku.perception.pose import FACE, WHOLE_BODY, Detections, PoseTrack
from tests.tiny import walking_track


class Scripted:
    """A detector that sees in frame i what is written for it."""

    name, provider = "scripted", "nothing"

    def __init__(self, frames: list[list[np.ndarray]]) -> None:
        self.frames, self.calls, self.closed = frames, 0, False

    def __call__(self, frame: np.ndarray) -> Detections:
        people = self.frames[self.calls]
        self.calls += 1
        return Detections.of([(person, np.ones(WHOLE_BODY, np.float32)) for person in people])

    def restart(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def person(x: float, size: float) -> np.ndarray:
    """All 134 keypoints within a square of `size` pixels about (x, 40)."""
    spots = np.random.default_rng(0).uniform(-0.5, 0.5, (WHOLE_BODY, 2))
    return (np.array([x, 40]) + size * spots).astype(np.float32)


def video(path: Path, frames: int, fps: Fraction | int = 12) -> Path:
    with VideoWriter(path, fps=fps, size=(80, 120)) as writer:
        for i in range(frames):
            writer.write(np.full((80, 120, 3), 5 * i, np.uint8))
    return path


def perceived(path: Path, detector: Scripted, on_frame: Callable[[int, int], None] | None = None) -> Cues:
    return perceive_frames(VideoReader(path), str(path), detector, on_frame=on_frame)


def test_everybody_keeps_one_identity_the_largest_first(tmp_path: Path) -> None:
    small, large = [person(20 + i, 20) for i in range(8)], [person(90 - i, 50) for i in range(8)]
    detector = Scripted([[s, p] if i % 2 else [p, s] for i, (s, p) in enumerate(zip(small, large))])
    progress: list[tuple[int, int]] = []
    cues = perceived(video(tmp_path / "two.mp4", 8), detector, on_frame=lambda *at: progress.append(at))
    assert cues.pose is not None
    assert (len(cues), cues.fps, cues.size, cues.pose.people) == (8, 12, (80, 120), 2)
    np.testing.assert_array_equal(cues.pose.keypoints[:, 0], large)
    np.testing.assert_array_equal(cues.pose.keypoints[:, 1], small)
    assert progress == [(i, 8) for i in range(1, 9)]
    assert detector.closed
    only = follow(perceived(tmp_path / "two.mp4", Scripted(detector.frames)), 1)
    assert only.pose is not None
    np.testing.assert_array_equal(only.pose.keypoints[:, 0], small)


def test_short_gaps_are_bridged_long_ones_stay_missing(tmp_path: Path) -> None:
    # at 12 fps, half a second is 6 frames
    there = [*range(4), *range(10, 14), *range(21, 24)]
    detector = Scripted([[person(30 + i, 40)] if i in there else [] for i in range(24)])
    cues = perceived(video(tmp_path / "gaps.mp4", 24), detector)
    assert cues.pose is not None
    np.testing.assert_allclose(cues.pose.keypoints[6, 0], person(36, 40), atol=1e-3)
    assert (cues.pose.scores[:14] == 1).all()
    assert not cues.pose.scores[14:21].any()


class FromBehind(Scripted):
    """Finds no face in the frames where it shows the back, but nose and eyes, as detectors of bodies do."""

    def __call__(self, frame: np.ndarray) -> Detections:
        found = super().__call__(frame)
        found.scores[found.keypoints[:, 2, 0] > found.keypoints[:, 5, 0], FACE] = 0
        return found


def test_a_back_has_no_face(tmp_path: Path) -> None:
    def facing(width: float) -> np.ndarray:
        points = person(60, 40)
        for joint, x, y in ((1, 0, 20), (2, -width, 20), (5, width, 20), (8, -width / 2, 60), (11, width / 2, 60)):
            points[joint] = 60 + x, y
        return points

    # turned away for a quarter of a second: shorter than the gaps that are bridged
    frames = [[facing(-15 if 4 <= i < 7 else 15)] for i in range(12)]
    cues = perceived(video(tmp_path / "turn.mp4", 12), FromBehind(frames))
    assert cues.pose is not None
    for joints in ([0, 14, 15], FACE):
        np.testing.assert_array_equal((cues.pose.scores[:, 0, joints] == 0).all(-1), np.isin(np.arange(12), (4, 5, 6)))
    assert cues.pose.scores[:, 0, [1, 2, 16, 17]].all()


def test_a_lost_person_is_held_and_the_frames_are_named(caplog: pytest.LogCaptureFixture) -> None:
    track = walking_track(10)
    track.scores[[0, 4, 5, 6]] = 0
    cues = Cues(Fraction(10), (64, 64), "clip.mp4", track)
    with caplog.at_level(logging.WARNING):
        pose = follow(cues).pose
    assert "lost in 4 of 10 frames of clip.mp4" in caplog.text
    assert "0, 4-6" in caplog.text
    assert "nobody sees it again" not in caplog.text
    assert pose is not None
    np.testing.assert_array_equal(pose.keypoints[[0, 4, 5, 6]], track.keypoints[[1, 3, 3, 3]])
    assert (pose.scores > 0).all()
    track.scores[8:] = 0
    follow(cues)
    assert "held still there: 0, 4-6, 8-9; after frame 7 nobody sees it again" in caplog.text


def test_nobody_and_nobody_of_that_number(tmp_path: Path) -> None:
    path = video(tmp_path / "empty.mp4", 5)
    with pytest.raises(BunrakuError, match=r"no person was found in any of the 5 frames of .*empty\.mp4 .*scripted"):
        perceived(path, Scripted([[]] * 5))
    cues = perceived(path, Scripted([[person(50, 40)]] * 5))
    with pytest.raises(BunrakuError, match=r"no person 1 .* 1 found"):
        follow(cues, 1)


def test_smoothing_calms_the_followed_person() -> None:
    track = walking_track(30)
    noisy = PoseTrack(
        track.keypoints + np.random.default_rng(0).normal(0, 1, track.keypoints.shape).astype(np.float32),
        track.scores,
        (64, 64),
    )
    cues = Cues(Fraction(30), (64, 64), "noisy", noisy)

    def jitter(pose: PoseTrack | None) -> float:
        assert pose is not None
        return float(np.abs(np.diff(pose.keypoints, n=2, axis=0)).mean())

    assert jitter(follow(cues, smoothing=True).pose) < 0.8 * jitter(follow(cues).pose)


def test_a_cut_is_said_and_begins_the_detector_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Counting(Scripted):
        restarts: tuple[int, ...] = ()

        def restart(self) -> None:
            self.restarts += (self.calls,)

    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 256, (5, 8, 3)), np.ones((16, 15, 1))).astype(np.uint8) for _ in range(2)]
    scenes.append(np.zeros((80, 120, 3), np.uint8))
    with VideoWriter(tmp_path / "cut.mp4", fps=12, size=(80, 120)) as writer:
        for scene in (0, 0, 0, 0, 1, 1, 1, 2):
            writer.write(scenes[scene])
    # somebody is lost in the frame before the cut and stands elsewhere after it: nothing is interpolated between
    detector = Counting([[person(30, 40)]] * 3 + [[]] + [[person(90, 40)]] * 4)
    cues = perceived(tmp_path / "cut.mp4", detector)
    assert detector.restarts == (4,)
    assert cues.pose is not None
    assert not cues.pose.scores[3, 0].any()
    assert "is cut before frame 4: " in caplog.text
    assert "nothing to see in frames 7 of" in caplog.text


def test_whoever_is_new_after_a_cut_takes_the_place_of_whoever_is_gone(tmp_path: Path) -> None:
    """The clothes say that it is somebody else, and the clip is of one person all the same."""
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 256, (5, 8, 3)), np.ones((16, 15, 1))).astype(np.uint8) for _ in range(2)]
    with VideoWriter(tmp_path / "cut.mp4", fps=12, size=(80, 120)) as writer:
        for scene in (0, 0, 0, 0, 1, 1, 1, 1):
            writer.write(scenes[scene])
    detector = Scripted([[person(30, 20)]] * 4 + [[person(90, 60)]] * 4)
    cues = perceived(tmp_path / "cut.mp4", detector)
    assert cues.pose is not None
    assert cues.pose.people == 1
    assert (cues.pose.scores[:, 0] > 0).any(-1).all()


def test_frame_numbers_in_words() -> None:
    assert in_words([3, 7, 8, 9, 11]) == "3, 7-9, 11"
    assert in_words([]) == ""
