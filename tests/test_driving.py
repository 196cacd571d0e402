"""DRIVING of every kind becomes cues, and one person is followed."""

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_openpose_json
from bunraku.cues.skeleton import draw_skeleton
from bunraku.driving import driving_kind, follow, is_drawn_skeleton, load_driving, open_driving, perceive
from bunraku.errors import BunrakuError
from bunraku.media import VideoWriter, read_video, write_image
from bunraku.perception.pose import WHOLE_BODY, Detections, PoseTrack
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


def drawn(path: Path, frames: int = 6) -> np.ndarray:
    skeletons = draw_skeleton(walking_track(frames, (96, 96)))
    with VideoWriter(path, fps=25, size=(96, 96)) as writer:
        for frame in skeletons:
            writer.write(frame)
    return skeletons


def test_everybody_keeps_one_identity_the_largest_first(tmp_path: Path) -> None:
    small, large = [person(20 + i, 20) for i in range(8)], [person(90 - i, 50) for i in range(8)]
    detector = Scripted([[s, p] if i % 2 else [p, s] for i, (s, p) in enumerate(zip(small, large))])
    progress: list[tuple[int, int]] = []
    cues = perceive(video(tmp_path / "two.mp4", 8), detector, on_frame=lambda *at: progress.append(at))
    assert cues.pose is not None
    assert (len(cues), cues.fps, cues.size, cues.pose.people) == (8, 12, (80, 120), 2)
    np.testing.assert_array_equal(cues.pose.keypoints[:, 0], large)
    np.testing.assert_array_equal(cues.pose.keypoints[:, 1], small)
    assert progress == [(i, 8) for i in range(1, 9)]
    assert detector.closed
    only = perceive(tmp_path / "two.mp4", Scripted(detector.frames), person=1)
    assert only.pose is not None
    np.testing.assert_array_equal(only.pose.keypoints[:, 0], small)


def test_short_gaps_are_bridged_long_ones_stay_missing(tmp_path: Path) -> None:
    # at 12 fps, half a second is 6 frames
    there = [*range(4), *range(10, 14), *range(21, 24)]
    detector = Scripted([[person(30 + i, 40)] if i in there else [] for i in range(24)])
    cues = perceive(video(tmp_path / "gaps.mp4", 24), detector)
    assert cues.pose is not None
    np.testing.assert_allclose(cues.pose.keypoints[6, 0], person(36, 40), atol=1e-3)
    assert (cues.pose.scores[:14] == 1).all()
    assert not cues.pose.scores[14:21].any()


def test_a_lost_person_is_held_and_the_frames_are_named(caplog: pytest.LogCaptureFixture) -> None:
    track = walking_track(10)
    track.scores[[0, 4, 5, 6]] = 0
    cues = Cues(Fraction(10), (64, 64), "clip.mp4", track)
    with caplog.at_level(logging.WARNING):
        pose = follow(cues).pose
    assert "lost in 4 of 10 frames of clip.mp4" in caplog.text
    assert "0, 4-6" in caplog.text
    assert pose is not None
    np.testing.assert_array_equal(pose.keypoints[[0, 4, 5, 6]], track.keypoints[[1, 3, 3, 3]])
    assert (pose.scores > 0).all()


def test_nobody_and_nobody_of_that_number(tmp_path: Path) -> None:
    path = video(tmp_path / "empty.mp4", 5)
    with pytest.raises(BunrakuError, match=r"no person was found in any of the 5 frames of .*empty\.mp4 .*scripted"):
        perceive(path, Scripted([[]] * 5))
    cues = perceive(path, Scripted([[person(50, 40)]] * 5))
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


@pytest.mark.parametrize(
    ("name", "kind"), [("skeleton_only.mp4", "skeleton"), ("dance_plain.mp4", "rgb"), ("two_people.mp4", "rgb")]
)
def test_drawn_skeletons_are_told_from_footage(assets: Path, name: str, kind: str) -> None:
    assert driving_kind(assets / "drivers" / name) == kind


def test_dark_footage_is_no_skeleton() -> None:
    rng = np.random.default_rng(0)
    night = np.zeros((4, 64, 64, 3), np.uint8)
    night[:, 20:40, 20:30] = rng.integers(90, 200, (4, 20, 10, 1)) + rng.integers(0, 30, (4, 20, 10, 3))
    assert not is_drawn_skeleton(night)
    assert not is_drawn_skeleton(np.zeros((4, 64, 64, 3), np.uint8))
    assert is_drawn_skeleton(draw_skeleton(walking_track(4)))


def test_a_skeleton_video_becomes_drawn_cues_no_larger_than_wanted(tmp_path: Path) -> None:
    skeletons = drawn(tmp_path / "drawn.mp4")
    driving = open_driving(tmp_path / "drawn.mp4")
    assert driving.kind == "skeleton"
    cues = driving.cues("mediapipe")
    assert cues.skeleton is not None
    assert np.abs(cues.skeleton.astype(int) - skeletons).mean() < 8
    small = driving.cues(longest_side=48).skeleton
    assert small is not None
    assert small.shape == (6, 48, 48, 3)
    assert follow(cues) is cues


def test_the_kind_can_be_given(tmp_path: Path) -> None:
    drawn(tmp_path / "drawn.mp4")
    assert open_driving(tmp_path / "drawn.mp4", kind="rgb").kind == "rgb"
    with pytest.raises(BunrakuError, match="unknown kind of driving 'film'"):
        open_driving(tmp_path / "drawn.mp4", kind="film")  # type: ignore[arg-type]


def test_openpose_folder_with_rate_and_range(tmp_path: Path) -> None:
    track = walking_track(10)
    write_openpose_json(track, tmp_path / "json")
    cues = load_driving(tmp_path / "json", start=2, stop=5)
    assert cues.pose is not None
    assert cues.fps == 25
    np.testing.assert_array_equal(cues.pose.keypoints, track.keypoints[2:5])
    assert load_driving(tmp_path / "json", fps=Fraction(12)).fps == 12
    assert len(load_driving(tmp_path / "json", fps=Fraction(12))) == 10
    with pytest.raises(BunrakuError, match="has 10 frames; the range 10:None has none of them"):
        open_driving(tmp_path / "json", start=10)


def test_bvh_is_resampled(assets: Path) -> None:
    path = assets / "motions" / "dab.bvh"
    own, slow = load_driving(path), load_driving(path, fps=Fraction(10))
    assert slow.fps == 10
    assert abs(len(slow) / 10 - len(own) / float(own.fps)) < 0.1
    assert slow.pose is not None
    assert slow.pose.people == 1


def test_saved_cues_are_read_and_resampled_to_the_nearest_frames(tmp_path: Path) -> None:
    track = walking_track(12)
    depth = np.arange(12.0)
    Cues(Fraction(24), (64, 64), "clip", track, maps={"depth": depth}).save(tmp_path / "x.cues")
    half = load_driving(tmp_path / "x.cues", fps=Fraction(12))
    assert half.pose is not None
    np.testing.assert_array_equal(half.pose.keypoints, track.keypoints[::2])
    np.testing.assert_array_equal(half.maps["depth"], depth[::2])
    assert len(load_driving(tmp_path / "x.cues", fps=Fraction(48))) == 24
    with pytest.raises(BunrakuError, match="frame rate 0 is out of range"):
        open_driving(tmp_path / "x.cues", fps=Fraction(0))


def test_a_folder_of_frames_is_read_by_number(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        write_image(tmp_path / f"frame{i}.png", np.full((40, 40, 3), 10 * i, np.uint8))
    driving = open_driving(tmp_path, fps=Fraction(10))
    assert driving.kind == "rgb"
    assert driving.source.fps == 10
    assert [frame[0, 0, 0] for frame in driving.source] == [10, 20, 100]  # type: ignore[union-attr]
    write_image(tmp_path / "frame3.png", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(BunrakuError, match=r"frame3\.png is 48x40 px, the frames before it 40x40"):
        list(open_driving(tmp_path, kind="rgb").source)  # type: ignore[call-overload]


def test_what_cannot_drive(tmp_path: Path, puppets: Path) -> None:
    (tmp_path / "note.txt").write_text("dance like this")
    (tmp_path / "none").mkdir()
    (tmp_path / "cut.mp4").write_bytes((puppets / "b.mp4").read_bytes()[:-1500])
    (tmp_path / "zero.mp4").touch()
    for path, message in (
        (tmp_path / "note.txt", "not a video"),
        (puppets / "a.png", "still image"),
        (tmp_path / "cut.mp4", "truncated"),
        (tmp_path / "zero.mp4", "is empty"),
        (tmp_path / "gone.mp4", "does not exist"),
        (tmp_path / "none", "without frames"),
    ):
        with pytest.raises(BunrakuError, match=message):
            open_driving(path)


def test_sound_belongs_to_videos_that_have_some(puppets: Path) -> None:
    assert open_driving(puppets / "b.mp4").sound == puppets / "b.mp4"
    assert open_driving(puppets / "a.mp4").sound is None
    assert open_driving(puppets / "b.cues").sound is None
    assert len(read_video(puppets / "b.mp4").frames) == len(open_driving(puppets / "b.mp4"))
