"""Frames of a clip, streamed: from a video file or from a folder of pictures."""

import re
from collections.abc import Iterator, Sequence
from copy import copy
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.media.images import IMAGE_SUFFIXES, read_image
from bunraku.media.reader import VideoReader

FOLDER_FPS = Fraction(25)
"""Rate of a folder of frames or of OpenPose JSON, which do not say theirs."""

CLIPS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
"""What the names of video files end in, where a folder is searched for them."""


class Pictures(Protocol):
    """Pictures of a clip by number: a NumPy array, or something that reads or draws them when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: Any) -> np.ndarray:
        """uint8 (f, H, W, C) for a list of f frame numbers."""
        ...


class Frames(Protocol):
    """RGB frames that can be read from the start any number of times: a video file or a folder of pictures."""

    fps: Fraction
    size: tuple[int, int]

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 (H, W, 3) RGB."""
        ...


class FrameFolder:
    """The pictures of a folder, in the order of the numbers in their names, as the frames of a clip.

    Raises:
        BunrakuError: there are none (in the range); while reading, one that is damaged or of another size.
    """

    def __init__(
        self, path: Path, start: int | None = None, stop: int | None = None, fps: Fraction = FOLDER_FPS
    ) -> None:  # fmt: skip
        files = pictures_in(path)
        if not files:
            raise BunrakuError(f"{path} is a folder without frames (PNG, JPEG) or OpenPose JSON files")
        first, last = checked_range(str(path), len(files), start, stop)
        self.path, self._files = path, files[first:last]
        self.fps, self.size = fps, read_image(self._files[0]).shape[:2]

    def __len__(self) -> int:
        return len(self._files)

    def part(self, start: int, stop: int) -> "FrameFolder":
        """Frames [start, stop) of these."""
        first, last = checked_range(str(self.path), len(self), start, stop)
        part = copy(self)
        part._files = self._files[first:last]
        return part

    def __iter__(self) -> Iterator[np.ndarray]:
        for file in self._files:
            frame = read_image(file)
            if frame.shape[:2] != self.size:
                raise BunrakuError(
                    f"{file} is {frame.shape[1]}x{frame.shape[0]} px, the frames before it {self.size[1]}x{self.size[0]}; "
                    "all frames of a clip have one size"
                )
            yield frame


class FrameArray:
    """Pictures that are at hand, as the frames of a clip.

    Args:
        pictures: uint8 (F, H, W, 3) RGB, or something that reads or draws them.
        fps: their rate.
    """

    def __init__(self, pictures: Pictures, fps: Fraction = FOLDER_FPS) -> None:
        self._pictures, self._numbers = pictures, range(len(pictures))
        self.fps, self.size = fps, pictures[[0]].shape[1:3]

    def __len__(self) -> int:
        return len(self._numbers)

    def part(self, start: int, stop: int) -> "FrameArray":
        """Frames [start, stop) of these."""
        first, last = checked_range("the pictures", len(self), start, stop)
        part = copy(self)
        part._numbers = self._numbers[first:last]
        return part

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._pictures[[number]][0] for number in self._numbers)


class FramesByNumber:
    """Frames of a clip by their numbers: `FramesByNumber(frames)[[3, 4, 5]]` is uint8 (3, H, W, 3). Numbers in a row are read in one go."""

    def __init__(self, frames: VideoReader | FrameFolder | FrameArray) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, numbers: Sequence[int]) -> np.ndarray:
        wanted = np.asarray(numbers)
        images = np.empty((len(wanted), *self._frames.size, 3), np.uint8)
        distinct = np.unique(wanted)
        for run in np.split(distinct, np.flatnonzero(np.diff(distinct) > 1) + 1):
            if len(run):
                for number, image in enumerate(self._frames.part(int(run[0]), int(run[-1]) + 1), int(run[0])):
                    images[wanted == number] = image
        return images


class Remembered:
    """Pictures by number, of which those that were asked for last are kept, for several who look at the same frames one after the other."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures, self._kept = pictures, dict[tuple[int, ...], np.ndarray]()

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, numbers: Sequence[int]) -> np.ndarray:
        asked = tuple(numbers)
        if asked not in self._kept:
            self._kept = {asked: np.asarray(self._pictures[list(asked)])}
        return self._kept[asked]


def open_frames(
    path: str | Path, start: int | None = None, stop: int | None = None, fps: Fraction | None = None
) -> VideoReader | FrameFolder:
    """A video file, or a folder of frames, which has 25 frames per second if `fps` does not say otherwise."""
    if Path(path).is_dir():
        return FrameFolder(Path(path), start, stop, fps or FOLDER_FPS)
    return VideoReader(path, start=start, stop=stop, fps=fps)


def clips_in(folder: str | Path) -> list[Path]:
    """The video files of a folder, by name; none if it is no folder."""
    return sorted(_files(folder, CLIPS))


def pictures_in(folder: str | Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names; none if it is no folder."""
    return sorted(_files(folder, IMAGE_SUFFIXES), key=natural_order)


def _files(folder: str | Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Not hidden ones: macOS puts a ._NAME beside every NAME on foreign drives, which is no picture."""
    files = Path(folder).iterdir() if Path(folder).is_dir() else ()
    return (file for file in files if file.suffix.lower() in suffixes and not file.name.startswith("."))


def checked_range(name: str, count: int, start: int | None, stop: int | None) -> tuple[int, int]:
    """The range [start, stop) of `count` frames; raises BunrakuError where none of them is in it."""
    first, last = start or 0, count if stop is None else min(stop, count)
    if first < 0 or last <= first:
        raise BunrakuError(
            f"{name} has {count} frames; the range {start or 0}:{'' if stop is None else stop} has none of them"
        )
    return first, last


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Sorts by the numbers in names: frame2 before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
