"""Clips as streams of frames, from files and folders."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.media import (
    FrameArray,
    FrameFolder,
    FramesByNumber,
    VideoReader,
    VideoWriter,
    clips_in,
    open_frames,
    write_image,
)
from bunraku.media.frames import pictures_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames 8 to 11, each as grey as its number says, and a file that is none."""
    for number in range(8, 12):
        write_image(tmp_path / f"frame{number}.png", np.full((32, 40, 3), 10 * number, np.uint8))
    (tmp_path / "notes.txt").write_text("no frame")
    return tmp_path


def greys(frames: FrameFolder | VideoReader) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


def test_a_folder_is_read_in_the_order_of_its_numbers(folder: Path) -> None:
    frames = open_frames(folder)
    assert isinstance(frames, FrameFolder)
    assert (len(frames), frames.size, frames.fps) == (4, (32, 40), 25)
    assert greys(frames) == greys(frames) == [80, 90, 100, 110]
    assert greys(open_frames(folder, 1, 3, Fraction(12))) == [90, 100]


def test_pictures_at_hand_are_a_clip() -> None:
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    frames = FrameArray(pictures, Fraction(12))
    assert (len(frames), frames.size, frames.fps) == (5, (4, 6), 12)
    part = frames.part(1, 4).part(1, 3)
    assert [int(frame[0, 0, 0]) for frame in part] == [int(frame[0, 0, 0]) for frame in part] == [2, 3]
    assert FramesByNumber(part)[[1, 0]][:, 0, 0, 0].tolist() == [3, 2]
    with pytest.raises(BunrakuError, match="has 5 frames; the range 5:9 has none"):
        frames.part(5, 9)


def test_parts(folder: Path) -> None:
    frames = FrameFolder(folder, 1)
    assert greys(frames.part(1, 3)) == [100, 110]
    assert len(frames) == 3
    with pytest.raises(BunrakuError, match="has 3 frames; the range 3:9 has none"):
        frames.part(3, 9)


def test_a_file_is_opened_as_a_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=12, size=(32, 32)) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "b.txt").touch()
    frames = open_frames(tmp_path / "a.mp4")
    assert isinstance(frames, VideoReader)
    assert frames.fps == 12
    assert clips_in(tmp_path) == [tmp_path / "a.mp4"]
    assert clips_in(tmp_path / "a.mp4") == []


def test_bad_folders(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(BunrakuError, match="without frames"):
        FrameFolder(tmp_path_factory.mktemp("empty"))
    write_image(folder / "frame12.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(BunrakuError, match=r"frame12\.png is 40x40 px, the frames before it 40x32"):
        list(FrameFolder(folder))


def test_hidden_files_are_no_frames(tmp_path):
    """macOS writes ._NAME beside every NAME on drives of other systems; a killed run leaves .NAME.partial.png."""
    write_image(tmp_path / "0000.png", np.zeros((32, 40, 3), np.uint8))
    for name in ("._0000.png", ".DS_Store", "._0001.mp4"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")
    assert pictures_in(tmp_path) == [tmp_path / "0000.png"]
    assert len(FrameFolder(tmp_path)) == 1
    assert clips_in(tmp_path) == []
