"""The motion and the character it is for: which frames of a clip, whom of them, and the reference's own pose."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import sidecar
from bunraku.driving import Driving, DrivingKind, Progress, follow, open_driving
from bunraku.errors import BunrakuError
from bunraku.media import resize
from bunraku.perception.detector import DetectorName
from bunraku.perception.pose import PoseTrack
from bunraku.reference import read_pose

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MotionOptions:
    """What of a driving clip is used, and how poses are found; None leaves the choice to the clip or the machine.

    Attributes:
        reference_pose: OpenPose JSON file with the pose of the reference; None: NAME.pose.json beside the picture, else
            it is detected.
        driving_kind: what DRIVING is, see `open_driving`.
        person: whom to follow, 0 being the largest.
        start, stop: range of driving frames [start, stop) at the output frame rate.
        fps: frames per second of the output; None: the driving clip's.
        canvas: (height, width) of OpenPose JSON files that do not say it.
        smoothing: One-Euro filter on the driving joints.
        device: of the detector (and the model), such as "cpu" or "cuda:1".
        detector: pose detector.
        max_people: people looked for in each driving frame.

    Raises:
        BunrakuError: a value out of its range.
    """

    reference_pose: Path | None = None
    driving_kind: DrivingKind | Literal["auto"] = "auto"
    person: int = 0
    start: int | None = None
    stop: int | None = None
    fps: Fraction | None = None
    canvas: tuple[int, int] | None = None
    smoothing: bool = False
    device: str | None = None
    detector: DetectorName = "auto"
    max_people: int = 2

    def __post_init__(self) -> None:
        if wrong := [message for message, right in self.checks().items() if not right]:
            raise BunrakuError("; ".join(wrong))

    def checks(self) -> dict[str, bool]:
        """What is said where a value is out of its range, and whether it is in it."""
        return {
            f"person {self.person} must be at least 0": self.person >= 0,
            f"max-people {self.max_people} must be at least 1": self.max_people >= 1,
            f"frame rate {self.fps} must be above 0 and at most 1000": self.fps is None or 0 < self.fps <= 1000,
        }


def open_motion(driving: Path, options: MotionOptions) -> Driving:
    """The clip, opened and checked; nothing slow has happened yet."""
    return open_driving(
        driving, kind=options.driving_kind, start=options.start, stop=options.stop, fps=options.fps, canvas=options.canvas
    )  # fmt: skip


def known_pose(reference: Path, size: tuple[int, int], options: MotionOptions) -> PoseTrack | None:
    """The pose of the picture `reference` of `size` (height, width), if a file gives it."""
    path = options.reference_pose
    if path is None and sidecar(reference).is_file():
        path = sidecar(reference)
        logger.info("the pose of the reference is read from %s", path)
    return None if path is None else read_pose(path, size)


def followed(
    clip: Driving, options: MotionOptions, longest_side: int | None = None, on_frame: Progress | None = None
) -> Cues:
    """The cues of the one person to follow; arguments as of `Driving.cues`."""
    cues = clip.cues(
        options.detector, max_people=max(options.max_people, options.person + 1), device=options.device,
        longest_side=longest_side, on_frame=on_frame,
    )  # fmt: skip
    return follow(cues, options.person, smoothing=options.smoothing)


def footage(clip: Driving, height: int) -> Iterator[np.ndarray]:
    """The pictures of the driving person, uint8 (`height`, W, 3), frame by frame; none where the clip has only poses."""
    if clip.kind == "rgb" and not isinstance(clip.source, Cues):
        size = height, max(1, round(clip.source.size[1] * height / clip.source.size[0]))
        yield from (resize(frame, size) for frame in clip.source)


def has_keypoints(clip: Driving) -> bool:
    """Whether the clip is more than drawn skeletons."""
    return clip.kind != "skeleton" and not (isinstance(clip.source, Cues) and clip.source.pose is None)
