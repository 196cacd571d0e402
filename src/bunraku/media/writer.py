"""RGB frames to video files: streaming, with sound, put in place only when complete, the same bytes every time."""

import logging
import os
import re
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, cast

import av
import cv2
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream
from PIL import Image

from bunraku.errors import BunrakuError
from bunraku.media.audio import AudioTrack
from bunraku.media.files import check_free, check_output, filling, plain_write_errors, replacing

logger = logging.getLogger(__name__)

H264_SUFFIXES = (".mp4", ".mov", ".mkv")
VIDEO_SUFFIXES = (*H264_SUFFIXES, ".webm", ".gif", ".webp")
ALPHA_SUFFIXES = (".webm", ".mov", ".webp")
_ACCURATE = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_NUMBER = re.compile(r"%(0?\d*)d")
# The number of threads changes how x264 and libvpx cut up their work, hence the bytes; the machine must not decide it.
_THREADS = 4


def check_video_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str]] = (),
    *,
    overwrite: bool = False,
    alpha: bool = False,
) -> Path:
    """As `check_output`, for a video file, a folder of PNG frames (no extension), or a pattern such as out/%04d.png.

    Args:
        path: of the video, folder or pattern.
        inputs: as of `check_output`; a folder that is read is not written into.
        overwrite: whether pictures that the folder holds may be replaced. A video file may be: the user named it.
        alpha: whether it has to hold transparency.

    Raises:
        BunrakuError: as of `check_output`; an unknown extension, or one without transparency; pictures in the way.
    """
    path = Path(path)
    if alpha and not _is_frames(path) and path.suffix.lower() not in ALPHA_SUFFIXES:
        raise BunrakuError(
            f"cannot write {path}: transparency goes into {', '.join(ALPHA_SUFFIXES)}, or into PNG frames (a folder or a pattern such as "
            "frames/%04d.png)"
        )
    if _is_frames(path):
        _check_frames(path, [Path(other) for other in inputs], overwrite)
        return path
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise BunrakuError(
            f"cannot write {path}: unknown video extension {path.suffix!r}; known are {', '.join(VIDEO_SUFFIXES)}, and "
            "for PNG frames a folder or a pattern such as frames/%04d.png"
        )
    if path.is_dir():
        raise BunrakuError(f"cannot write {path}: a folder of that name exists; choose another name")
    return check_output(path, inputs)


def written(path: Path) -> bool:
    """Whether an output of that name is there: the file, the folder, or frames of the pattern."""
    return bool(_Numbered.of(path).existing()) if _NUMBER.search(path.name) else path.exists()


def _check_frames(path: Path, inputs: list[Path], overwrite: bool) -> None:
    frames = _Numbered.of(path)
    if frames.folder.exists() and not frames.folder.is_dir():
        raise BunrakuError(f"cannot write frames into {frames.folder}: it is a file; give another name or an extension")
    check_output(frames.folder / "frame" if frames.folder.is_dir() else frames.folder)
    existing = list(frames.existing().values())
    for other in filter(Path.exists, inputs):
        if frames.folder.is_dir() and any(other.samefile(taken) for taken in (frames.folder, *existing)):
            raise BunrakuError(f"output {frames.folder} is also an input ({other}); write the frames elsewhere")
    check_free(existing, overwrite)


class VideoWriter:
    """Writes frames one by one; use it in a `with` statement.

    On clean exit the finished file takes the place of `path`; on any exception, Ctrl-C included, nothing is left behind
    and an existing file stays as it was. The same frames and settings give the same bytes on any number of cores.

    By extension: .mp4 .mov .mkv (H.264, yuv420p; with alpha .mov is ProRes 4444), .webm (VP9), all tagged BT.709 limited range, an odd width or height
    grown to even by repeating the last column or row; .gif (at most 50 fps, a palette per frame) and .webp, both
    looping; PNG frames into a folder (no extension, 0000.png on) or by a pattern such as out/%04d.png.

    Args:
        path: the file, folder or pattern.
        fps: frames per second.
        size: (height, width) of the frames in pixels.
        audio_from: a file whose sound is kept, copied without encoding where the container permits.
        audio_start: seconds of that file that fall on the first frame written; the sound ends with the last one.
        crf: quality of H.264 (0 to 51) and VP9 (0 to 63), lower is better.
        overwrite: whether pictures that the folder holds may be replaced; those behind the last frame stay, with a warning.
        alpha: whether frames have a fourth channel, how opaque they are: PNG frames, .webp, .webm and .mov.

    Raises:
        BunrakuError: see `check_video_output`; also when the disk is full, or at the end when no frame was written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: Fraction | int,
        size: tuple[int, int],
        audio_from: str | os.PathLike[str] | None = None,
        audio_start: Fraction | float = 0,
        crf: int = 18,
        overwrite: bool = False,
        alpha: bool = False,
    ) -> None:
        inputs = () if audio_from is None else (audio_from,)
        self.path = check_video_output(path, inputs, overwrite=overwrite, alpha=alpha)
        self._channels = 4 if alpha else 3
        self.fps, self.size, self.frames = Fraction(fps), (int(size[0]), int(size[1])), 0
        self._crf, self._overwrite = crf, overwrite
        self._audio = None if audio_from is None else (Path(audio_from), Fraction(audio_start))
        self._stack = ExitStack()

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as stack, plain_write_errors(self.path):
            self._sink = self._open(stack)
            self._stack = stack.pop_all()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends one frame, uint8 (H, W, 3) RGB of the size given at the start; with alpha (H, W, 4), not premultiplied."""
        if frame.shape != (*self.size, self._channels) or frame.dtype != np.uint8:
            raise ValueError(f"frame is {frame.dtype} {frame.shape}; expected uint8 {(*self.size, self._channels)}")
        with plain_write_errors(self.path):
            self._sink.write(np.ascontiguousarray(frame), self.frames)
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with plain_write_errors(self.path), self._stack:
            if self.frames == 0:
                raise BunrakuError(f"{self.path} is not written: it would have no frames")
            self._sink.finish(self.frames)

    def _open(self, stack: ExitStack) -> "_Sink":
        if _is_frames(self.path):
            return _PngFrames(self.path, self._overwrite, stack)
        temporary = stack.enter_context(replacing(self.path))
        suffix = self.path.suffix.lower()
        if suffix == ".gif":
            return _Gif(temporary, self.fps, self.size, stack)
        if suffix == ".webp":
            return _WebP(temporary, self.fps, self.size, stack)
        return _Encoded(temporary, self.fps, self.size, self._crf, self._audio, stack, alpha=self._channels == 4)


class _Sink(Protocol):
    @abstractmethod
    def write(self, frame: np.ndarray, index: int) -> None: ...

    @abstractmethod
    def finish(self, frames: int) -> None: ...


class _Container:
    """One FFmpeg output with one video stream; closed, but not finished, when the stack unwinds."""

    def __init__(
        self,
        temporary: Path,
        codec: str,
        pixels: str,
        fps: Fraction,
        size: tuple[int, int],
        stack: ExitStack,
        *,
        muxing: dict[str, str],
        coding: dict[str, str] | None = None,
    ) -> None:
        # Without bitexact, Matroska files carry random identifiers.
        self.container = av.open(str(temporary), "w", options={"fflags": "+bitexact", **muxing})
        self._temporary, self._finished = temporary, False
        stack.callback(self._abandon)
        self.stream = cast(VideoStream, self.container.add_stream(codec, rate=fps, options=coding))
        self.stream.height, self.stream.width = size
        self.stream.pix_fmt = pixels

    def encode(self, frame: VideoFrame | None) -> None:
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.encode(None)
        self.container.close()
        self._finished = True

    def _abandon(self) -> None:
        if not self._finished:
            self._temporary.unlink(missing_ok=True)
            with suppress(av.FFmpegError, OSError):  # the file is gone on purpose
                self.container.close()


class _Encoded:
    """H.264, VP9 or ProRes with sound."""

    def __init__(
        self,
        temporary: Path,
        fps: Fraction,
        size: tuple[int, int],
        crf: int,
        audio: tuple[Path, Fraction] | None,
        stack: ExitStack,
        alpha: bool = False,
    ) -> None:
        suffix = temporary.suffix.lower()
        self._fps, self._pixels = fps, "yuva420p" if alpha else "yuv420p"
        coding: dict[str, str]
        self._odd = (size[0] % 2, size[1] % 2)
        if alpha and suffix == ".mov":
            self._pixels = "yuva444p10le"
            codec, coding = "prores_ks", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
        elif suffix in H264_SUFFIXES:
            # With the macroblock tree x264 gave other bytes from run to run at some sizes, even on one thread.
            codec, coding = "libx264", {"crf": str(crf), "preset": "medium", "mbtree": "0"}
        else:
            codec, coding = "libvpx-vp9", {"crf": str(crf), "b": "0", "deadline": "good", "cpu-used": "4"}
        self._output = _Container(
            temporary,
            codec,
            self._pixels,
            fps,
            (size[0] + self._odd[0], size[1] + self._odd[1]),
            stack,
            muxing={"movflags": "+faststart"} if suffix in (".mp4", ".mov") else {},
            coding=coding,
        )
        context = self._output.stream.codec_context
        context.thread_count = _THREADS
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._audio = None
        if audio is not None:
            self._audio = AudioTrack(audio[0], self._output.container, suffix, audio[1])
            stack.callback(self._audio.close)

    def write(self, frame: np.ndarray, index: int) -> None:
        if any(self._odd):
            frame = cv2.copyMakeBorder(frame, 0, self._odd[0], 0, self._odd[1], cv2.BORDER_REPLICATE)
        picture = _picture(frame).reformat(
            format=self._pixels,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=_ACCURATE,
        )
        picture.pts, picture.time_base = index, 1 / self._fps
        self._output.encode(picture)
        if self._audio is not None:
            self._audio.mux_until((index + 1) / self._fps)

    def finish(self, frames: int) -> None:
        self._output.close()


class _Gif:
    """GIF with a palette of its own for each frame, so that no pass over the whole video is needed."""

    def __init__(self, temporary: Path, fps: Fraction, size: tuple[int, int], stack: ExitStack) -> None:
        self._fps, self._last = fps, -2
        muxing = {"loop": "0", "final_delay": str(max(2, round(100 / fps)))}
        self._output = _Container(temporary, "gif", "pal8", Fraction(100), size, stack, muxing=muxing)
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=size[1], height=size[0], format=av.VideoFormat("rgb24"), time_base=Fraction(1, 100)
        )
        split = self._graph.add("split")
        palette = self._graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = self._graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def write(self, frame: np.ndarray, index: int) -> None:
        centiseconds = round(index * 100 / self._fps)
        if centiseconds < self._last + 2:  # browsers play shorter delays at 10 fps
            return
        self._last = centiseconds
        picture = VideoFrame.from_ndarray(frame, format="rgb24")
        picture.pts, picture.time_base = centiseconds, Fraction(1, 100)
        self._graph.push(picture)
        self._drain()

    def finish(self, frames: int) -> None:
        self._graph.push(None)
        self._drain()
        self._output.close()

    def _drain(self) -> None:
        while True:
            try:
                picture = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            self._output.encode(picture)


class _WebP:
    """Animated WebP."""

    def __init__(self, temporary: Path, fps: Fraction, size: tuple[int, int], stack: ExitStack) -> None:
        self._fps = fps
        self._output = _Container(
            temporary, "libwebp_anim", "bgra", fps, size, stack, muxing={"loop": "0"}, coding={"quality": "90"}
        )

    def write(self, frame: np.ndarray, index: int) -> None:
        picture = _picture(frame).reformat(format="bgra")
        picture.pts, picture.time_base = index, 1 / self._fps
        self._output.encode(picture)

    def finish(self, frames: int) -> None:
        self._output.close()


def _picture(frame: np.ndarray) -> VideoFrame:
    return VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[-1] == 4 else "rgb24")


@dataclass(frozen=True)
class _Numbered:
    """Pictures of a folder whose names differ by a number: `head`, the number in the format `width`, `tail`."""

    folder: Path
    head: str = ""
    width: str = "04"
    tail: str = ".png"

    @classmethod
    def of(cls, path: Path) -> "_Numbered":
        """Of a folder or a pattern; raises BunrakuError where a pattern has more than one number."""
        if not path.suffix:
            return cls(path)
        head, width, tail, *more = _NUMBER.split(path.name)
        if more:
            raise BunrakuError(f"cannot write {path}: a pattern has one number, such as %04d")
        return cls(path.parent, head, width, tail)

    def name(self, number: int) -> str:
        return f"{self.head}{number:{self.width}d}{self.tail}"

    def existing(self) -> dict[int, Path]:
        """What the folder holds of them, by number."""
        matcher = re.compile(re.escape(self.head) + r" *(\d+)" + re.escape(self.tail))
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        numbered = [(int(found[1]), file) for file in files if (found := matcher.fullmatch(file.name))]
        return {number: file for number, file in sorted(numbered) if file.name == self.name(number)}


class _PngFrames:
    """Numbered PNG files, gathered in a temporary folder and moved together at the end."""

    def __init__(self, path: Path, overwrite: bool, stack: ExitStack) -> None:
        self._frames = _Numbered.of(path)
        self._temporary = stack.enter_context(filling(self._frames.folder, overwrite=overwrite))

    def write(self, frame: np.ndarray, index: int) -> None:
        Image.fromarray(frame).save(self._temporary / self._frames.name(index), compress_level=4)

    def finish(self, frames: int) -> None:
        left = [file for number, file in self._frames.existing().items() if number >= frames]
        if left:
            logger.warning(
                "%s was there before and stays, though it belongs to no frame of this run%s",
                left[0], f" ({len(left) - 1} more like it)" if left[1:] else "",
            )  # fmt: skip


def _is_frames(path: Path) -> bool:
    return not path.suffix or (path.suffix.lower() == ".png" and _NUMBER.search(path.name) is not None)
