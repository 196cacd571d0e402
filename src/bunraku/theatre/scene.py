"""Scene: who does what where; rendered to frames with exact ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack
from bunraku.theatre.background import Background, sample_background
from bunraku.theatre.character import Character, sample_character
from bunraku.theatre.motion import Motion, sample_dance
from bunraku.theatre.puppet import draw, skeleton

SPLITS: dict[str, Sequence[int]] = {"train": range(6), "val": (6,), "test": (7,)}
"""Splits of scenes and the eighths of all outfits that each draws from."""

_SAMPLES = 2  # supersampling of the puppet along either axis


@dataclass(frozen=True)
class Placement:
    """Where a character stands: middle `x` (in frame heights from the frame's middle), `floor` and standing `height` (in frame heights,
    less in narrow frames)."""

    x: float = 0.0
    floor: float = 0.93
    height: float = 0.7


@dataclass(frozen=True)
class Scene:
    """A character doing a motion in front of a background; exchange any of them with `dataclasses.replace`."""

    character: Character
    motion: Motion
    background: Background
    placement: Placement = Placement()
    fps: Fraction = Fraction(12)


@dataclass(frozen=True, eq=False)
class Rendering:
    """Frames and their ground truth.

    Attributes:
        frames: uint8 (F, H, W, 3) RGB.
        pose: keypoints (F, 1, 18, 2) in pixels; scores are 1 where visible, else 0.
        character_mask: bool (F, H, W).
        background: uint8 (H, W, 3), the empty stage.
    """

    frames: np.ndarray
    pose: PoseTrack
    character_mask: np.ndarray
    background: np.ndarray


def sample_scene(seed: int, split: str = "train") -> Scene:
    """The scene number `seed` of a split; character, motion and background of different splits never coincide.

    Args:
        seed: any integer of at least 0; the same seed gives the same pixels.
        split: "train", "val" or "test".

    Raises:
        BunrakuError: unknown split or negative seed.
    """
    if split not in SPLITS or seed < 0:
        raise BunrakuError(
            f"a scene needs a split out of {', '.join(SPLITS)} and a seed of at least 0; got {split!r} and {seed}"
        )

    def rng(kind: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([list(SPLITS).index(split), kind, seed])))

    place = rng(3)
    height = place.uniform(0.6, 0.76)
    return Scene(
        sample_character(rng(0), SPLITS[split]),
        sample_dance(rng(1)),
        sample_background(rng(2)),
        Placement(float(place.uniform(-0.06, 0.06)), float(place.uniform(0.88, 0.96)), float(height)),
    )


def render(scene: Scene, frames: Sequence[int] | int, size: int | tuple[int, int] = 128) -> Rendering:
    """Render frames of a scene.

    Args:
        scene: what to render.
        frames: frame indices, in any order; or a count, for frames 0 to count - 1.
        size: (height, width) in pixels, or one number for a square.
    """
    height, width = (size, size) if isinstance(size, int) else size
    indices = np.arange(frames) if isinstance(frames, int) else np.asarray(frames, int)
    if not len(indices) or min(height, width) < 1:
        raise BunrakuError(
            f"nothing to render: {len(indices)} frames of {width}x{height}; ask for at least one frame of one pixel"
        )
    posture = scene.motion.posture(indices / float(scene.fps))
    bones = skeleton(scene.character, posture)
    drawing = draw(scene.character, posture, bones, scene.motion.behind)

    stage = scene.background.render((height, width))
    # Narrow frames get a smaller character, so that stretched arms still fit.
    scale = scene.placement.height * min(height, 1.2 * width)
    offset = width / 2 + scene.placement.x * height, scene.placement.floor * height
    canvas = np.dstack(
        [
            np.repeat(np.repeat(stage, _SAMPLES, 0), _SAMPLES, 1),
            np.zeros((height * _SAMPLES, width * _SAMPLES), np.uint8),
        ]
    )
    painted = drawing.paint(canvas, scale * _SAMPLES, (offset[0] * _SAMPLES, offset[1] * _SAMPLES))
    small = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in painted])

    keypoints = bones.joints * scale + offset
    inside = ((keypoints >= 0) & (keypoints < (width, height))).all(-1)
    pose = PoseTrack(
        keypoints[:, None].astype(np.float32), (bones.visible & inside)[:, None].astype(np.float32), (height, width)
    )
    return Rendering(np.ascontiguousarray(small[..., :3]), pose, small[..., 3] > 127, stage)
