"""What drives: from the file or folder that a user calls DRIVING to its cues, and to those of the one person to follow."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from bunraku.animate.gallery import of_gallery
from bunraku.animate.options import DrivingKind, MotionOptions
from bunraku.cues.cues import MOST_FPS, Cues
from bunraku.cues.openpose_json import json_files, read_openpose_json
from bunraku.cues.perceive import follow, mended, people_in_words, perceive_frames
from bunraku.cues.read_skeleton import SkeletonReader, is_readable
from bunraku.errors import BunrakuError
from bunraku.media import (
    FOLDER_FPS,
    FrameArray,
    FrameFolder,
    Frames,
    VideoReader,
    check_free,
    check_input,
    check_output,
    open_frames,
    resize,
)
from bunraku.perception.detector import PoseDetector
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

CUES = (".cues", ".safetensors")
"""What the names of cues files end in."""

DESCRIPTIONS: dict[DrivingKind, str] = {
    "rgb": "footage of a person",
    "skeleton": "drawn skeletons",
    "drawn": "drawn skeletons, whose joints are read, but no hands and faces; --driving-kind skeleton leaves them as they are drawn",
    "openpose": "OpenPose JSON",
    "bvh": "BVH motion capture",
    "cues": "cues saved by `bunraku perceive`",
}


@dataclass(frozen=True)
class Driving:
    """A DRIVING that was opened and found usable; nothing slow has happened yet.

    Attributes:
        path: what the user gave.
        kind: what it is.
        source: its pictures ("rgb", "skeleton", "drawn"), or its cues, where they only had to be read ("openpose", "bvh", "cues").
        sound: the file whose sound belongs to the frames, if there is one.
        sound_start: seconds of it that lie before the first frame.
        film: the video file that shows the frames, and begins as the sound does, if there is one.
        perceived: everybody's cues in these frames, where they are known already, perhaps mended by hand.
    """

    path: Path
    kind: DrivingKind
    source: Frames | Cues
    sound: Path | None = None
    sound_start: Fraction = Fraction(0)
    perceived: Cues | None = None
    film: Path | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def files(self) -> list[Path]:
        """What is read, and must not be written to."""
        return [self.path, *(file for file in dict.fromkeys((self.film, self.sound)) if file not in (None, self.path))]  # type: ignore[misc]

    @property
    def has_keypoints(self) -> bool:
        """Whether it is more than drawings of skeletons."""
        return self.source.pose is not None if isinstance(self.source, Cues) else self.kind != "skeleton"

    def cues(
        self,
        options: MotionOptions,
        detector: PoseDetector | None = None,
        *,
        longest_side: int | None = None,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> Cues:
        """The cues of everybody: known, or read, or perceived in the frames.

        Args:
            options: how people are looked for.
            detector: used instead of the one that the options name (fresh: it may track from frame to frame).
            longest_side: drawn skeletons are reduced to it, because they are kept in memory (pixels; None: as they are).
            on_frame: called with the number of frames done and the number of all frames.

        Raises:
            BunrakuError: a frame that cannot be read, no usable detector, or nobody in any frame.
        """
        if self.perceived is not None:
            return self.perceived
        if isinstance(self.source, Cues):
            return self.source
        if self.kind == "skeleton":
            cues = _skeleton_cues(self.source, self.path.name, longest_side, on_frame)
        else:
            if self.kind == "drawn":
                detector = SkeletonReader(people_looked_for(options))
            cues = perceive_frames(
                self.source, str(self.path), detector or options.detector, on_frame=on_frame, device=options.device,
                max_people=people_looked_for(options),
            )  # fmt: skip
        return replace(cues, media=self.film, media_start=self.sound_start)

    def followed(
        self,
        options: MotionOptions,
        *,
        longest_side: int | None = None,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> Cues:
        """The cues of the one person of the options (`follow`), and a word about everybody who was seen; arguments as of `cues`."""
        cues = self.cues(options, longest_side=longest_side, on_frame=on_frame)
        if cues.pose is not None:
            self._tell_people(cues.pose, options)
        return follow(cues, options.person, smoothing=options.smoothing)

    def _tell_people(self, track: PoseTrack, options: MotionOptions) -> None:
        looked_for = f"; at most {people_looked_for(options)} are looked for (--people)" if self.kind == "rgb" else ""
        if track.people == 1:
            logger.info("one person drives, from %s%s", self.path.name, looked_for)
        elif options.person < track.people:
            logger.info(
                "%d people are in %s: %s. Person %d drives%s; --person chooses another%s",
                track.people, self.path.name, people_in_words(track), options.person,
                "" if options.person else ", the largest", looked_for,
            )  # fmt: skip

    @property
    def pictures(self) -> VideoReader | FrameFolder | FrameArray | None:
        """The frames that are driven, where they can be read; cues from a file know the video that they are from."""
        if isinstance(self.source, Cues):
            if self.film is None or self.source.skeleton is not None:
                return None
            whole = open_frames(self.film, fps=self.source.fps)
            first = round(self.sound_start * self.source.fps)
            return whole.part(first, first + len(self)) if first + len(self) <= len(whole) else None
        return self.source if self.kind == "rgb" else None  # type: ignore[return-value]

    def footage(self, height: int) -> Iterator[np.ndarray]:
        """The pictures of the driving person, uint8 (`height`, W, 3), frame by frame; none where there are only poses."""
        if self.kind == "rgb" and not isinstance(self.source, Cues):
            size = height, max(1, round(self.source.size[1] * height / self.source.size[0]))
            yield from (resize(frame, size) for frame in self.source)


def open_driving(path: str | Path, options: MotionOptions = MotionOptions()) -> Driving:
    """Open DRIVING and check that it can be used; people are not looked for yet.

    Args:
        path: a video, an already drawn skeleton video, a folder with either as frames, a folder of OpenPose JSON files
            (or one file), a BVH file, a cues file, or `gallery:KEY`, a motion of the gallery.
        options: kind, range, rate and canvas of it.

    Raises:
        BunrakuError: missing, unreadable, damaged, of an unknown kind, or without frames in the range.
    """
    path = of_gallery(Path(path))
    kind = driving_kind(path) if options.driving_kind == "auto" else options.driving_kind
    logger.info("%s is read as %s", path, DESCRIPTIONS[kind])
    if kind in ("rgb", "skeleton", "drawn"):
        frames, seconds = _chosen_frames(path, options)
        sound = path if isinstance(frames, VideoReader) and frames.has_audio else None
        film = path if isinstance(frames, VideoReader) else None
        return Driving(path, kind, frames, sound, seconds if film else Fraction(0), film=film)
    cues = _read_cues(path, kind, options)
    if cues.media is not None and not cues.media.is_file():
        logger.info(
            "%s, which the cues are from, is not there any more: there will be no sound, and no scene", cues.media
        )
        cues = replace(cues, media=None)
    film, sound = _film_and_sound(cues.media)
    return Driving(path, kind, replace(cues, media=film), sound, cues.media_start, film=film)


def _film_and_sound(film: Path | None) -> tuple[Path | None, Path | None]:
    """The video that cues are from, if it can be read, and the same if it has sound."""
    if film is None:
        return None, None
    try:
        return film, film if VideoReader(film).has_audio else None
    except BunrakuError as error:
        logger.warning(
            "%s, which the cues are from, cannot be read: there will be no sound, and no scene (%s)", film, error
        )
        return None, None


def perceive(
    path: str | Path,
    options: MotionOptions = MotionOptions(),
    detector: PoseDetector | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Cues:
    """The cues of everybody in anything that can drive: `open_driving`, then `Driving.cues`."""
    return open_driving(path, options).cues(options, detector, on_frame=on_frame)


load_driving = perceive  # its name before version 0.2


def driving_kind(path: str | Path) -> DrivingKind:
    """What a DRIVING is: by extension; a folder by what is in it; pictures by whether they are drawn skeletons.

    Raises:
        BunrakuError: it does not exist, or is none of the known kinds.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_dir():
        check_input(path)
    elif json_files(path):
        return "openpose"
    if suffix == ".bvh":
        return "bvh"
    if suffix in CUES:
        return "cues"
    if suffix == ".json":
        return "openpose"
    sample = list(islice(open_frames(path), 0, 24, 6))
    if not is_drawn_skeleton(np.stack(sample)):
        return "rgb"
    return "drawn" if is_readable(sample) else "skeleton"


def is_drawn_skeleton(frames: np.ndarray) -> bool:
    """Whether frames, uint8 (F, H, W, 3), show coloured strokes on black: at least 80 % black, the rest saturated.

    Measured on real files: drawn skeletons are 96 % black with a median saturation of 1, footage up to 17 % and 0.5.
    """
    high = frames.max(-1)
    lit = frames[high >= 64].astype(np.float32)
    if not len(lit) or (high < 32).mean() < 0.8:
        return False
    return bool(np.median(1 - lit.min(-1) / lit.max(-1)) > 0.6)


def check_cues_outputs(cues: Path, json_folder: Path | None, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Before perception: whether the cues file and the folder of OpenPose JSON can be written.

    Raises:
        BunrakuError: unwritable, an input, a cues file in the way, or a folder that holds .json files already.
    """
    if cues.suffix.lower() not in CUES:
        raise BunrakuError(f"cannot write {cues} (--output): a cues file ends in {' or '.join(CUES)}")
    check_output(cues, inputs)
    check_free([cues], overwrite)
    if json_folder is not None:
        if json_folder.is_dir() and json_files(json_folder):
            raise BunrakuError(f"{json_folder} has .json files already; choose an empty or new folder")
        check_output(json_folder / "frame.json" if json_folder.is_dir() else json_folder)


def people_looked_for(options: MotionOptions) -> int:
    """How many people are looked for in each frame."""
    return max(options.max_people, options.person + 1, *(driver + 1 for _, driver in options.pairs or ()))


def _read_cues(path: Path, kind: DrivingKind, options: MotionOptions) -> Cues:
    """The options' range of frames at the options' rate."""
    if kind == "cues":
        return excerpt(Cues.load(path), path, options)
    if kind == "bvh":
        from bunraku.cues.bvh import read_bvh

        track, own_rate = read_bvh(path)
        first, last = _range(path, len(track), options)
        if options.fps is None:
            return Cues(own_rate, track.size, path.name, track[first:last])
        track, rate = read_bvh(path, options.fps)  # interpolated, unlike cues
        begin, end = _at_rate(first, last, rate / own_rate, len(track))
        return Cues(rate, track.size, path.name, track[begin:end])
    track = read_openpose_json(path, options.canvas)
    if not track.people:
        raise BunrakuError(f"no person is in any of the {len(track)} frames of {path}")
    if options.canvas and options.canvas != track.size:
        logger.warning("--canvas is not used: %s says that its pictures are %dx%d (height x width)", path, *track.size)
    _tell_rate(path, options)
    rate = options.fps or FOLDER_FPS
    return excerpt(Cues(rate, track.size, path.name, mended(track, rate)), path, options)


def _chosen_frames(path: Path, options: MotionOptions) -> tuple[VideoReader | FrameFolder, Fraction]:
    """The frames of the options' range at the options' rate, and the seconds before them."""
    own = open_frames(path)
    if isinstance(own, FrameFolder):
        _tell_rate(path, options)
        rate = options.fps or own.fps
        first, last = _range(path, len(own), options)
        return FrameFolder(path, first, last, rate), first / rate
    first, last = _range(path, len(own), options)
    if options.fps is None:
        if own.fps > MOST_FPS:
            raise BunrakuError(
                f"{path} has {float(own.fps):g} frames per second; {MOST_FPS} is the most, take fewer: --fps 30"
            )
        return own.part(first, last), first / own.fps
    whole = open_frames(path, fps=options.fps)
    begin, end = _at_rate(first, last, options.fps / own.fps, len(whole))
    return whole.part(begin, end), begin / options.fps


def _tell_rate(path: Path, options: MotionOptions) -> None:
    if options.fps is None:
        logger.info("%s does not say its frame rate; it is played at %s frames per second (--fps)", path, FOLDER_FPS)


def _range(path: Path, count: int, options: MotionOptions) -> tuple[int, int]:
    """The range of the options, of `count` frames; raises BunrakuError where none of them is in it."""
    first, last = options.start or 0, count if options.stop is None else min(options.stop, count)
    if not 0 <= first < last:
        given = [f"--{name} {value}" for name in ("start", "stop") if (value := getattr(options, name)) is not None]
        raise BunrakuError(
            f"{path} has {count} frames, numbered from 0; {' and '.join(given)} leave{'s' * (len(given) == 1)} none of them"
        )
    return first, last


def _at_rate(first: int, last: int, ratio: Fraction, count: int) -> tuple[int, int]:
    """The range of frames [first, last) at a rate `ratio` times as high, at which there are `count` in all; at least one."""
    begin = min(round(first * ratio), count - 1)
    return begin, max(begin + 1, min(round(last * ratio), count))


def _skeleton_cues(
    frames: Frames, name: str, longest_side: int | None, on_frame: Callable[[int, int], None] | None
) -> Cues:
    factor = min(1.0, (longest_side or max(frames.size)) / max(frames.size))
    height, width = (max(1, round(side * factor)) for side in frames.size)
    skeleton = np.empty((len(frames), height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        skeleton[number] = resize(frame, (height, width))
        if on_frame:
            on_frame(number + 1, len(frames))
    return Cues(frames.fps, (height, width), name, skeleton=skeleton)


def excerpt(cues: Cues, path: Path, options: MotionOptions) -> Cues:
    """The range of the options, and of it the frames nearest in time to those of another rate.

    Raises:
        BunrakuError: there is no such frame; names `path`.
    """
    rate = options.fps or cues.fps
    first, last = _range(path, len(cues), options)
    count = max(1, round(len(cues) * rate / cues.fps))
    begin, end = _at_rate(first, last, rate / cues.fps, count)
    chosen = np.minimum(np.rint(np.arange(begin, end) * float(cues.fps / rate)).astype(int), len(cues) - 1)
    pose = cues.pose
    return replace(
        cues,
        fps=rate,
        pose=None if pose is None else PoseTrack(pose.keypoints[chosen], pose.scores[chosen], pose.size),
        skeleton=None if cues.skeleton is None else cues.skeleton[chosen],
        # motion leads to the next frame of the clip's own rate
        maps={name: v[chosen] for name, v in cues.maps.items() if name not in ("camera", "flow") or rate == cues.fps},
        media_start=cues.media_start + begin / rate,
    )
