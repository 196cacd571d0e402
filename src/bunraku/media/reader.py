"""Video files to RGB frames: streaming, at a constant frame rate, upright, whatever FFmpeg or Pillow can decode."""

import os
from bisect import bisect_right
from collections.abc import Iterator
from copy import copy
from fractions import Fraction
from typing import Any, cast

import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation

from bunraku.errors import BunrakuError
from bunraku.media.files import check_input
from bunraku.media.images import check_pixels, over
from bunraku.media.source import STANDARD_RATES, Slice, Source, opened

_ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

MOST_HELD = 10_000, 1000
"""A clip has at most so many frames, or else so many for each picture that is in the file."""


class VideoReader:
    """The frames of a video file, streamed; every iteration starts again from the first.

    Each frame is uint8 (H, W, 3) RGB: rotation metadata and non-square pixels are applied, transparency is laid on
    `background`, greyscale, limited range and deep colour are converted, variable frame rate is resampled by holding
    the frame nearest in time. The number of frames is known from the packets, without decoding them.

    Args:
        path: any video that FFmpeg reads (also one inside an archive, a `Slice`), or an animated GIF, PNG or WebP. Of several pictures streams, the first that moves.
        start, stop: frame range [start, stop) at the output frame rate.
        fps: output frames per second; by default the file's own rate (for variable rate, that of its usual interval).
        background: RGB under transparent pixels, 0 to 255.

    Attributes:
        fps: output frames per second.
        size: (height, width) of the output frames in pixels.
        frames: how many frames an iteration yields.
        has_audio: whether the file has a sound track.

    Raises:
        BunrakuError: the file is missing, not a video, truncated, empty, or smaller than 32 px; its pictures stand still for hours; the range
            is empty.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        start: int | None = None,
        stop: int | None = None,
        fps: Fraction | None = None,
        background: tuple[int, int, int] = (255, 255, 255),
    ) -> None:
        self.path = path if isinstance(path, Slice) else check_input(path)
        self._background = background
        if fps is not None and not 0 < fps <= 1000:
            raise BunrakuError(f"frame rate {fps} is out of range; give frames per second above 0, up to 1000")
        with opened(self.path) as source:
            self.has_audio = source.has_audio
            times, self._key_times, duration = source.timestamps()
            self._origin = times[0]
            _, first = next(source.frames(self._origin, self._origin), (0, None))
            if first is None:
                raise BunrakuError(f"{self.path} has no frame that can be decoded; it is damaged or of no use")
            # As stored, stretched horizontally where the file says that its pixels are not square.
            self._stored_size = first.height, round(first.width * source.pixel_aspect)
            check_pixels(str(self.path), (self._stored_size[1], self._stored_size[0]))
            # Once, because a frame asked for its side data is in a reference cycle and outlives its use.
            self._matrix = _display_matrix(first)
            self.size = self._rgb(first).shape[:2]
            self._time_base = source.time_base
            self.fps = Fraction(fps).limit_denominator(10_000) if fps else _frame_rate(times, source)
        if min(self.size) < 32:
            raise BunrakuError(f"{self.path} is {self.size[1]}x{self.size[0]} px; 32 px is the least on either side")
        total = max(1, self._slot(self._origin + duration))
        if total > max(MOST_HELD[0], MOST_HELD[1] * len(times)):
            raise BunrakuError(
                f"{self.path} shows {len(times)} pictures over {float(duration * self._time_base):.0f} s, which is {total} frames at "
                f"{float(self.fps):g} fps: its times are damaged; give it others, for example: ffmpeg -i INPUT -vf setpts=N/25/TB -r 25 OUTPUT.mp4"
            )
        self._start, self._stop = (start or 0), total if stop is None else min(stop, total)
        if self._start < 0 or self._stop <= self._start:
            raise BunrakuError(
                f"{self.path} has {total} frames at {float(self.fps):g} fps; the range {start or 0}:{'' if stop is None else stop} has none of them"
            )

    @property
    def frames(self) -> int:
        return self._stop - self._start

    def __len__(self) -> int:
        return self.frames

    def part(self, start: int, stop: int) -> "VideoReader":
        """Frames [start, stop) of this reader's; unlike a new reader, it need not go through the file's packets again."""
        if not 0 <= start < stop <= self.frames:
            raise BunrakuError(f"{self.path} has {self.frames} frames here; the range {start}:{stop} is not among them")
        part = copy(self)
        part._start, part._stop = self._start + start, self._start + stop
        return part

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open between iterations."""

    def __iter__(self) -> Iterator[np.ndarray]:
        with opened(self.path) as source:
            # What is shown from a key frame on depends on nothing decoded before it.
            slots = [self._slot(time) for time in self._key_times]
            key_frame = self._key_times[bisect_right(slots, self._start) - 1]
            following, held = self._start, None
            for pts, frame in source.frames(key_frame, self._origin):
                # A frame stays on screen from its own slot to the next frame's.
                slot = min(self._slot(pts), self._stop)
                if held is not None and slot > following:
                    yield from _repeat(self._rgb(held), slot - following)
                    following = slot
                    if following == self._stop:
                        return
                held = frame
            if held is None:
                raise BunrakuError(f"{self.path} has no frame that can be decoded after frame {self._start}")
            yield from _repeat(self._rgb(held), self._stop - following)

    def _slot(self, pts: int) -> int:
        """Index of the output frame that is nearest in time."""
        rate = self._time_base * self.fps
        return (2 * (pts - self._origin) * rate.numerator + rate.denominator) // (2 * rate.denominator)

    def _rgb(self, frame: VideoFrame) -> np.ndarray:
        return _upright(_to_rgb(frame, self._stored_size, self._background), self._matrix)


def _frame_rate(times: list[int], source: Source) -> Fraction:
    """The rate on whose grid every frame falls once, else that of the usual interval between frames."""
    rates = source.rates()
    if len(times) == 1:
        return rates[0] if rates else Fraction(25)
    seconds = (np.array(times) - times[0]) * float(source.time_base)
    for rate in rates:
        if np.abs(seconds * float(rate) - np.arange(len(times))).max() < 0.5:
            return rate
    usual = 1 / float(np.median(np.diff(seconds)))
    nearest = min((*rates, *STANDARD_RATES), key=lambda rate: abs(float(rate) / usual - 1))
    return nearest if abs(float(nearest) / usual - 1) < 0.02 else Fraction(usual).limit_denominator(1001)


def _to_rgb(frame: VideoFrame, size: tuple[int, int], background: tuple[int, int, int]) -> np.ndarray:
    has_alpha = any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8"
    untagged = frame.colorspace not in set(Colorspace) | {6, 10}
    # Where a file names no matrix, players take BT.709 for HD and BT.601 below.
    matrix = (Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601) if untagged else None
    array = frame.reformat(
        width=size[1],
        height=size[0],
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=matrix,
        interpolation=_ACCURATE,
    ).to_ndarray()
    return over(array, background) if has_alpha else array


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the matrix (a, b, u; c, d, v; x, y, w), by which stored (p, q) is shown at (a p + c q, b p + d q)."""
    side_data = cast(Any, frame.side_data).get(SideData.DISPLAYMATRIX)
    if side_data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    return a, b, c, d


def _upright(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _repeat(image: np.ndarray, count: int) -> Iterator[np.ndarray]:
    yield image
    for _ in range(count - 1):
        yield image.copy()
