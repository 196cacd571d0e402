"""One clip of an evaluation: what a system is given, and the truth its frames are scored against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from bunraku.perception.pose import PoseTrack


@dataclass(frozen=True, eq=False)
class DrivingScene:
    """The driving clip, for methods that look at more than its poses.

    Attributes:
        frames: uint8 (F, H, W, 3).
        instances: uint8 (F, H, W), 0 where no actor is seen, i + 1 for actor i.
        objects: bool (F, H, W), props in hand and set pieces; held: those in hand alone.
        occluders: bool (F, H, W), those set pieces that stand nearer than every actor.
        depth: float32 (F, H, W), distance; the background is farthest.
        background_flow: float32 (F, H, W, 2), where the camera alone takes a pixel's background until the next frame, in pixels.
    """

    frames: np.ndarray
    instances: np.ndarray
    objects: np.ndarray
    held: np.ndarray
    occluders: np.ndarray
    depth: np.ndarray
    background_flow: np.ndarray


@dataclass(frozen=True, eq=False)
class BenchmarkClip:
    """One clip: what a system is given, and the truth.

    Footage has no masks: those fields are None. Where no poses were looked for, the pose tracks have no people (P = 0).

    Attributes:
        name: split and number, such as "solo/007".
        fps: frames per second of driving and truth.
        reference: uint8 (H, W, 3), the still; reference_pose: (1, P, 18) in its pixels; reference_instances: uint8 (H, W), 0 where no
            actor is seen, i + 1 for actor i, who is person i of every pose.
        driving: (F, P, 18), what a pose detector delivers of the driving clip, in its pixels.
        retarget: whether the driving poses have other proportions than the reference, or are already its own.
        truth: uint8 (F, H, W, 3); truth_pose: (F, P, 18); instances: uint8 (F, H, W) of the truth.
        static: bool (F, H, W), pixels of the truth that show the same unmoving background or set piece in this frame and in the one
            before; row 0 is False.
        driver: the driving clip of stage and camera, else None. In camera its frames are the truth: for its masks and flow.
        tags: what else is known: "oddity" of bizarre; "level" of noisy; "people" and "order" (far to near, such as "1 0") of crowd.
    """

    name: str
    fps: Fraction
    reference: np.ndarray
    reference_pose: PoseTrack
    reference_instances: np.ndarray | None
    driving: PoseTrack
    retarget: bool
    truth: np.ndarray
    truth_pose: PoseTrack
    instances: np.ndarray | None
    static: np.ndarray | None
    driver: DrivingScene | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
