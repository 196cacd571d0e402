"""DRAWN: how each condition is drawn. The one table that training data, inference and previews use."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.media.images import fit, placement
from bunraku.perception.pose import PoseTrack

Draw = Callable[..., np.ndarray]
"""(cues, frames, size, **style) -> uint8 (len(frames), H, W, C): some frames of a clip's condition at `size` (height, width)."""

REFERENCE = "reference"
"""The still of the character; a still called reference_NAME is the condition NAME of that picture."""


def draw_pose(cues: Cues, frames: Sequence[int], size: tuple[int, int], **style: Any) -> np.ndarray:
    """Skeletons, uint8 (F, H, W, 3) on black; `style`: arguments of `draw_skeleton`. Drawn ones are cropped to `size`."""
    if cues.pose is not None:
        return draw_skeleton(cues.pose.scaled(size)[list(frames)], **style)
    return fit(cues.skeleton[list(frames)], size, "crop")[0]  # type: ignore[index]


DRAWN: dict[str, Draw] = {"pose": draw_pose}
"""By the condition's name, as recipes call it."""


@dataclass(frozen=True)
class Drawn:
    """A condition of a clip whose frames are drawn when they are asked for: `drawn[[0, 5]]` is uint8 (2, H, W, C).

    Attributes:
        name: a key of `DRAWN`.
        size: (height, width).
        style: arguments of the condition's function.
    """

    name: str
    cues: Cues
    size: tuple[int, int]
    style: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cues)

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        return DRAWN[self.name](self.cues, frames, self.size, **self.style)


def draw_clip(
    names: Iterable[str], cues: Cues, size: tuple[int, int], styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, Drawn]:
    """The conditions `names` of a driving clip, by name; frames are drawn when they are asked for."""
    return {name: Drawn(name, cues, size, styles.get(name, {})) for name in names}


def draw_stills(
    names: Iterable[str], picture: np.ndarray, cues: Cues | None, styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """The stills `names` of a reference picture, uint8 (H, W, C) by name; those that need cues are left out where there are none.

    Args:
        picture: uint8 (H, W, 3).
        cues: what is known of the picture, one frame.
    """
    size = (picture.shape[0], picture.shape[1])
    stills = {REFERENCE: picture}
    for name in names:
        condition = name.removeprefix(f"{REFERENCE}_")
        if name != REFERENCE and cues is not None:
            stills[name] = Drawn(condition, cues, size, styles.get(condition, {}))[[0]][0]
    return stills


class Model(Protocol):
    """A model for which conditions are drawn, such as an `AnimationPipeline`."""

    @property
    def reads(self) -> Any:
        """Names of stills and frames, `recipes.Reads`."""
        ...

    @property
    def styles(self) -> Mapping[str, Mapping[str, Any]]: ...


def draw_conditions(
    model: Model,
    picture: np.ndarray,
    driving: Cues | PoseTrack | np.ndarray,
    own: Cues | PoseTrack | np.ndarray | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Drawn]]:
    """Stills and frames for `AnimationPipeline.stream`, drawn as the model knows them.

    Args:
        picture: the reference, uint8 (H, W, 3).
        driving: what is known of the driving clip, or just its poses, or drawn skeletons uint8 (F, H', W', 3); already retargeted.
        own: the same of the reference, one frame, in the picture's pixels.
        size: (height, width) of the output; the picture is cropped to its shape about its centre. None: the picture's own.

    Raises:
        BunrakuError: drawn skeletons of another shape or dtype.
    """
    size = size or (picture.shape[0], picture.shape[1])
    known = None if own is None else _placed(cues_of(own), picture, size)
    stills = draw_stills(model.reads.stills, fit(picture, size, "crop")[0], known, model.styles)
    return stills, draw_clip(model.reads.frames, cues_of(driving), size, model.styles)


def cues_of(poses: Cues | PoseTrack | np.ndarray) -> Cues:
    """Poses or drawn skeletons alone as what is known of a clip."""
    if isinstance(poses, Cues):
        return poses
    if isinstance(poses, PoseTrack):
        return Cues(Fraction(1), poses.size, "poses", pose=poses)
    drawn = poses[None] if poses.ndim == 3 else poses
    if drawn.dtype != np.uint8 or drawn.ndim != 4 or drawn.shape[3] != 3:
        raise BunrakuError(f"drawn poses must be uint8 (F, H, W, 3), got {poses.dtype} {poses.shape}")
    return Cues(Fraction(1), (drawn.shape[1], drawn.shape[2]), "drawn skeletons", skeleton=drawn)


def _placed(own: Cues, picture: np.ndarray, size: tuple[int, int]) -> Cues:
    """Cues of the picture after it is cropped and resized to `size`."""
    if own.pose is None:
        return own  # a drawing is cropped as the picture is
    moved = placement((picture.shape[0], picture.shape[1]), size, "crop").points(own.pose.keypoints)
    return replace(own, size=size, pose=PoseTrack(moved, own.pose.scores, size))
