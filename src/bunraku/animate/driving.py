"""What drives: from the file or folder that a user calls DRIVING to its cues, and to those of the one person to follow."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from bunraku.animate.options import DrivingKind, MotionOptions
from bunraku.cues.cues import Cues
from bunraku.cues.perceive import follow, mended, perceive_frames
from bunraku.errors import BunrakuError
from bunraku.media import FOLDER_FPS, Frames, check_input, check_output, open_frames, resize
from bunraku.media.frames import checked_range
from bunraku.perception.detector import PoseDetector
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

CUES = (".cues", ".safetensors")
"""What the names of cues files end in."""

DESCRIPTIONS: dict[DrivingKind, str] = {
    "rgb": "footage of a person",
    "skeleton": "drawn skeletons",
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
        source: its pictures ("rgb", "skeleton"), or its cues, where they only had to be read ("openpose", "bvh", "cues").
        start: the first frame's number in the whole clip.
    """

    path: Path
    kind: DrivingKind
    source: Frames | Cues
    start: int = 0

    def __len__(self) -> int:
        return len(self.source)

    @property
    def sound(self) -> Path | None:
        """The file whose sound belongs to the frames."""
        return self.path if getattr(self.source, "has_audio", False) else None

    @property
    def has_keypoints(self) -> bool:
        """Whether it is more than drawn skeletons."""
        return self.source.pose is not None if isinstance(self.source, Cues) else self.kind != "skeleton"

    def cues(
        self,
        options: MotionOptions,
        detector: PoseDetector | None = None,
        *,
        longest_side: int | None = None,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> Cues:
        """The cues of everybody: read, or perceived in the frames.

        Args:
            options: how people are looked for.
            detector: used instead of the one that the options name (fresh: it may track from frame to frame).
            longest_side: drawn skeletons are reduced to it, because they are kept in memory (pixels; None: as they are).
            on_frame: called with the number of frames done and the number of all frames.

        Raises:
            BunrakuError: a frame that cannot be read, no usable detector, or nobody in any frame.
        """
        if isinstance(self.source, Cues):
            return self.source
        if self.kind == "skeleton":
            return _skeleton_cues(self.source, self.path.name, longest_side, on_frame)
        return perceive_frames(
            self.source, str(self.path), detector or options.detector, on_frame=on_frame, device=options.device,
            max_people=max(options.max_people, options.person + 1),
        )  # fmt: skip

    def followed(
        self,
        options: MotionOptions,
        *,
        longest_side: int | None = None,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> Cues:
        """The cues of the one person of the options (`follow`); arguments as of `cues`."""
        cues = self.cues(options, longest_side=longest_side, on_frame=on_frame)
        return follow(cues, options.person, smoothing=options.smoothing)

    def footage(self, height: int) -> Iterator[np.ndarray]:
        """The pictures of the driving person, uint8 (`height`, W, 3), frame by frame; none where there are only poses."""
        if self.kind == "rgb" and not isinstance(self.source, Cues):
            size = height, max(1, round(self.source.size[1] * height / self.source.size[0]))
            yield from (resize(frame, size) for frame in self.source)


def open_driving(path: str | Path, options: MotionOptions = MotionOptions()) -> Driving:
    """Open DRIVING and check that it can be used; people are not looked for yet.

    Args:
        path: a video, an already drawn skeleton video, a folder with either as frames, a folder of OpenPose JSON files
            (or one file), a BVH file, or a cues file.
        options: kind, range, rate and canvas of it.

    Raises:
        BunrakuError: missing, unreadable, damaged, of an unknown kind, or without frames in the range.
    """
    path, start, stop, fps = Path(path), options.start, options.stop, options.fps
    kind = driving_kind(path) if options.driving_kind == "auto" else options.driving_kind
    logger.info("%s is read as %s", path, DESCRIPTIONS[kind])
    if kind in ("rgb", "skeleton"):
        return Driving(path, kind, open_frames(path, start, stop, fps), start or 0)
    if kind == "cues":
        cues = Cues.load(path)
    elif kind == "bvh":
        from bunraku.cues.bvh import read_bvh

        track, rate = read_bvh(path, fps)
        cues = Cues(rate, track.size, path.name, track)
    else:
        from bunraku.cues.openpose_json import read_openpose_json

        track = read_openpose_json(path, options.canvas)
        if not track.people:
            raise BunrakuError(f"no person is in any of the {len(track)} frames of {path}")
        if options.canvas and options.canvas != track.size:
            logger.warning(
                "--canvas is not used: %s says that its pictures are %dx%d (height x width)", path, *track.size
            )
        rate = fps or FOLDER_FPS
        cues = Cues(rate, track.size, path.name, mended(track, rate))
    return Driving(path, kind, _excerpt(cues, start, stop, fps), start or 0)


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
    elif any(path.glob("*.json")):
        return "openpose"
    if suffix == ".bvh":
        return "bvh"
    if suffix in CUES:
        return "cues"
    if suffix == ".json":
        return "openpose"
    sample = list(islice(open_frames(path), 0, 24, 6))
    return "skeleton" if is_drawn_skeleton(np.stack(sample)) else "rgb"


def is_drawn_skeleton(frames: np.ndarray) -> bool:
    """Whether frames, uint8 (F, H, W, 3), show coloured strokes on black: at least 80 % black, the rest saturated.

    Measured on real files: drawn skeletons are 96 % black with a median saturation of 1, footage up to 17 % and 0.5.
    """
    high = frames.max(-1)
    lit = frames[high >= 64].astype(np.float32)
    if not len(lit) or (high < 32).mean() < 0.8:
        return False
    return bool(np.median(1 - lit.min(-1) / lit.max(-1)) > 0.6)


def check_cues_outputs(cues: Path, json_folder: Path | None = None, inputs: tuple[Path, ...] = ()) -> None:
    """Before perception: whether the cues file and the folder of OpenPose JSON can be written.

    Raises:
        BunrakuError: unwritable, or the folder holds .json files already.
    """
    if cues.suffix.lower() not in CUES:
        raise BunrakuError(f"cannot write {cues}: a cues file ends in {' or '.join(CUES)}")
    check_output(cues, inputs)
    if json_folder is not None:
        if json_folder.is_dir() and any(json_folder.glob("*.json")):
            raise BunrakuError(f"{json_folder} has .json files already; choose an empty or new folder")
        check_output(json_folder / "frame.json" if json_folder.is_dir() else json_folder)


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


def _excerpt(cues: Cues, start: int | None, stop: int | None, fps: Fraction | None) -> Cues:
    """The frames nearest in time to those of another rate, then the range [start, stop) of them."""
    rate = fps or cues.fps
    count = max(1, round(len(cues) * rate / cues.fps))
    first, last = checked_range(cues.source, count, start, stop)
    chosen = np.minimum(np.rint(np.arange(first, last) * float(cues.fps / rate)).astype(int), len(cues) - 1)
    pose = cues.pose
    return replace(
        cues,
        fps=rate,
        pose=None if pose is None else PoseTrack(pose.keypoints[chosen], pose.scores[chosen], pose.size),
        skeleton=None if cues.skeleton is None else cues.skeleton[chosen],
        maps={name: values[chosen] for name, values in cues.maps.items()},
    )
