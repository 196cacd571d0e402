"""Pictures of retargeting: every skeleton where it belongs, on sheets and in videos; errors before any work."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate.driving import Driving, open_driving
from bunraku.animate.options import MotionOptions
from bunraku.animate.preview import HEIGHT, draw_retargeting, moments, skeleton_frames
from bunraku.animate.reference import open_reference
from bunraku.cues.cues import Cues
from bunraku.cues.retarget import fit
from bunraku.cues.skeleton import COLOURS
from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, VideoWriter, read_image, write_image
from bunraku.perception.pose import FACE, LEFT_HAND, WHOLE_BODY, PoseTrack
from tests.tiny import walking_track


def panels(frame: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """The pictures of a frame without labels and gaps; none is narrower than its label."""
    lefts = np.cumsum([0, *(width + 4 for width in widths)])
    return [frame[-HEIGHT:, left : left + width] for left, width in zip(lefts, widths)]


def one_joint(joint: int, x: float, y: float, size: tuple[int, int]) -> PoseTrack:
    scores = np.zeros((1, 1, WHOLE_BODY), np.float32)
    scores[..., joint] = 1
    return PoseTrack(np.full((1, 1, WHOLE_BODY, 2), (x, y), np.float32), scores, size)


def centre_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a colour is, as (x, y) in shares of the picture."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - colour).max(-1) < 30)
    assert len(rows)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / (picture.shape[1], picture.shape[0])


def test_every_pose_lies_on_its_own_picture(tmp_path: Path) -> None:
    """The driver is twice as wide as high, the reference square; each has one joint at another place."""
    with VideoWriter(tmp_path / "grey.mp4", fps=12, size=(80, 160)) as video:
        for level in (60, 160):
            video.write(np.full((80, 160, 3), level, np.uint8))
    clip = open_driving(tmp_path / "grey.mp4", MotionOptions(driving_kind="rgb"))
    pose = one_joint(4, 40, 20, (80, 160))
    cues = Cues(
        Fraction(12), (80, 160), "", PoseTrack(*(x.repeat(2, 0) for x in (pose.keypoints, pose.scores)), pose.size)
    )
    picture = np.full((200, 200, 3), 200, np.uint8)
    moved = one_joint(LEFT_HAND.start, 150, 50, (200, 200))
    face = one_joint(FACE.start, 50, 150, (200, 200))
    frames = list(
        skeleton_frames(
            clip, cues, picture, one_joint(4, 100, 150, (200, 200)),
            {method: PoseTrack(*(x.repeat(2, 0) for x in (p.keypoints, p.scores)), p.size) for method, p in (("full", moved), ("off", face))},
            [0, 1],
        )
    )  # fmt: skip
    assert len(frames) == 2
    for level, frame in zip((60, 160), frames):
        driver, reference, full, off = panels(frame, [2 * HEIGHT, HEIGHT, HEIGHT, HEIGHT])
        for panel, colour, place in (
            (driver, COLOURS[4], (0.25, 0.25)),
            (reference, COLOURS[4], (0.5, 0.75)),
            (full, (0, 0, 255), (0.75, 0.25)),
            (off, (255, 255, 255), (0.25, 0.75)),
        ):
            np.testing.assert_allclose(centre_of(panel, colour), place, atol=0.01)
        assert abs(int(np.median(driver)) - level) < 4
        assert np.median(reference) == 200
        assert np.median(full) == np.median(off) == 70  # dimmed


def test_the_pose_of_every_method_is_that_of_the_library(puppets: Path, tmp_path: Path) -> None:
    made = draw_retargeting(puppets / "a.png", puppets / "b.cues", tmp_path / "fit.png", ["fit"], MotionOptions(stop=1))
    assert made.methods == ("fit",)
    image, clip = read_image(puppets / "a.png"), open_driving(puppets / "b.cues", MotionOptions(stop=1))
    own = open_reference(puppets / "a.png").known_people
    cues = clip.followed(MotionOptions())
    assert own is not None
    assert cues.pose is not None
    expected = next(skeleton_frames(clip, cues, image, own, {"fit": fit(cues.pose, own)}, [0]))
    np.testing.assert_array_equal(read_image(tmp_path / "fit.png"), expected)
    other = next(skeleton_frames(clip, cues, image, own, {"fit": own}, [0]))
    assert not np.array_equal(expected, other)


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, [0]), (3, [0, 1, 2]), (12, [0, 3, 6, 8, 11]), (101, [0, 25, 50, 75, 100])]
)
def test_moments_span_the_clip(frames: int, expected: list[int]) -> None:
    assert moments(frames) == expected


def test_a_sheet_of_moments_and_a_video_of_all_frames_show_the_same(puppets: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    options = MotionOptions(reference_pose=puppets / "a.pose.json", start=1, stop=9)
    shutil.copy(puppets / "b.cues", tmp_path)
    sheet = draw_retargeting(
        puppets / "a.png",
        tmp_path / "b.cues",
        tmp_path / "sheet.jpg",
        options=options,
        on_progress=lambda *at: told.append(at),
    )
    assert told == [("draw", i, 5) for i in range(1, 6)]
    video = draw_retargeting(puppets / "a.png", tmp_path / "b.cues", tmp_path / "video.mkv", options=options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.cues", "sheet.jpg", "video.mkv"]
    assert (sheet.frames, video.frames, sheet.fps, sheet.driving) == (5, 8, 12, "cues")
    assert sheet.methods == video.methods == ("grounded", "align", "off")
    reader = VideoReader(tmp_path / "video.mkv")
    assert (len(reader), reader.fps, reader.size) == (8, 12, video.size)
    rows = read_image(tmp_path / "sheet.jpg")
    assert sheet.size == rows.shape[:2] == (5 * video.size[0], video.size[1])
    shown = np.concatenate([frame for number, frame in enumerate(reader) if number in moments(8)])
    # both are lossy
    assert np.abs(rows.astype(int) - shown).mean() < 3
    numbered = draw_retargeting(
        puppets / "a.png", tmp_path / "b.cues", tmp_path / "out", ["off"], MotionOptions(stop=2)
    )
    assert numbered.size == read_image(tmp_path / "out" / "0001.png").shape[:2]


def test_input_is_checked_before_anything_slow(puppets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        pytest.fail("a detector was loaded before the input was checked")

    monkeypatch.setattr("bunraku.animate.reference.reference_pose", slow)
    monkeypatch.setattr(Driving, "followed", slow)
    drawn = Cues(Fraction(12), (64, 64), "drawn", skeleton=np.zeros((3, 64, 64, 3), np.uint8))
    drawn.save(tmp_path / "drawn.cues")
    write_image(tmp_path / "alone.png", np.zeros((64, 64, 3), np.uint8))
    before = sorted(tmp_path.iterdir())
    reference, driving, output = tmp_path / "alone.png", puppets / "b.cues", tmp_path / "out.png"
    for arguments, message in (
        ((tmp_path / "gone.png", driving, output), r"gone\.png does not exist"),
        ((reference, tmp_path / "gone.mp4", output), r"gone\.mp4 does not exist"),
        ((reference, tmp_path / "drawn.cues", output), r"drawn skeletons of .*drawn\.cues have no keypoints"),
        ((reference, driving, reference), "is also an input"),
        ((reference, driving, tmp_path / "no" / "out.png"), "does not exist"),
        ((reference, driving, tmp_path / "out.xyz"), r"out\.xyz: neither a picture \(\.png .*\) nor a video \(\.mp4"),
        (
            (reference, driving, output, ["full", "half"]),
            "unknown retargeting 'half'; there are grounded, full, align, fit, off",
        ),
    ):
        with pytest.raises(BunrakuError, match=message):
            draw_retargeting(*arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_nobody_in_the_clip_or_the_reference_is_said(puppets: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    write_image(tmp_path / "grey.png", np.full((64, 64, 3), 128, np.uint8))
    options = MotionOptions(detector="mediapipe")
    with pytest.raises(BunrakuError, match=r"no person was found in the reference .*grey\.png"):
        draw_retargeting(tmp_path / "grey.png", puppets / "b.cues", tmp_path / "out.png", options=options)
    track = walking_track(3)
    lost = PoseTrack(track.keypoints, 0 * track.scores, track.size)
    Cues(Fraction(12), track.size, "empty", lost).save(tmp_path / "empty.cues")
    with pytest.raises(BunrakuError, match="fewer than 3 joints in every frame"):
        draw_retargeting(puppets / "a.png", tmp_path / "empty.cues", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
