"""What a video file holds: the stream with the motion, when its frames are shown, and the frames as they are stored."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from bunraku.errors import BunrakuError
from bunraku.media.images import UNREADABLE, check_pixels

STANDARD_RATES = tuple(map(Fraction, (5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 90, 120))) + tuple(
    Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)
)
_PICTURE_FORMATS = ("_pipe", "image2", "tty")  # demuxers that make one-frame "videos" of stills, and of text files
# FFmpeg does not decode the first, seeks the second as if no frame needed the one before, and rounds the times of the third.
_ANIMATIONS = ("webp_pipe", "apng", "gif")


class Slice(NamedTuple):
    """A file inside another one that is not compressed, such as a tar archive: bytes [start, stop) of it.

    Attributes:
        name: with its own extension; for messages.
    """

    path: Path
    start: int
    stop: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"

    def __fspath__(self) -> str:
        """As FFmpeg opens it."""
        return f"subfile,,start,{self.start},end,{self.stop},,:{self.path}"

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.stop - self.start)


class Source(Protocol):
    """The moving picture of an open file.

    Attributes:
        has_audio: whether the file has a sound track.
        time_base: seconds per unit of its times.
        pixel_aspect: width of a pixel over its height.
    """

    has_audio: bool
    time_base: Fraction
    pixel_aspect: Fraction

    def rates(self) -> list[Fraction]:
        """Frames per second as the file names them, most trusted first."""
        ...

    def timestamps(self) -> tuple[list[int], list[int], int]:
        """When all frames and the key frames are shown, ascending, and the duration from the first frame to the end."""
        ...

    def frames(self, key_frame: int, origin: int) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their times, in order of display, from the key frame shown at that time on, or from `origin`, the
        first, if the file cannot be entered there."""
        ...


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Raises BunrakuError where the file is no video, and where it turns out to be damaged while the block reads it."""
    protocols = "file,subfile" if isinstance(path, Slice) else "file"
    try:
        container = av.open(os.fspath(path), "r", options={"fflags": "+genpts", "protocol_whitelist": protocols})
    except UnicodeDecodeError as error:  # of the file's own tags
        raise _damaged(path, error) from error
    except av.FFmpegError as error:
        is_mp4 = _head(path)[4:8] == b"ftyp"
        hint = (
            "the file is truncated (its index is missing): copy or export it again" if is_mp4 else "give a video file"
        )
        raise BunrakuError(f"{path} is not a video that FFmpeg can read ({error.strerror}); {hint}") from error
    with container:
        if container.format.name in _ANIMATIONS and (animation := _Animation.of(path)):
            yield animation
            return
        stream = motion_stream(container)
        if stream is None or container.format.name.endswith(_PICTURE_FORMATS):
            what = "a still image or text" if stream else "a file without a video stream"
            raise BunrakuError(f"{path} is {what} ({container.format.long_name}), not a video; give a video file")
        try:
            yield _Stream(container, stream)
        except (av.FFmpegError, UnicodeDecodeError) as error:  # names and tags of streams are text
            raise _damaged(path, error) from error


def _damaged(path: str | os.PathLike[str], error: av.FFmpegError | UnicodeDecodeError) -> BunrakuError:
    return BunrakuError(
        f"{path} is damaged ({getattr(error, 'strerror', None) or error}); repair it, for example: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )


def _head(path: str | os.PathLike[str]) -> bytes:
    if isinstance(path, Slice):
        return path.read()[:12]
    with open(path, "rb") as file:
        return file.read(12)


def motion_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of more than one frame, else the first; covers, and what FFmpeg has no decoder for, do not count. None: there is none."""
    pictures = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    streams = [stream for stream in pictures if stream.codec_context is not None]
    if len(streams) < 2:
        return streams[0] if streams else None
    frames: Counter[int] = Counter()
    for packet in container.demux(streams):
        frames[packet.stream_index] += packet.size > 0
        if frames[streams[0].index] > 1:
            break
    container.seek(0)
    return next((stream for stream in streams if frames[stream.index] > 1), streams[0])


class _Stream:
    """A stream that FFmpeg decodes."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        stream.thread_type = "AUTO"
        self._container, self._stream = container, stream
        self.has_audio = bool(container.streams.audio)
        self.time_base = stream.time_base or Fraction(1, 1)
        self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)

    def rates(self) -> list[Fraction]:
        named = self._stream.average_rate, self._stream.guessed_rate, self._stream.base_rate
        return [Fraction(rate) for rate in named if rate]

    def timestamps(self) -> tuple[list[int], list[int], int]:
        container, stream, name = self._container, self._stream, self._container.name
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
            raise BunrakuError(f"{name} has no video frames with time stamps; record or export it again")
        promised = Fraction((container.duration or 0) + min(container.start_time or 0, 0), av.time_base)
        if corrupt or end < promised - max(Fraction(1, 4), promised / 50):
            raise BunrakuError(
                f"{name} is truncated: {float(end):.2f} s of {float(promised):.2f} s are there; copy it again, or "
                "keep what there is: ffmpeg -i INPUT -c copy OUTPUT.mp4"
            )
        container.seek(0)
        ordered = sorted(set(times))
        usual = sorted(b - a for a, b in pairwise(ordered))[len(ordered) // 2 - 1] if len(ordered) > 1 else 1
        return ordered, sorted({ordered[0], *key_times}), ordered[-1] - ordered[0] + max(last_duration, usual)

    def frames(self, key_frame: int, origin: int) -> Iterator[tuple[int, VideoFrame]]:
        if key_frame > origin:
            self._container.seek(key_frame, stream=self._stream)
            frames = self._decoded()
            first = next(frames, None)
            if first is not None and first[0] <= key_frame:
                yield first
                yield from frames
                return
            self._container.seek(origin, stream=self._stream)
        yield from self._decoded()

    def _decoded(self) -> Iterator[tuple[int, VideoFrame]]:
        decoder: Any = self._stream
        if self._stream.codec_context.name == "vp9" and self._stream.metadata.get("alpha_mode") == "1":
            # FFmpeg's own VP9 decoder drops the transparency that WebM stores beside each packet; libvpx reads it.
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        for packet in self._container.demux(self._stream):
            for frame in decoder.decode(packet if packet.size else None):
                if frame.pts is not None:
                    yield frame.pts, frame


class _Animation:
    """An animated picture that Pillow decodes, always from the first frame on."""

    has_audio = False
    time_base = Fraction(1, 1000)
    pixel_aspect = Fraction(1)

    def __init__(self, path: str | os.PathLike[str], frames: int) -> None:
        self._path, self._count = path, frames

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "_Animation | None":
        """None where the picture is a still."""
        try:
            with Image.open(path) as image:
                frames = getattr(image, "n_frames", 1)
        except UNREADABLE:
            return None
        return cls(path, frames) if frames > 1 else None

    @cached_property
    def _times(self) -> list[float]:
        """When each frame is shown, and the end."""
        return list(accumulate((shown for _, shown in self._pictures()), initial=0.0))

    def rates(self) -> list[Fraction]:
        average = Fraction(1000 * self._count / self._times[-1]).limit_denominator(1001)
        return [min(STANDARD_RATES, key=lambda rate: abs(rate / average - 1)), average]

    def timestamps(self) -> tuple[list[int], list[int], int]:
        *times, end = map(round, self._times)
        return times, [0], end

    def frames(self, key_frame: int, origin: int) -> Iterator[tuple[int, VideoFrame]]:
        time = 0.0
        for picture, shown in self._pictures():
            mode, stored = ("RGBA", "rgba") if picture.has_transparency_data else ("RGB", "rgb24")
            yield round(time), VideoFrame.from_ndarray(np.array(picture.convert(mode)), stored)
            time += shown

    def _pictures(self) -> Iterator[tuple[Image.Image, float]]:
        """The frames and how many milliseconds each is shown."""
        try:
            with Image.open(self._path) as image:
                check_pixels(str(self._path), image.size)
                for number in range(self._count):
                    image.seek(number)
                    image.load()
                    shown = image.info.get("duration") or 0
                    yield image, shown if shown > 10 else 100  # as browsers play it
        except BunrakuError:
            raise
        except UNREADABLE as error:
            raise BunrakuError(f"{self._path} is damaged ({error}); export it again") from error
