"""DRIVING of every kind becomes cues, and one person is followed."""

import logging
import shutil
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate.driving import driving_kind, is_drawn_skeleton, open_driving, perceive
from bunraku.animate.options import MotionOptions
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_openpose_json
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.media import VideoWriter, write_image
from bunraku.perception.pose import WHOLE_BODY, Detections, PoseTrack
from tests.tiny import walking_track
from tests.video import read_video


def drawn(path: Path, frames: int = 6) -> np.ndarray:
    skeletons = draw_skeleton(walking_track(frames, (96, 96)))
    with VideoWriter(path, fps=25, size=(96, 96)) as writer:
        for frame in skeletons:
            writer.write(frame)
    return skeletons


@pytest.mark.parametrize(
    ("name", "kind"), [("skeleton_only.mp4", "drawn"), ("dance_plain.mp4", "rgb"), ("two_people.mp4", "rgb")]
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
    assert driving.kind == "skeleton", "joints that wander about are no body"
    cues = driving.cues(MotionOptions())
    assert cues.skeleton is not None
    assert np.abs(cues.skeleton.astype(int) - skeletons).mean() < 8
    small = driving.cues(MotionOptions(), longest_side=48).skeleton
    assert small is not None
    assert small.shape == (6, 48, 48, 3)
    assert driving.followed(MotionOptions()).skeleton is not None


def test_the_kind_can_be_given(tmp_path: Path) -> None:
    drawn(tmp_path / "drawn.mp4")
    assert open_driving(tmp_path / "drawn.mp4", MotionOptions(driving_kind="rgb")).kind == "rgb"


def test_openpose_folder_with_rate_and_range(tmp_path: Path) -> None:
    track = walking_track(10)
    write_openpose_json(track, tmp_path / "json")
    cues = perceive(tmp_path / "json", MotionOptions(start=2, stop=5))
    assert cues.pose is not None
    assert cues.fps == 25
    np.testing.assert_array_equal(cues.pose.keypoints, track.keypoints[2:5])
    assert perceive(tmp_path / "json", MotionOptions(fps=Fraction(12))).fps == 12
    assert len(perceive(tmp_path / "json", MotionOptions(fps=Fraction(12)))) == 10
    with pytest.raises(BunrakuError, match="has 10 frames, numbered from 0; --start 10 leaves none of them"):
        open_driving(tmp_path / "json", MotionOptions(start=10))


def test_gaps_in_openpose_files_are_bridged_as_in_footage(tmp_path: Path) -> None:
    """One joint that is gone for two frames, and everybody where numbers are missing."""
    track = walking_track(12)
    track.scores[4:6, 0, 7] = 0
    write_openpose_json(track, tmp_path / "poses")
    for number in (8, 9):
        (tmp_path / "poses" / f"{number:012d}_keypoints.json").unlink()
    pose = open_driving(tmp_path / "poses").followed(MotionOptions()).pose
    assert pose is not None
    assert pose.scores.all()
    np.testing.assert_allclose(pose.keypoints, track.keypoints, atol=1)  # steps of that walk are no straight lines


def test_a_canvas_that_the_files_contradict_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_openpose_json(walking_track(3), tmp_path / "poses")
    open_driving(tmp_path / "poses", MotionOptions(canvas=(64, 64)))
    assert not caplog.records
    assert open_driving(tmp_path / "poses", MotionOptions(canvas=(640, 320))).cues(MotionOptions()).size == (64, 64)
    assert "--canvas is not used" in caplog.text


def test_bvh_is_resampled(assets: Path) -> None:
    path = assets / "motions" / "dab.bvh"
    own, slow = perceive(path), perceive(path, MotionOptions(fps=Fraction(10)))
    assert slow.fps == 10
    assert abs(len(slow) / 10 - len(own) / float(own.fps)) < 0.1
    assert slow.pose is not None
    assert slow.pose.people == 1


def test_saved_cues_are_read_and_resampled_to_the_nearest_frames(tmp_path: Path) -> None:
    track = walking_track(12)
    depth = np.arange(12, dtype=np.float32)[:, None, None]
    Cues(Fraction(24), (64, 64), "clip", track, maps={"depth": depth}).save(tmp_path / "x.cues")
    half = perceive(tmp_path / "x.cues", MotionOptions(fps=Fraction(12)))
    assert half.pose is not None
    np.testing.assert_array_equal(half.pose.keypoints, track.keypoints[::2])
    np.testing.assert_array_equal(half.maps["depth"], depth[::2])
    assert len(perceive(tmp_path / "x.cues", MotionOptions(fps=Fraction(48)))) == 24


def test_a_folder_of_frames_is_read_by_number(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        write_image(tmp_path / f"frame{i}.png", np.full((40, 40, 3), 10 * i, np.uint8))
    driving = open_driving(tmp_path, MotionOptions(fps=Fraction(10)))
    assert driving.kind == "rgb"
    assert driving.source.fps == 10
    assert [frame[0, 0, 0] for frame in driving.source] == [10, 20, 100]  # type: ignore[union-attr]
    write_image(tmp_path / "frame3.png", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(BunrakuError, match=r"frame3\.png is 48x40 px, the frames before it 40x40"):
        list(open_driving(tmp_path, MotionOptions(driving_kind="rgb")).source)  # type: ignore[call-overload]


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
    assert open_driving(puppets / "b.mp4", MotionOptions(start=6)).sound_start == Fraction(1, 2)
    assert open_driving(puppets / "b.mp4", MotionOptions(start=6, fps=Fraction(4))).sound_start == Fraction(1, 2)
    assert len(read_video(puppets / "b.mp4").frames) == len(open_driving(puppets / "b.mp4"))


def test_the_range_and_rate_of_the_options_are_the_clips(puppets: Path) -> None:
    clip = open_driving(puppets / "b.cues", MotionOptions(start=4, stop=10, fps=Fraction(6)))
    assert (clip.kind, len(clip)) == ("cues", 3)
    whole = Cues.load(puppets / "b.cues").pose
    half = clip.followed(MotionOptions())
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
    clip = open_driving(tmp_path / "two.cues", options)
    second = clip.followed(options).pose
    assert second is not None
    np.testing.assert_array_equal(second.keypoints, both[:, 1:])
    smooth = clip.followed(MotionOptions(person=1, smoothing=True)).pose
    assert smooth is not None
    assert not np.array_equal(smooth.keypoints, second.keypoints)
    with pytest.raises(BunrakuError, match="no person 2"):
        clip.followed(MotionOptions(person=2))


def test_footage_is_reduced_to_a_height_and_poses_have_none(puppets: Path) -> None:
    frames = list(open_driving(puppets / "b.mp4").footage(48))
    assert np.shape(frames) == (12, 48, 32, 3)
    whole = read_video(puppets / "b.mp4").frames
    assert np.abs(np.mean(frames, (1, 2, 3)) - whole.mean((1, 2, 3))).max() < 1
    assert not list(islice(open_driving(puppets / "b.cues").footage(48), 1))


def test_drawn_skeletons_have_no_keypoints(puppets: Path, tmp_path: Path) -> None:
    drawn = Cues(Fraction(12), (64, 64), "drawn", skeleton=np.zeros((3, 64, 64, 3), np.uint8))
    drawn.save(tmp_path / "drawn.cues")
    assert not open_driving(tmp_path / "drawn.cues").has_keypoints
    assert not open_driving(puppets / "b.mp4", MotionOptions(driving_kind="skeleton")).has_keypoints
    assert open_driving(puppets / "b.mp4").has_keypoints
    assert open_driving(puppets / "b.cues").has_keypoints


@pytest.mark.parametrize("fps", [None, Fraction(5), Fraction(30)])
def test_ranges_count_the_frames_of_the_clip_itself(
    fps: Fraction | None, puppets: Path, assets: Path, tmp_path: Path
) -> None:
    """Frames 3 to 8 of a clip at 12 (BVH: 30) frames per second, whatever the output's rate is: the same stretch of time."""
    for path in (puppets / "b.mp4", puppets / "b.cues", assets / "motions" / "dab.bvh"):
        whole = open_driving(path)
        own, rate = whole.source.fps, fps or whole.source.fps
        part = open_driving(path, MotionOptions(start=3, stop=9, fps=fps))
        assert part.source.fps == rate
        assert len(part) == round(9 * rate / own) - round(3 * rate / own)
        everything = open_driving(path, MotionOptions(fps=fps))
        first = round(3 * rate / own)
        if isinstance(part.source, Cues) and isinstance(everything.source, Cues):
            assert part.source.pose is not None
            assert everything.source.pose is not None
            np.testing.assert_array_equal(
                part.source.pose.keypoints, everything.source.pose.keypoints[first : first + len(part)]
            )
        elif not isinstance(everything.source, Cues):
            np.testing.assert_array_equal(list(part.source), list(everything.source)[first : first + len(part)])
    with pytest.raises(BunrakuError, match="has 12 frames, numbered from 0; --start 5 and --stop 5 leave none of them"):
        open_driving(puppets / "b.mp4", MotionOptions(start=5, stop=5, fps=fps))
    assert len(open_driving(puppets / "b.mp4", MotionOptions(start=11, fps=Fraction(1)))) == 1


class Somebody:
    """A detector that sees `people` people of falling size, always in the same places."""

    name, provider = "somebody", "nothing"

    def __init__(self, people: int = 1) -> None:
        self.people = people

    def __call__(self, frame: np.ndarray) -> Detections:
        spots = np.random.default_rng(0).uniform(-1, 1, (WHOLE_BODY, 2)).astype(np.float32)
        spots -= np.median(spots[:18], axis=0)
        places = [(16 * (i + 1), 48) + spots * (8 - i) for i in range(self.people)]
        return Detections.of([(place.astype(np.float32), np.ones(WHOLE_BODY, np.float32)) for place in places])

    def restart(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_cues_find_the_sound_of_their_clip_wherever_both_are(
    puppets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "here").mkdir()
    shutil.copy(puppets / "b.mp4", tmp_path / "here" / "b.mp4")
    clip = open_driving(tmp_path / "here" / "b.mp4", MotionOptions(start=3))
    cues = clip.cues(MotionOptions(), Somebody())
    assert (cues.media, cues.media_start) == (tmp_path / "here" / "b.mp4", Fraction(1, 4))
    cues.save(tmp_path / "here" / "b.cues")
    cues.save(tmp_path / "elsewhere.cues")
    for path in (tmp_path / "here" / "b.cues", tmp_path / "elsewhere.cues"):
        later = open_driving(path, MotionOptions(start=3))
        assert (later.sound, later.sound_start) == (tmp_path / "here" / "b.mp4", Fraction(1, 2))
        assert later.files == [path, tmp_path / "here" / "b.mp4"]
    (tmp_path / "here").rename(tmp_path / "there")
    assert open_driving(tmp_path / "there" / "b.cues").sound == tmp_path / "there" / "b.mp4"
    with caplog.at_level(logging.INFO):
        assert open_driving(tmp_path / "elsewhere.cues").sound is None
    assert "is not there any more: there will be no sound" in caplog.text


def test_who_was_seen_and_who_is_followed_is_said(puppets: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = open_driving(puppets / "b.mp4", MotionOptions(driving_kind="rgb", stop=4))
    for people, person, words in (
        (1, 0, "one person drives, from b.mp4; at most 2 are looked for (--people)"),
        (3, 0, "2 people are in b.mp4: 0 at 25 % of the width, in all 4 frames; 1 at 50 %"),
        (2, 1, "Person 1 drives; --person chooses another"),
        (2, 0, "Person 0 drives, the largest; --person chooses another"),
    ):
        caplog.clear()
        with caplog.at_level(logging.INFO), pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "bunraku.cues.perceive.create_pose_detector", lambda *_, people=people, **__: Somebody(people)
            )
            clip.followed(MotionOptions(person=person))
        assert words in caplog.text


def test_a_rate_that_nobody_says_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_openpose_json(walking_track(3), tmp_path / "json")
    (tmp_path / "frames").mkdir()
    write_image(tmp_path / "frames" / "0.png", np.full((40, 40, 3), 90, np.uint8))
    for folder in (tmp_path / "json", tmp_path / "frames"):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            open_driving(folder, MotionOptions(fps=Fraction(12)))
            assert "frame rate" not in caplog.text
            open_driving(folder)
        assert "does not say its frame rate; it is played at 25 frames per second (--fps)" in caplog.text


def test_a_web_address_is_no_file() -> None:
    for address in ("https://example.org/dance.mp4", Path("https://example.org/dance.mp4")):
        with pytest.raises(BunrakuError, match="is a web address; download it first"):
            open_driving(address)


def test_cues_whose_clip_is_damaged_still_drive(
    puppets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cues = replace(Cues.load(puppets / "b.cues"), media=tmp_path / "film.mp4")
    (tmp_path / "film.mp4").write_bytes(b"no video")
    cues.save(tmp_path / "a.cues")
    clip = open_driving(tmp_path / "a.cues")
    assert (clip.film, clip.sound, clip.pictures) == (None, None, None)
    assert "cannot be read: there will be no sound, and no scene" in caplog.text


def test_more_frames_per_second_than_anything_shows(tmp_path):
    path = tmp_path / "fast.mp4"
    with VideoWriter(path, fps=2400, size=(96, 96)) as writer:
        for _ in range(10):
            writer.write(np.zeros((96, 96, 3), np.uint8))
    with pytest.raises(BunrakuError, match=r"2400 frames per second; 1000 is the most.*--fps 30"):
        open_driving(path, MotionOptions())
    assert open_driving(path, MotionOptions(fps=Fraction(30))).source.fps == 30
