"""What drives: from the file or folder that a user calls DRIVING to cues, and from cues to the one person to follow."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from bunraku.cues.cues import Cues
from bunraku.errors import BunrakuError
from bunraku.media import FOLDER_FPS, Frames, check_input, check_output, open_frames, resize
from bunraku.media.frames import checked_range
from bunraku.perception.detector import DetectorName, PoseDetector, create_pose_detector
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

DrivingKind = Literal["rgb", "skeleton", "openpose", "bvh", "cues"]

CUES = (".cues", ".safetensors")

LONGEST_GAP = 0.5  # seconds that are bridged
Progress = Callable[[int, int], None]
"""Called with the number of frames done and the number of all frames."""


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

    def cues(
        self,
        detector: DetectorName | PoseDetector = "auto",
        *,
        max_people: int = 2,
        device: str | None = None,
        longest_side: int | None = None,
        on_frame: Progress | None = None,
    ) -> Cues:
        """The cues: read, or perceived in the frames (arguments and errors of `perceive`).

        Args:
            longest_side: drawn skeletons are reduced to it, because they are kept in memory (pixels; None: as they are).
        """
        if isinstance(self.source, Cues):
            return self.source
        if self.kind == "skeleton":
            return _skeleton_cues(self.source, self.path.name, longest_side, on_frame)
        return perceive_frames(
            self.source, str(self.path), detector, max_people=max_people, device=device, on_frame=on_frame
        )


def perceive(
    driving: str | Path,
    detector: DetectorName | PoseDetector = "auto",
    *,
    person: int | None = None,
    max_people: int = 2,
    start: int | None = None,
    stop: int | None = None,
    fps: Fraction | None = None,
    device: str | None = None,
    smoothing: bool = False,
    on_frame: Progress | None = None,
) -> Cues:
    """The poses of the people in a video, frame by frame, each with one identity over the clip.

    The video is streamed. Gaps of up to half a second are bridged joint by joint; what is lost for longer stays missing.

    Args:
        driving: a video file that FFmpeg reads, or a folder of frames.
        detector: backend, or a detector of one's own (fresh: it may track from frame to frame).
        person: keep only this one, 0 being the largest, held still where it is lost (see `follow`). None: everybody.
        max_people: at most so many people per frame are looked for.
        start, stop: frame range [start, stop) at the output frame rate.
        fps: frames per second; None: the video's own.
        device: of the detector; None takes the best there is.
        smoothing: One-Euro filter on the joints (needs `person`).
        on_frame: progress.

    Raises:
        BunrakuError: unreadable video, empty range, no usable detector, or nobody in any frame.
    """
    cues = perceive_frames(
        open_frames(driving, start, stop, fps), str(driving), detector,
        max_people=max(max_people, (person or 0) + 1), device=device, on_frame=on_frame,
    )  # fmt: skip
    return cues if person is None else follow(cues, person, smoothing=smoothing)


def perceive_frames(
    frames: Frames,
    name: str,
    detector: DetectorName | PoseDetector = "auto",
    *,
    max_people: int = 2,
    device: str | None = None,
    on_frame: Progress | None = None,
) -> Cues:
    """As `perceive`, for opened frames; `name` is what messages and the cues call them."""
    from bunraku.cues.tracking import bridge, link

    if isinstance(detector, str):
        detector = create_pose_detector(detector, max_people=max_people, device=device)
    found = []
    with closing(detector):
        for number, frame in enumerate(frames, 1):
            detections = detector(frame)
            found.append((detections.keypoints, detections.scores))
            if on_frame:
                on_frame(number, len(frames))
    track = link(found, frames.size, max_people=max_people)
    if not track.people:
        raise BunrakuError(
            f"no person was found in any of the {len(found)} frames of {name} (detector: {detector.name}); use a video "
            "that shows one whole person, or another detector, or give the motion as OpenPose JSON, BVH or cues"
        )
    track = bridge(track, round(LONGEST_GAP * frames.fps))
    return Cues(frames.fps, frames.size, f"{Path(name).name}, {detector.name} on {detector.provider}", track)


def load_driving(
    path: str | Path,
    *,
    kind: DrivingKind | Literal["auto"] = "auto",
    start: int | None = None,
    stop: int | None = None,
    fps: Fraction | None = None,
    canvas: tuple[int, int] | None = None,
    detector: DetectorName | PoseDetector = "auto",
    max_people: int = 2,
    device: str | None = None,
    on_frame: Progress | None = None,
) -> Cues:
    """The cues of anything that can drive: `open_driving`, then `Driving.cues`."""
    driving = open_driving(path, kind=kind, start=start, stop=stop, fps=fps, canvas=canvas)
    return driving.cues(detector, max_people=max_people, device=device, on_frame=on_frame)


def open_driving(
    path: str | Path,
    *,
    kind: DrivingKind | Literal["auto"] = "auto",
    start: int | None = None,
    stop: int | None = None,
    fps: Fraction | None = None,
    canvas: tuple[int, int] | None = None,
) -> Driving:
    """Open DRIVING and check that it can be used; people are not looked for yet.

    Args:
        path: a video, an already drawn skeleton video, a folder with either as frames, a folder of OpenPose JSON files
            (or one file), a BVH file, or a cues file.
        kind: what it is; "auto" tells by name and contents (see `driving_kind`).
        start, stop: frame range [start, stop) at the output frame rate.
        fps: output frames per second; None: its own, or 25 for folders, which do not say theirs.
        canvas: (height, width) of the picture of OpenPose JSON files that do not say it.

    Raises:
        BunrakuError: missing, unreadable, damaged, of an unknown kind, or without frames in the range.
    """
    path = Path(path)
    if fps is not None and not 0 < fps <= 1000:
        raise BunrakuError(f"frame rate {fps} is out of range; give frames per second above 0, up to 1000")
    kind = driving_kind(path) if kind == "auto" else kind
    if kind not in get_args(DrivingKind):
        raise BunrakuError(f"unknown kind of driving {kind!r}; there are auto, {', '.join(get_args(DrivingKind))}")
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

        track = read_openpose_json(path, canvas)
        if not track.people:
            raise BunrakuError(f"no person is in any of the {len(track)} frames of {path}")
        cues = Cues(fps or FOLDER_FPS, track.size, path.name, track)
    return Driving(path, kind, _excerpt(cues, start, stop, fps), start or 0)


DESCRIPTIONS: dict[DrivingKind, str] = {
    "rgb": "footage of a person",
    "skeleton": "drawn skeletons",
    "openpose": "OpenPose JSON",
    "bvh": "BVH motion capture",
    "cues": "cues saved by `bunraku perceive`",
}


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


def follow(cues: Cues, person: int = 0, *, smoothing: bool = False) -> Cues:
    """The cues of one person, held in its last pose while it is lost; a warning names the frames.

    Args:
        cues: with poses; drawn skeletons come back as they are.
        person: index, 0 is the largest.
        smoothing: One-Euro filter on the joints.

    Raises:
        BunrakuError: there is no such person, or it has no pose in any frame.
    """
    from bunraku.cues.smoothing import smooth
    from bunraku.cues.tracking import hold, lost_ranges

    track = cues.pose
    if track is None:
        if person or smoothing:
            logger.warning("%s is drawn already: person and smoothing have no effect on it", cues.source)
        return cues
    if not 0 <= person < track.people:
        raise BunrakuError(
            f"there is no person {person} in {cues.source}: {track.people} found, counted from 0, the largest first"
        )
    track = track.person(person)
    if lost := lost_ranges(track, 0):
        if lost == [(0, len(track))]:
            raise BunrakuError(f"person {person} of {cues.source} has fewer than 3 joints in every frame")
        ranges = ", ".join(f"{first}-{stop - 1}" if stop - first > 1 else str(first) for first, stop in lost)
        total = sum(stop - first for first, stop in lost)
        logger.warning(
            "the person is lost in %d of %d frames of %s and held still there: %s",
            total,
            len(track),
            cues.source,
            ranges,
        )
        track = hold(track)
    return replace(cues, pose=smooth(track, cues.fps) if smoothing else track)


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


def _skeleton_cues(frames: Frames, name: str, longest_side: int | None, on_frame: Progress | None) -> Cues:
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
