"""Video files to RGB frames: streaming, at a constant frame rate, upright, whatever FFmpeg can decode."""

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from av.video.stream import VideoStream

from bunraku.errors import BunrakuError
from bunraku.media.files import check_input
from bunraku.media.images import over

_STANDARD_RATES = tuple(map(Fraction, (5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 90, 120))) + tuple(
    Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)
)
_PICTURE_FORMATS = ("_pipe", "image2", "tty")  # demuxers that make one-frame "videos" of stills, and of text files
_ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True)
class Clip:
    """A short video in memory.

    Attributes:
        frames: uint8 (F, H, W, 3) RGB.
        fps: frames per second.
    """

    frames: np.ndarray
    fps: Fraction


class VideoReader:
    """The frames of a video file, streamed; every iteration starts again from the first.

    Each frame is uint8 (H, W, 3) RGB: rotation metadata and non-square pixels are applied, transparency is laid on
    `background`, greyscale, limited range and deep colour are converted, variable frame rate is resampled by holding
    the frame nearest in time. The number of frames is known from the packets, without decoding them.

    Args:
        path: any file that FFmpeg reads.
        start, stop: frame range [start, stop) at the output frame rate.
        fps: output frames per second; by default the file's own rate (for variable rate, that of its usual interval).
        background: RGB under transparent pixels, 0 to 255.

    Attributes:
        fps: output frames per second.
        size: (height, width) of the output frames in pixels.
        frames: how many frames an iteration yields.
        has_audio: whether the file has a sound track.

    Raises:
        BunrakuError: the file is missing, not a video, truncated, empty, or smaller than 32 px; the range is empty.
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
        self.path = check_input(path)
        self._background = background
        if fps is not None and not 0 < fps <= 1000:
            raise BunrakuError(f"frame rate {fps} is out of range; give frames per second above 0, up to 1000")
        with _opened(self.path) as (container, stream):
            self.has_audio = bool(container.streams.audio)
            times, self._key_times, duration = _timestamps(container, stream)
            self._origin = times[0]
            container.seek(0)
            _, first = next(_decoded(container, stream), (0, None))
            if first is None:
                raise BunrakuError(f"{self.path} has no frame that can be decoded; it is damaged or of no use")
            self._stored_size = _square_pixels(first, stream)
            # Once, because a frame asked for its side data is in a reference cycle and outlives its use.
            self._matrix = _display_matrix(first)
            self.size = self._rgb(first).shape[:2]
            self.fps = _frame_rate(times, stream) if fps is None else Fraction(fps).limit_denominator(10_000)
            self._time_base = stream.time_base or Fraction(1, 1)
        if min(self.size) < 32:
            raise BunrakuError(f"{self.path} is {self.size[1]}x{self.size[0]} px; 32 px is the least on either side")
        total = max(1, self._slot(self._origin + duration))
        self._start, self._stop = (start or 0), total if stop is None else min(stop, total)
        if self._start < 0 or self._stop <= self._start:
            raise BunrakuError(
                f"{self.path} has {total} frames at {float(self.fps):g} fps; the range {start}:{stop} has none of them"
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
        with _opened(self.path) as (container, stream):
            # What is shown from a key frame on depends on nothing decoded before it.
            slots = [self._slot(time) for time in self._key_times]
            key_frame = self._key_times[bisect_right(slots, self._start) - 1]
            following, held = self._start, None
            for pts, frame in _decoded_from(container, stream, key_frame, self._origin):
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


def read_video(
    path: str | os.PathLike[str],
    *,
    start: int | None = None,
    stop: int | None = None,
    fps: Fraction | None = None,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Clip:
    """A whole video (or frame range) in memory; arguments and errors as for VideoReader."""
    reader = VideoReader(path, start=start, stop=stop, fps=fps, background=background)
    frames = np.empty((reader.frames, *reader.size, 3), np.uint8)
    for index, frame in enumerate(reader):
        frames[index] = frame
    return Clip(frames, reader.fps)


@contextmanager
def _opened(path: os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        container = av.open(os.fspath(path), "r", options={"fflags": "+genpts"})
    except av.FFmpegError as error:
        with open(path, "rb") as file:
            is_mp4 = file.read(12)[4:8] == b"ftyp"
        hint = (
            "the file is truncated (its index is missing): copy or export it again" if is_mp4 else "give a video file"
        )
        raise BunrakuError(f"{path} is not a video that FFmpeg can read ({error.strerror}); {hint}") from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams or container.format.name.endswith(_PICTURE_FORMATS):
            what = "a still image or text" if streams else "a file without a video stream"
            raise BunrakuError(f"{path} is {what} ({container.format.long_name}), not a video; give a video file")
        stream = streams[0]
        stream.thread_type = "AUTO"
        try:
            yield container, stream
        except av.FFmpegError as error:
            raise BunrakuError(
                f"{path} is damaged ({error.strerror}); repair it, for example: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
            ) from error


def _timestamps(container: InputContainer, stream: VideoStream) -> tuple[list[int], list[int], int]:
    """Presentation times of all frames and of the key frames, ascending, and the duration from the first, in stream time base."""
    times: list[int] = []
    key_times: list[int] = []
    last_duration, end, corrupt = 0, Fraction(0), False
    for packet in container.demux():
        if packet.pts is None or packet.time_base is None:
            continue
        end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        corrupt |= packet.is_corrupt
        if packet.stream_index == stream.index and not packet.is_discard:
            if not times or packet.pts >= times[-1]:
                last_duration = packet.duration or 0
            times.append(packet.pts)
            if packet.is_keyframe:
                key_times.append(packet.pts)
    if not times:
        raise BunrakuError(f"{container.name} has no video frames with time stamps; record or export it again")
    promised = Fraction((container.duration or 0) + min(container.start_time or 0, 0), av.time_base)
    if corrupt or end < promised - max(Fraction(1, 4), promised / 50):
        raise BunrakuError(
            f"{container.name} is truncated: {float(end):.2f} s of {float(promised):.2f} s are there; copy it again, or "
            "keep what there is: ffmpeg -i INPUT -c copy OUTPUT.mp4"
        )
    ordered = sorted(set(times))
    usual = sorted(b - a for a, b in pairwise(ordered))[len(ordered) // 2 - 1] if len(ordered) > 1 else 1
    return ordered, sorted({ordered[0], *key_times}), ordered[-1] - ordered[0] + max(last_duration, usual)


def _frame_rate(times: list[int], stream: VideoStream) -> Fraction:
    """The rate on whose grid every frame falls once, else that of the usual interval between frames."""
    named = [Fraction(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
    time_base = stream.time_base or Fraction(1, 1)
    if len(times) == 1:
        return named[0] if named else Fraction(25)
    seconds = (np.array(times) - times[0]) * float(time_base)
    for rate in named:
        if np.abs(seconds * float(rate) - np.arange(len(times))).max() < 0.5:
            return rate
    usual = 1 / float(np.median(np.diff(seconds)))
    nearest = min((*named, *_STANDARD_RATES), key=lambda rate: abs(float(rate) / usual - 1))
    return nearest if abs(float(nearest) / usual - 1) < 0.02 else Fraction(usual).limit_denominator(1001)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[tuple[int, VideoFrame]]:
    """Frames with their presentation times, in order of display."""
    decoder: Any = stream
    if stream.codec_context.name == "vp9" and stream.metadata.get("alpha_mode") == "1":
        # FFmpeg's own VP9 decoder drops the transparency that WebM stores beside each packet; libvpx reads it.
        decoder = av.CodecContext.create("libvpx-vp9", "r")
    for packet in container.demux(stream):
        for frame in decoder.decode(packet if packet.size else None):
            if frame.pts is not None:
                yield frame.pts, frame


def _decoded_from(
    container: InputContainer, stream: VideoStream, key_frame: int, origin: int
) -> Iterator[tuple[int, VideoFrame]]:
    """As `_decoded`, from the key frame shown at that time on, or from `origin` if the container cannot seek to it."""
    if key_frame > origin:
        container.seek(key_frame, stream=stream)
        frames = _decoded(container, stream)
        first = next(frames, None)
        if first is not None and first[0] <= key_frame:
            yield first
            yield from frames
            return
        container.seek(origin, stream=stream)
    yield from _decoded(container, stream)


def _square_pixels(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """(height, width) as stored, stretched horizontally where the file says that its pixels are not square."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    return frame.height, round(frame.width * ratio)


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
