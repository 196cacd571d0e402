"""The benchmark `theatre-1`: clips with exact truth, rendered on demand; the same pixels on every machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack
from bunraku.theatre.scene import render, sample_scene

VERSION = "theatre-1"
SPLITS = ("solo",)
CLIPS = 64
"""Clips of every split."""

_FIRST_SEED = 1_000_000
_FRAMES = (24, 48)


@dataclass(frozen=True, eq=False)
class DrivingScene:
    """The driving clip as a replacement method may see it: everything but the truth.

    Attributes:
        frames: uint8 (F, H, W, 3).
        instances: uint8 (F, H, W), 0 where no actor is seen, i + 1 for actor i.
        objects: bool (F, H, W), props in hand and set pieces.
        occluders: bool (F, H, W), those set pieces that stand nearer than an actor.
        depth: float32 (F, H, W), distance; the stage's back is farthest.
        background_flow: float32 (F, H, W, 2), where the camera alone takes a pixel's stage until the next frame, in pixels.
    """

    frames: np.ndarray
    instances: np.ndarray
    objects: np.ndarray
    occluders: np.ndarray
    depth: np.ndarray
    background_flow: np.ndarray


@dataclass(frozen=True, eq=False)
class BenchmarkClip:
    """One clip: what a system is given, and the truth.

    Attributes:
        name: split and number, such as "solo/007".
        fps: frames per second of driving and truth.
        reference: uint8 (H, W, 3), the still; reference_pose: (1, P, 18) in its pixels; reference_instances: uint8 (H, W), 0 where no
            actor is seen, i + 1 for actor i, who is person i of every pose.
        driving: (F, P, 18), what a pose detector delivers of the driving clip, in its pixels.
        retarget: whether the driving poses have other proportions than the reference, or are already its own.
        truth: uint8 (F, H, W, 3); truth_pose: (F, P, 18); instances: uint8 (F, H, W) of the truth.
        static: bool (F, H, W), pixels of the truth that show the same unmoving stage or set piece in this frame and in the one before;
            row 0 is False.
        driver: the driving clip itself, where it is part of the task, else None.
        tags: what else is known of the clip, such as {"level": "2"}.
    """

    name: str
    fps: Fraction
    reference: np.ndarray
    reference_pose: PoseTrack
    reference_instances: np.ndarray
    driving: PoseTrack
    retarget: bool
    truth: np.ndarray
    truth_pose: PoseTrack
    instances: np.ndarray
    static: np.ndarray
    driver: DrivingScene | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def benchmark_clip(split: str, index: int, size: int = 128) -> BenchmarkClip:
    """Clip `index` of a split, rendered.

    Args:
        split: one of SPLITS.
        index: 0 to CLIPS - 1.
        size: height and width in pixels.

    Raises:
        BunrakuError: no such split or clip.
    """
    if split not in SPLITS:
        raise BunrakuError(f"{VERSION} has no split {split!r}; choose one of {', '.join(SPLITS)}")
    if not 0 <= index < CLIPS:
        raise BunrakuError(f"{VERSION}/{split} has clips 0 to {CLIPS - 1}; got {index}")
    scene = sample_scene(_FIRST_SEED + index, "test")
    shown = render(scene, 1 + int(np.random.default_rng(index).integers(_FRAMES[0], _FRAMES[1] + 1)), size)
    instances = shown.character_mask.astype(np.uint8)
    still = np.zeros_like(shown.character_mask)
    still[1:] = (instances[1:] == 0) & (instances[:-1] == 0)
    return BenchmarkClip(
        name=f"{split}/{index:03d}",
        fps=scene.fps,
        reference=shown.frames[0],
        reference_pose=shown.pose[:1],
        reference_instances=instances[0],
        driving=shown.pose[1:],
        retarget=False,
        truth=shown.frames[1:],
        truth_pose=shown.pose[1:],
        instances=instances[1:],
        static=still[1:],
    )
