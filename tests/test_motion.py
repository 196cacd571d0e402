"""Which frames of a clip drive, whom of them, and where the reference's own pose comes from."""

import logging
import shutil
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.cues import Cues
from bunraku.driving import open_driving
from bunraku.errors import BunrakuError
from bunraku.media import read_video
from bunraku.motion import MotionOptions, followed, footage, has_keypoints, known_pose, open_motion
from bunraku.perception.pose import PoseTrack
from tests.tiny import walking_track


def test_values_out_of_range_are_all_named() -> None:
    MotionOptions()
    with pytest.raises(BunrakuError, match=r"person -1 must be at least 0; max-people 0 must .* 1; frame rate 0 must"):
        MotionOptions(person=-1, max_people=0, fps=Fraction(0))


def test_the_range_and_rate_of_the_options_are_the_clips(puppets: Path) -> None:
    clip = open_motion(puppets / "b.cues", MotionOptions(start=2, stop=5, fps=Fraction(6)))
    assert (clip.kind, clip.start, len(clip)) == ("cues", 2, 3)
    whole = Cues.load(puppets / "b.cues").pose
    half = followed(clip, MotionOptions())
    assert whole is not None
    assert half.pose is not None
    assert half.fps == 6
    np.testing.assert_array_equal(half.pose.keypoints, whole.keypoints[[4, 6, 8]])


def test_the_person_of_the_options_is_followed_and_smoothed(tmp_path: Path) -> None:
    track = walking_track(6)
    both = np.concatenate([track.keypoints, track.keypoints[::-1] + np.float32(5)], 1)
    Cues(Fraction(12), (64, 64), "two", PoseTrack(both, np.ones((6, 2, 18), np.float32), (64, 64))).save(
        tmp_path / "two.cues"
    )
    options = MotionOptions(person=1)
    clip = open_motion(tmp_path / "two.cues", options)
    second = followed(clip, options).pose
    assert second is not None
    np.testing.assert_array_equal(second.keypoints, both[:, 1:])
    smooth = followed(clip, MotionOptions(person=1, smoothing=True)).pose
    assert smooth is not None
    assert not np.array_equal(smooth.keypoints, second.keypoints)
    with pytest.raises(BunrakuError, match="no person 2"):
        followed(clip, MotionOptions(person=2))


def test_a_pose_is_read_from_the_file_that_is_named_or_lies_beside(
    puppets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(puppets / "a.png", tmp_path / "alone.png")
    assert known_pose(tmp_path / "alone.png", (96, 64), MotionOptions()) is None
    with caplog.at_level(logging.INFO):
        beside = known_pose(puppets / "a.png", (96, 64), MotionOptions())
    assert "a.pose.json" in caplog.text
    named = known_pose(tmp_path / "alone.png", (192, 128), MotionOptions(reference_pose=puppets / "a.pose.json"))
    assert beside is not None
    assert named is not None
    assert named.size == (192, 128)
    np.testing.assert_allclose(named.keypoints, 2 * beside.keypoints, rtol=1e-5)


def test_footage_is_reduced_to_a_height_and_poses_have_none(puppets: Path) -> None:
    frames = list(footage(open_driving(puppets / "b.mp4"), 48))
    assert np.shape(frames) == (12, 48, 32, 3)
    whole = read_video(puppets / "b.mp4").frames
    assert np.abs(np.mean(frames, (1, 2, 3)) - whole.mean((1, 2, 3))).max() < 1
    assert not list(islice(footage(open_driving(puppets / "b.cues"), 48), 1))


def test_drawn_skeletons_have_no_keypoints(puppets: Path, tmp_path: Path) -> None:
    drawn = Cues(Fraction(12), (64, 64), "drawn", skeleton=np.zeros((3, 64, 64, 3), np.uint8))
    drawn.save(tmp_path / "drawn.cues")
    assert not has_keypoints(open_driving(tmp_path / "drawn.cues"))
    assert not has_keypoints(open_driving(puppets / "b.mp4", kind="skeleton"))
    assert has_keypoints(open_driving(puppets / "b.mp4"))
    assert has_keypoints(open_driving(puppets / "b.cues"))
