"""DRAWN: how each condition is drawn. The one table that training data, inference and previews use."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Any, Protocol

import cv2
import numpy as np

from bunraku.cues.background_flow import draw_background_flow
from bunraku.cues.character_region import kernel_sides
from bunraku.cues.cues import Cues, Puppet
from bunraku.cues.depth_order import draw_depth_order, ranks_over_time, standing_nearness
from bunraku.cues.shape_mask import BLOCK, Law, character_hole, environment
from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.structured_depth import depth_span, draw_structured_depth
from bunraku.errors import BunrakuError
from bunraku.media.frames import Pictures
from bunraku.media.images import fit, placement, resize
from bunraku.perception.camera import motion_flow
from bunraku.perception.pose import SEEN, PoseTrack
from bunraku.puppet_warp import CutOut

DrawFrames = Callable[[Sequence[int]], np.ndarray]
"""Frame numbers -> uint8 (len(numbers), H, W, C)."""

Draw = Callable[..., DrawFrames | None]
"""(cues, size, **style) -> what draws frames of a clip's condition at `size` (height, width): what takes the whole clip to know is found
out once, here. None: these cues do not tell it."""

logger = logging.getLogger(__name__)

REFERENCE = "reference"
"""The still of the character; a still called reference_NAME is the condition NAME of that picture."""

VIEWS, VIEWS_POSE = "views", "views_pose"
"""Further pictures of the character (front, back, close-up), and their poses; views_NAME is the condition NAME of these pictures."""


def draw_pose(cues: Cues, size: tuple[int, int], **style: Any) -> DrawFrames:
    """Skeletons on black; `style`: arguments of `draw_skeleton`. Drawn ones are cropped to `size`."""
    if cues.pose is None:
        return lambda frames: fit(cues.skeleton[list(frames)], size, "crop")[0]  # type: ignore[index]
    track = cues.pose.scaled(size)
    return lambda frames: draw_skeleton(track[list(frames)], **style)


def draw_flow(cues: Cues, size: tuple[int, int], **style: Any) -> DrawFrames | None:
    """The background's motion with the people painted over: that of the map `camera`, else of the map `flow`, and rest where neither knows.

    Without both there is no motion: what tells the networks to keep the background still. `style`: arguments of
    `draw_background_flow`.
    """
    if cues.pose is None:
        return None
    track, motion = cues.pose.scaled(size), _background(cues, size)
    sides = kernel_sides(track, threshold=style.get("threshold", SEEN))

    def draw(frames: Sequence[int]) -> np.ndarray:
        flow = None if motion is None else np.stack([motion(frame) for frame in frames])
        return draw_background_flow(track[list(frames)], flow, sides=sides, **style)

    return draw


def draw_order(cues: Cues, size: tuple[int, int], **style: Any) -> DrawFrames | None:
    """Who is in front of whom; `style`: arguments of `draw_depth_order`.

    The order of each frame is that of the map `nearness`; without it, it is guessed from where and how large everybody stands, and changes
    only on evidence that lasts (`ranks_over_time`).
    """
    if cues.pose is None:
        return None
    track, known = cues.pose.scaled(size), cues.maps.get("nearness")
    ranks = ranks_over_time(standing_nearness(track)) if known is None else ranks_over_time(known, window=1)
    sides = kernel_sides(track, threshold=style.get("threshold", SEEN))
    return lambda frames: draw_depth_order(track[list(frames)], ranks[list(frames)], sides=sides, **style)


def draw_instances(cues: Cues, size: tuple[int, int]) -> DrawFrames | None:
    """Who is seen where, uint8 (F, H, W, 1): 0 nobody, p + 1 person p, whose mattes cover more than half of the pixel and most of all."""
    mattes = cues.maps.get("mattes")
    if mattes is None:
        return None

    def draw(frames: Sequence[int]) -> np.ndarray:
        part = mattes[list(frames)]
        if not part.shape[1]:
            return np.zeros((len(part), *size, 1), np.uint8)
        covers = np.stack([resize(part[:, person, ..., None], size) for person in range(part.shape[1])])  # P F H W 1
        return np.where(covers.max(0) >= 128, covers.argmax(0) + 1, 0).astype(np.uint8)

    return draw


def draw_depth(cues: Cues, size: tuple[int, int], **style: Any) -> DrawFrames | None:
    """Depth along the skeletons; `style`: arguments of `draw_structured_depth`."""
    if cues.pose is None or "depth" not in cues.maps:
        return None
    track, depth = cues.pose.scaled(size), cues.maps["depth"]
    # in every piece of the clip, a distance has one brightness
    span = depth_span(
        track, depth, size, **{name: style[name] for name in ("line_width", "threshold", "hands") if name in style}
    )
    return lambda frames: draw_structured_depth(track[list(frames)], depth[list(frames)], size, span=span, **style)


def draw_mask(cues: Cues, size: tuple[int, int], block: int = BLOCK, law: Law = "clip") -> DrawFrames | None:
    """Where the character may be, white on black: the map `hole`, or else the mattes under a law.

    Args:
        block, law: see `character_hole`.
    """
    name = next((name for name in ("hole", "mattes") if name in cues.maps), None)
    if name is None:
        return None
    known = cues.maps[name]

    def draw(frames: Sequence[int]) -> np.ndarray:
        areas = known[list(frames)]
        if name == "mattes":
            areas = areas.max(1)
        areas = resize(areas[..., None], size)[..., 0]
        hole = areas >= 128 if name == "hole" else character_hole(areas, law, block=block)
        return np.repeat(np.uint8(255) * hole[..., None], 3, axis=-1)

    return draw


def draw_environment(cues: Cues, size: tuple[int, int], block: int = BLOCK, law: Law = "clip") -> DrawFrames | None:
    """The scene, black where the character may be; arguments as of `draw_mask`."""
    mask, pixels = draw_mask(cues, size, block, law), cues.pixels
    if mask is None or pixels is None:
        return None
    return lambda frames: environment(resize(np.asarray(pixels[list(frames)]), size), mask(frames)[..., 0] > 0)


def draw_object(cues: Cues, size: tuple[int, int]) -> DrawFrames | None:
    """The things in hand, on black."""
    objects, pixels = cues.maps.get("objects"), cues.pixels
    if objects is None or pixels is None:
        return None

    def draw(frames: Sequence[int]) -> np.ndarray:
        things = resize(objects[list(frames)][..., None], size) >= 128
        return np.where(things, resize(np.asarray(pixels[list(frames)]), size), np.uint8(0))

    return draw


def _background(cues: Cues, size: tuple[int, int]) -> Callable[[int], np.ndarray] | None:
    """Frame -> how the background moves until the next one, float32 (H, W, 2) in pixels of `size`; None: the cues do not say it."""
    camera, flow = cues.maps.get("camera"), cues.maps.get("flow")
    if camera is None and flow is None:
        return None
    factor = np.array([size[1] / cues.size[1], size[0] / cues.size[0]], np.float32)
    scale = np.diag([*factor, 1])

    def motion(frame: int) -> np.ndarray:
        if camera is not None and np.isfinite(camera[frame]).all():
            return motion_flow(scale @ camera[frame] @ np.linalg.inv(scale), size)
        if flow is None:
            return np.zeros((*size, 2), np.float32)
        known = np.nan_to_num(flow[frame].astype(np.float32))
        return np.asarray(cv2.resize(known, size[::-1], interpolation=cv2.INTER_LINEAR) * factor)

    return motion


def draw_cutout(cues: Cues, size: tuple[int, int]) -> DrawFrames | None:
    """The still's people cut out and moved as the puppet warp does, (F, H, W, 4): RGB, and how much of a pixel they cover.

    Where they cannot be cut (no neck, nobody to be seen), it is the still itself, covered by nobody, and a warning says why.
    """
    puppet, pose = cues.puppet, cues.pose
    if puppet is None or pose is None:
        return None
    cut = cache(lambda: _cut_out(puppet, pose, size))
    return lambda frames: cut()[frames]


@dataclass(frozen=True, eq=False)
class Repeated:
    """One picture for every frame."""

    picture: np.ndarray

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        return np.stack([self.picture] * len(frames))


def _cut_out(puppet: Puppet, pose: PoseTrack, size: tuple[int, int]) -> CutOut | Repeated:
    try:
        return CutOut(puppet.picture, pose, puppet.pose, size, puppet.mattes, puppet.behind)
    except BunrakuError as error:
        logger.warning("the character is not cut out and moved: %s", error)
        still = fit(puppet.picture, size, "crop")[0]
        return Repeated(np.dstack([still, np.zeros_like(still[..., :1])]))


DRAWN: dict[str, Draw] = {
    "pose": draw_pose,
    "flow": draw_flow,
    "depth_order": draw_order,
    "instances": draw_instances,
    "structured_depth": draw_depth,
    "mask": draw_mask,
    "environment": draw_environment,
    "object": draw_object,
    "cutout": draw_cutout,
}
"""By the condition's name, as recipes call it."""

TOLD_BY: dict[str, tuple[str, ...]] = {
    "flow": ("camera",),
    "instances": ("mattes",),
    "structured_depth": ("depth",),
    "mask": ("mattes",),
    "environment": ("mattes",),
    "object": ("objects",),
}
"""The maps of cues without which a condition is not told, beside the poses."""


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
        if self.draw is None:
            raise BunrakuError(f"{self.cues.source} does not tell the condition {self.name}")
        return self.draw(frames)

    @cached_property
    def draw(self) -> DrawFrames | None:
        """What draws its frames; None: the cues do not tell it."""
        return DRAWN[self.name](self.cues, self.size, **self.style)


@dataclass(frozen=True)
class Reduced:
    """The frames of a condition made smaller after they are drawn, so that both show exactly the same."""

    source: Drawn
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        return resize(self.source[frames], self.size)


def draw_clip(
    names: Iterable[str], cues: Cues, size: tuple[int, int], styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, Drawn]:
    """The conditions `names` of a driving clip, by name, as far as its cues tell them; frames are drawn when they are asked for."""
    drawn = {name: Drawn(name, cues, size, styles.get(name, {})) for name in names}
    return {name: condition for name, condition in drawn.items() if condition.draw is not None}


def with_puppet(
    driving: Cues, picture: np.ndarray, own: Cues | None, mattes: np.ndarray | None, behind: Pictures | None = None
) -> Cues:
    """The driving clip's cues, and whom it drives: the people of a picture, as its own cues (one frame) and mattes have them, before
    what is `behind` them."""
    if own is None or own.pose is None:
        return driving
    return replace(driving, puppet=Puppet(picture, own.pose, mattes, behind))


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


def draw_views(
    names: Iterable[str], views: Sequence[tuple[np.ndarray, Cues | None]], styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Further pictures of the character as stills, uint8 (V, H, W, C) by name: what `draw_stills` draws of each, black where it cannot.

    Args:
        names: of the stills of the reference.
        views: pictures uint8 (H, W, 3) of one size, with what is known of each, one frame.
    """
    drawn = [draw_stills(names, picture, cues, styles) for picture, cues in views]
    made = {}
    for name in dict.fromkeys(name for stills in drawn for name in stills):
        black = np.zeros_like(next(stills[name] for stills in drawn if name in stills))
        made[VIEWS + name.removeprefix(REFERENCE)] = np.stack([stills.get(name, black) for stills in drawn])
    return made


class Model(Protocol):
    """A model for which conditions are drawn, such as an `AnimationPipeline`."""

    @property
    def reads(self) -> Any:
        """Names of stills and frames, `recipes.Reads`."""
        ...

    @property
    def styles(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def trusted(self) -> str | None:
        """The condition whose own pixels its output may show, see `recipes.Animator`; None: there is none."""
        ...

    @property
    def made_for(self) -> tuple[int, int]:
        """(height, width) that it was trained at."""
        ...

    def refine(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        """The poses that it follows, see `recipes.Animator`."""
        ...


def draw_conditions(
    model: Model,
    picture: np.ndarray,
    driving: Cues | PoseTrack | np.ndarray,
    own: Cues | PoseTrack | np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    mattes: np.ndarray | None = None,
    behind: Pictures | None = None,
    views: Sequence[tuple[np.ndarray, PoseTrack | None]] = (),
    refine: bool = True,
) -> tuple[dict[str, np.ndarray], dict[str, Drawn]]:
    """Stills and frames for `AnimationPipeline.stream`, drawn as the model knows them.

    Args:
        picture: the reference, uint8 (H, W, 3).
        driving: what is known of the driving clip, or just its poses, or drawn skeletons uint8 (F, H', W', 3); already retargeted.
        own: the same of the reference, one frame, in the picture's pixels.
        size: (height, width) of the output; the picture is cropped to its shape about its centre. None: the picture's own.
        mattes: uint8 (P, H, W), how much of the picture's pixels each of its people covers; None: found where they are needed.
        behind: what is behind them, as of `Puppet`.
        views: further pictures of the character, uint8 (H', W', 3), with its pose (1, P, K) there, if it is known.
        refine: a model that mends the poses that it follows (`followed`) does so.

    Raises:
        BunrakuError: drawn skeletons of another shape or dtype.
    """
    size = size or (picture.shape[0], picture.shape[1])
    own = None if own is None else cues_of(own)
    driving = followed(model, driving, own) if refine else cues_of(driving)
    known = None if own is None else _placed(own, picture, size)
    stills = draw_stills(model.reads.stills, fit(picture, size, "crop")[0], known, model.styles)
    placed = [
        (fit(view, size, "crop")[0], None if pose is None else _placed(cues_of(pose), view, size))
        for view, pose in views
    ]
    stills |= draw_views(model.reads.stills, placed, model.styles)
    clip = with_puppet(driving, picture, own, mattes, behind)
    return stills, draw_clip(model.reads.frames, clip, size, model.styles)


def followed(model: Model, driving: Cues | PoseTrack | np.ndarray, own: Cues | None) -> Cues:
    """What is known of the driving clip, with the poses that the model makes of the driver's (`Animator.refine`), where it knows whose they are."""
    cues = cues_of(driving)
    if cues.pose is None or own is None or own.pose is None or cues.pose.people != own.pose.people:
        return cues
    return replace(cues, pose=model.refine(cues.pose, own.pose))


@dataclass(frozen=True)
class Conditions:
    """What `AnimationPipeline.stream` takes for an output of some size.

    Attributes:
        stills, frames: in the size that the model paints.
        detail: the trusted frames in the size of the output; None: it paints that, or trusts nothing.
    """

    stills: Mapping[str, np.ndarray]
    frames: Mapping[str, Pictures]
    detail: Drawn | None = None


def draw_sharp(
    model: Model,
    picture: np.ndarray,
    driving: Cues | PoseTrack | np.ndarray,
    own: Cues | PoseTrack | np.ndarray | None,
    size: tuple[int, int],
    mattes: np.ndarray | None = None,
    behind: Pictures | None = None,
    views: Sequence[tuple[np.ndarray, PoseTrack | None]] = (),
    refine: bool = True,
) -> Conditions:
    """Conditions as of `draw_conditions`; a model that trusts some frames paints in a size that it was made for, and takes what is finer
    from them."""
    own = None if own is None else cues_of(own)
    driving = followed(model, driving, own) if refine else driving
    stills, frames = draw_conditions(model, picture, driving, own, size, mattes, behind, views, refine=False)
    painted = painted_size(size, model.made_for)
    if model.trusted not in frames or painted == size:
        return Conditions(stills, frames)
    detail = frames[model.trusted]  # type: ignore[index]
    stills, frames = draw_conditions(model, picture, driving, own, painted, mattes, behind, views, refine=False)
    return Conditions(stills, {**frames, detail.name: Reduced(detail, painted)}, detail)


def painted_size(size: tuple[int, int], own: Sequence[int]) -> tuple[int, int]:
    """What a model of size `own` paints for an output: the output through the whole number that comes nearest to its own area.

    >>> painted_size((768, 512), (256, 256))
    (384, 256)
    """
    wanted = math.sqrt(math.prod(size) / math.prod(own))
    whole = [k for k in range(1, min(size) // 32 + 1) if not size[0] % (8 * k) and not size[1] % (8 * k)]
    factor = min(whole or [1], key=lambda k: abs(k - wanted))
    return size[0] // factor, size[1] // factor


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
