"""Scene: who does what where; rendered to frames with exact ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack, together
from bunraku.theatre.background import Background, sample_background
from bunraku.theatre.camera import BACKDROP, Camera, Placement, sample_camera
from bunraku.theatre.character import Character, sample_character
from bunraku.theatre.motion import Motion, sample_dance
from bunraku.theatre.props import Prop, SetPiece, sample_prop, sample_set_piece
from bunraku.theatre.puppet import Skeleton, draw, skeleton
from bunraku.theatre.shapes import Layer, Painter, View
from bunraku.theatre.walk import Walk

SPLITS: dict[str, Sequence[int]] = {"train": range(6), "val": (6,), "test": (7,)}
"""Splits of scenes and the eighths of all outfits that each draws from."""

_SAMPLES = 2  # supersampling of puppets and set pieces along either axis


@dataclass(frozen=True)
class Actor:
    """A character doing a motion at a place, perhaps with a prop in hand; exchange any of them with `dataclasses.replace`."""

    character: Character
    motion: Motion
    placement: Placement = field(default_factory=Placement)
    prop: Prop | None = None


@dataclass(frozen=True)
class Scene:
    """Actors and set pieces in front of a background, seen by a camera.

    The actor's place in `actors` is its identity: person i of the pose, i + 1 of the instances. Farther things are painted first; of
    equally far ones set pieces before actors, and each in their order.
    """

    actors: tuple[Actor, ...]
    background: Background
    objects: tuple[SetPiece, ...] = ()
    camera: Camera = field(default_factory=Camera)
    fps: Fraction = Fraction(12)

    def recast(self, index: int = 0, **changes: Any) -> "Scene":
        """The scene with fields of one actor exchanged: character, motion, placement, prop."""
        actors = list(self.actors)
        actors[index] = replace(actors[index], **changes)
        return replace(self, actors=tuple(actors))


@dataclass(frozen=True, eq=False)
class Rendering:
    """Frames of a scene of P actors, and their ground truth.

    Attributes:
        frames: uint8 (F, H, W, 3) RGB.
        pose: keypoints (F, P, 18, 2) in pixels, in the scene's order; scores are 0 outside the frame and for a face seen from behind,
            else 1, also where something else covers the joint.
        occluded: bool (F, P, 18), joints covered by another actor, by a set piece or by the actor's own prop.
        labels: uint8 (F, H, W), what covers most of a pixel: 0 the background, 1 to P the actors, P + 1 to 2 P their props, then the
            set pieces.
        distances: float32, the depth of every label.
        background: uint8 (F, H, W, 3), the empty stage without set pieces, a frame repeated where the camera stands still.
    """

    frames: np.ndarray
    pose: PoseTrack
    occluded: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    background: np.ndarray

    @property
    def instances(self) -> np.ndarray:
        """uint8 (F, H, W): i + 1 where actor i is seen, else 0."""
        return np.where(self.character_mask, self.labels, np.uint8(0))

    @property
    def character_mask(self) -> np.ndarray:
        """bool (F, H, W): where any actor is seen."""
        return (self.labels > 0) & (self.labels <= self.pose.people)

    @property
    def object_mask(self) -> np.ndarray:
        """bool (F, H, W): where any prop or set piece is seen."""
        return self.labels > self.pose.people

    @property
    def depth(self) -> np.ndarray:
        """float32 (F, H, W): distance of what is seen; BACKDROP is the background's."""
        return self.distances[self.labels]


def sample_scene(
    seed: int,
    split: str = "train",
    *,
    people: int = 1,
    props: bool = False,
    objects: bool = False,
    moving_camera: bool = False,
    frames: int = 36,
) -> Scene:
    """The scene number `seed` of a split; character, motion and background of different splits never coincide.

    Args:
        seed: any integer of at least 0; the same seed gives the same pixels.
        split: "train", "val" or "test".
        people: 1 to 3 actors; of several, two or three walk across the stage and cross.
        props: whether everybody holds something.
        objects: whether set pieces stand before and behind the actors.
        moving_camera: whether the camera moves.
        frames: in how many frames those who walk get from one side to the other.

    Raises:
        BunrakuError: unknown split, negative seed, or a number of people that the stage does not hold.
    """
    if split not in SPLITS or seed < 0 or people not in (1, 2, 3):
        raise BunrakuError(
            f"a scene needs a split out of {', '.join(SPLITS)}, a seed of at least 0 and 1 to 3 people; "
            f"got {split!r}, {seed} and {people}"
        )

    def rng(kind: int, person: int = 0) -> np.random.Generator:
        key = [list(SPLITS).index(split), kind, seed] + [person] * (person > 0)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    actors = tuple(Actor(sample_character(rng(0, i), SPLITS[split]), sample_dance(rng(1, i))) for i in range(people))
    if people == 1:
        place = rng(3)
        height = place.uniform(0.6, 0.76)
        placement = Placement(float(place.uniform(-0.06, 0.06)), float(place.uniform(0.88, 0.96)), float(height))
        actors = (replace(actors[0], placement=placement),)
    else:
        actors = _crossing(rng(4), actors, frames / 12)
    if props:
        actors = tuple(replace(actor, prop=sample_prop(rng(5, i))) for i, actor in enumerate(actors))
    pieces = tuple(sample_set_piece(rng(6, 1 + i), near=i % 2 == 0) for i in range(int(rng(6).integers(2, 5))))
    return Scene(
        actors,
        sample_background(rng(2)),
        pieces if objects else (),
        sample_camera(rng(7)) if moving_camera else Camera(),
    )


def _crossing(rng: np.random.Generator, actors: tuple[Actor, ...], seconds: float) -> tuple[Actor, ...]:
    """Spread actors over the depth of the stage; the first two walk past each other, a third crosses or dances between them."""
    depths = rng.permutation(np.array([0.85, 1.2] if len(actors) == 2 else [0.8, 1.0, 1.3]) * rng.uniform(0.96, 1.04))
    mirrored = rng.choice([-1, 1])
    placed = []
    for i, (actor, depth) in enumerate(zip(actors, depths)):
        height = float(0.55 / depth * rng.uniform(0.95, 1.05))
        side = mirrored * (1, -1, 1)[i]
        way, pace, arms, walks = (
            rng.uniform(0.26, 0.33, 2),
            rng.uniform(0.85, 1.0),
            rng.random() < 0.5,
            rng.random() < 0.6,
        )
        motion: Motion = actor.motion
        if i < 2 or walks:
            way = way if i < 2 else way - 0.18  # the third stays in the middle
            start, end = (float(side * x / height) for x in (-way[0], way[1]))
            motion = Walk(start, end, float(seconds * pace), float(rng.uniform(0, 6.28)), motion if arms else None)
        x = 0.0 if i < 2 or walks else float(rng.uniform(-0.08, 0.08))
        placed.append(
            replace(actor, motion=motion, placement=Placement(x, float(0.56 + 0.34 / depth), height, float(depth)))
        )
    return tuple(placed)


@dataclass(frozen=True, eq=False)
class Staging:
    """Where everything is, in pixels of the picture.

    Attributes:
        layers: every polygon over F frames, in painter's order; labels as in `Rendering`.
        joints, visible: (F, P, 18, 2), and (F, P, 18) bool, False for a face seen from behind.
        distances: float32, the depth of every label.
        backdrop: how the background is seen, None for a camera at rest.
        size: (height, width) of the picture.
    """

    layers: list[Layer]
    joints: np.ndarray
    visible: np.ndarray
    distances: np.ndarray
    backdrop: View | None
    size: tuple[int, int]

    @property
    def inside(self) -> np.ndarray:
        """bool (F, P, 18), the joints that lie in the picture."""
        return _inside(self.joints, self.size)

    @property
    def pose(self) -> PoseTrack:
        """The pose as in `Rendering`."""
        return PoseTrack(self.joints.astype(np.float32), (self.visible & self.inside).astype(np.float32), self.size)


def stage(scene: Scene, time: np.ndarray, size: tuple[int, int]) -> Staging:
    """Put everything in its place at `time` (F,) in seconds, in a picture of `size` (height, width)."""
    people = len(scene.actors)

    def view(depth: float) -> View | None:
        return scene.camera.view(time, depth, size) if scene.camera.moves else None

    things = [
        (
            piece.placement.depth,
            piece.draw(len(time), 1 + 2 * people + i).placed(
                *piece.placement.pixels(size), view(piece.placement.depth)
            ),
        )
        for i, piece in enumerate(scene.objects)
    ]
    joints, visible = np.empty((len(time), people, 18, 2)), np.empty((len(time), people, 18), bool)
    for i, actor in enumerate(scene.actors):
        posture = actor.motion.posture(time)
        bones = skeleton(actor.character, posture)
        scale, offset = actor.placement.pixels(size)
        seen = view(actor.placement.depth)
        joints[:, i], visible[:, i] = _placed(bones, actor.placement, seen, size), bones.visible
        drawing = draw(actor.character, posture, bones, actor.motion.behind, actor.prop, (1 + i, 1 + people + i))
        things.append((actor.placement.depth, drawing.placed(scale, offset, seen)))
    held = [actor.placement.depth for actor in scene.actors]
    return Staging(
        layers=[layer for _, layers in sorted(things, key=lambda thing: -thing[0]) for layer in layers],
        joints=joints,
        visible=visible,
        distances=np.array([BACKDROP, *held, *held, *(piece.placement.depth for piece in scene.objects)], np.float32),
        backdrop=view(BACKDROP),
        size=size,
    )


def poses(scene: Scene, time: np.ndarray, size: tuple[int, int]) -> PoseTrack:
    """The poses of `stage`, a tenth of its work."""
    tracks = []
    for actor in scene.actors:
        bones = skeleton(actor.character, actor.motion.posture(time))
        view = scene.camera.view(time, actor.placement.depth, size) if scene.camera.moves else None
        joints = _placed(bones, actor.placement, view, size)
        scores = bones.visible & _inside(joints, size)
        tracks.append(PoseTrack(joints[:, None].astype(np.float32), scores[:, None].astype(np.float32), size))
    return together(tracks)


def _placed(bones: Skeleton, placement: Placement, view: View | None, size: tuple[int, int]) -> np.ndarray:
    """Joints (F, 18, 2) in pixels."""
    scale, offset = placement.pixels(size)
    joints = bones.joints * scale + offset
    return joints if view is None else view(joints)


def _inside(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(np.all((joints >= 0) & (joints < size[::-1]), -1))


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
    staging = stage(scene, indices / float(scene.fps), (height, width))
    background = scene.background.render((height, width), staging.backdrop)
    pictures, labels = _paint(staging.layers, background, len(indices))

    return Rendering(
        frames=pictures,
        pose=staging.pose,
        occluded=_occluded(staging, labels),
        labels=labels,
        distances=staging.distances,
        background=np.broadcast_to(background, pictures.shape),
    )


def _paint(layers: list[Layer], background: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 (F, H, W, 3) and labels uint8 (F, H, W) of layers painted over the background (1 or F, H, W, 3).

    Beside the colours every label has a channel of its own in which its paint is 255 and all other paint 0: how much of a pixel it
    covers, antialiased as the colours are. The first label shares the colours' canvas, others share canvases of four channels.
    """
    labels = sorted({layer.label for layer in layers})
    height, width = background.shape[1:3]
    painter = Painter(layers, _SAMPLES) if layers else None
    first = [(*layer.colour, 255 if layer.label == labels[0] else 0) for layer in layers]
    groups = [labels[i : i + 4] for i in range(1, len(labels), 4)]
    others = [[tuple(255 if layer.label == label else 0 for label in group) for layer in layers] for group in groups]

    def canvas(frame: int) -> np.ndarray:
        large = np.repeat(np.repeat(background[frame], _SAMPLES, 0), _SAMPLES, 1)
        return np.dstack([large, np.zeros(large.shape[:2], np.uint8)])

    empty = canvas(0)
    pictures, cover = [], []
    for frame in range(count):
        picture = empty.copy() if len(background) == 1 else canvas(frame)
        masks = [np.zeros((*picture.shape[:2], len(group)), np.uint8) for group in groups]
        if painter is not None:
            painter(picture, frame, first)
            for mask, paint in zip(masks, others):
                painter(mask, frame, paint)
        picture, *masks = (cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in [picture, *masks])
        pictures.append(picture)
        cover.append(np.dstack([picture[..., 3:], *masks]))
    return np.ascontiguousarray(np.stack(pictures)[..., :3]), _most(np.stack(cover), labels)


def _most(cover: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """The label (F, H, W) that covers most of each pixel, 0 where the background does; cover is uint8 (F, H, W, L)."""
    winner = np.zeros(cover.shape[:3], np.uint8)
    most = 255 - np.minimum(cover.sum(-1, dtype=np.int32), 255)
    for channel, label in enumerate(labels):
        more = cover[..., channel] > most
        winner[more] = label
        most = np.where(more, cover[..., channel], most)
    return winner


def _occluded(staging: Staging, labels: np.ndarray) -> np.ndarray:
    """Which joints (F, P, 18) inside the frame lie under something painted later than their actor began."""
    order = {
        layer.label: rank for rank, layer in reversed(list(enumerate(staging.layers)))
    }  # the first layer of each label
    rank = np.array([order.get(label, -1) for label in range(len(staging.distances))])
    inside = staging.inside
    x, y = np.moveaxis(np.where(inside[..., None], staging.joints, 0).astype(int), -1, 0)
    seen = labels[np.arange(len(labels))[:, None, None], y, x]
    own = 1 + np.arange(inside.shape[1])[:, None]
    return inside & (rank[seen] > rank[own])
