"""Photograph: a scene with cloth, skin, light, shadows and a place behind it, or as a drawing; the ground truth is the scene's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.theatre.character import Look, sample_human
from bunraku.theatre.scene import SPLITS, Rendering, Scene, Staging, render, sample_scene, stage
from bunraku.theatre.shapes import Colour, Painter, pixel_centres
from bunraku.theatre.textures import dead_leaves, noise_field, palette
from bunraku.theatre.turn import sample_turn

_TEXTURE = 256  # side of a periodic texture
_TALL = 180  # pixels of it along a standing body


@dataclass(frozen=True, eq=False)
class Style:
    """How a scene is photographed; a function of nothing but itself, so all frames of a clip and its stills agree.

    Attributes:
        textures: (K, 256, 256) float32 factors round 1 that stick to what they cover: the first to skin, the others to all else.
        relief: how round parts look, 0 flat to about 1.
        light: (3,) where the light comes from: right, down, towards the camera; unit length.
        shadow: how dark the shadow on the ground is, 0 to 1; wall: the same of the shadow on what stands behind.
        place: uint8 (H, W, 3), what is behind the stage in place of its painted background, half as large again on every side as
            the frame; None keeps the background.
        grain: (256, 256) float32 factors round 1 over the background.
        saturation: of all colours, 1 as painted; colours: (3,) gains of R, G, B of the light; falloff: (3,) its brightness at the middle, and its change to the right and down.
    """

    textures: np.ndarray
    relief: float
    light: np.ndarray
    shadow: float
    wall: float
    place: np.ndarray | None
    grain: np.ndarray
    saturation: float
    colours: np.ndarray
    falloff: np.ndarray


def photograph(scene: Scene, frames: Sequence[int], size: tuple[int, int], style: Style) -> Rendering:
    """Render frames as `render` does, in a style: other pixels (`frames`, `background`), the same truth.

    Args:
        scene: what is rendered.
        frames: frame indices, in any order.
        size: (height, width) in pixels.
    """
    shown = render(scene, frames, size)
    times = np.array([0, *frames]) / float(scene.fps)  # the first: where the textures are fixed to the parts
    staging = stage(scene, times, size)
    parts = _Parts(scene, staging, style)
    moves = staging.backdrop is not None
    grounds = [_ground(shown.background[i], staging, i + 1, style) for i in range(len(shown.frames) if moves else 1)]
    pictures = np.empty_like(shown.frames)
    for i, (picture, bare) in enumerate(zip(shown.frames, shown.background)):
        covered, part = parts(i + 1)
        shade = parts.texture(i + 1, part) * _relief(part, parts.groups, style)
        front = (picture - (1 - covered) * bare) * shade[..., None]
        behind = grounds[i if moves else 0] * _shadow(covered[..., 0], parts.floors(i + 1), style)[..., None]
        pictures[i] = _lit(front + (1 - covered) * behind, style)
    background = np.stack([_lit(ground, style) for ground in grounds])
    return replace(shown, frames=pictures, background=np.broadcast_to(background, pictures.shape))


class _Parts:
    """Which part of which puppet or set piece covers a pixel, and where that pixel lies on the part."""

    def __init__(self, scene: Scene, staging: Staging, style: Style) -> None:
        self.staging = staging
        layers, people = staging.layers, len(scene.actors)
        tones = [_tone(layer.colour) for layer in layers]
        self.groups = np.array([tone + 64 * layer.label for tone, layer in zip(tones, layers)], np.int32)
        self.painter = Painter(layers, 2) if layers else None
        skins = [_tone(actor.character.look.skin) for actor in scene.actors]
        skin = [layer.label <= people and tone == skins[layer.label - 1] for tone, layer in zip(tones, layers)]
        cloths = max(len(style.textures) - 1, 1)
        self.material = np.where(skin, 0, 1 + self.groups % cloths) % len(style.textures)
        # One tall picture of all textures, each with its first row and column once more behind its last.
        self.atlas = np.pad(style.textures, ((0, 0), (0, 1), (0, 1)), mode="wrap").reshape(-1, _TEXTURE + 1)
        # Points as complex numbers. A part's similarity takes a pixel to where it was at time 0, in its owner's standing heights.
        placements = [actor.placement for actor in scene.actors] * 2 + [piece.placement for piece in scene.objects]
        self.middle, self.turn = np.zeros((2, len(staging.joints), len(layers)), np.complex64)
        self.start = np.zeros(len(layers), np.complex64)
        for i, layer in enumerate(layers):
            points = np.nan_to_num(layer.polygon[..., 0] + 1j * layer.polygon[..., 1])
            scale, offset = placements[layer.label - 1].pixels(staging.size)
            self.middle[:, i] = points.mean(1)
            self.start[i] = (points[0].mean() - complex(*offset)) / scale
            centred = points - points.mean(1, keepdims=True)
            size = np.maximum((np.abs(centred) ** 2).sum(1), 1e-6)
            self.turn[:, i] = (np.conj(centred) * centred[:1]).sum(1) / size / scale

    def __call__(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Cover float32 (H, W, 1), 0 where only the background is seen, and the number (H, W) of the part seen, -1 for none."""
        height, width = self.staging.size
        if self.painter is None:
            return np.zeros((height, width, 1), np.float32), np.full((height, width), -1)
        alpha = np.zeros((2 * height, 2 * width), np.uint8)
        self.painter(alpha, frame, [(255,)] * len(self.groups))
        covered = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
        return covered[..., None] / np.float32(255), self._seen(frame)

    def _seen(self, frame: int) -> np.ndarray:
        canvas = np.zeros((*self.staging.size, 3), np.uint8)
        for number, layer in enumerate(self.staging.layers):
            if not np.isnan(layer.polygon[frame]).any():
                points = np.rint((layer.polygon[frame] - 0.5) * 32).astype(np.int32)
                cv2.fillPoly(canvas, [points], ((number + 1) % 256, (number + 1) // 256, 0), cv2.LINE_8, 5)
        return canvas[..., 0].astype(np.int32) + 256 * canvas[..., 1].astype(np.int32) - 1

    def floors(self, frame: int) -> list[float]:
        """The heights in the picture at which the actors stand, in pixels."""
        return [float(feet) for feet in self.staging.joints[frame, :, [10, 13], 1].max(0)]

    def texture(self, frame: int, part: np.ndarray) -> np.ndarray:
        """Factors (H, W) of the parts' textures, 1 where no part is."""
        y, x = np.nonzero(part >= 0)
        seen = part[y, x]
        place = (np.float32(0.5) + x + 1j * (np.float32(0.5) + y)).astype(np.complex64)
        place = (place - self.middle[frame, seen]) * self.turn[frame, seen] + self.start[seen]
        place = place * np.float32(_TALL)
        # Each group starts at a place of its own, so that two sleeves do not show the same spot.
        u = np.mod(place.real + (37 * self.groups[seen]).astype(np.float32), np.float32(_TEXTURE))
        v = np.mod(place.imag, np.float32(_TEXTURE)) + (self.material[seen] * (_TEXTURE + 1)).astype(np.float32)
        factors = np.ones(part.shape, np.float32)
        if len(seen):
            factors[y, x] = cv2.remap(self.atlas, _rows(u), _rows(v), cv2.INTER_LINEAR).ravel()[: len(seen)]
        return factors


def _rows(values: np.ndarray) -> np.ndarray:
    """A list of any length as rows of 1024: OpenCV takes no side of 32768 and more."""
    return np.pad(values, (0, -len(values) % 1024)).reshape(-1, 1024)


def _tone(colour: Colour) -> int:
    """A number 0 to 63 for a colour whatever its brightness: a part's lit and shaded halves are one material."""
    strongest = max(max(colour), 1)
    r, g, b = (min(int(4 * channel / strongest), 3) for channel in colour)
    return r * 16 + g * 4 + b


def _relief(part: np.ndarray, groups: np.ndarray, style: Style) -> np.ndarray:
    """Shading (H, W) as if every part were a cushion: height by the distance from its edge."""
    if style.relief <= 0:
        return np.ones(part.shape, np.float32)
    height = len(part)
    group = np.where(part >= 0, groups[part], -1)
    edge = np.zeros(part.shape, bool)
    edge[:, 1:] |= group[:, 1:] != group[:, :-1]
    edge[1:] |= group[1:] != group[:-1]
    reach = height / 32
    inside = cv2.distanceTransform(np.where(edge, 0, 255).astype(np.uint8), cv2.DIST_L2, 3)
    body = cv2.distanceTransform((part >= 0).astype(np.uint8), cv2.DIST_L2, 3)
    cushion = np.sqrt(np.minimum(inside, reach) * reach) + 2 * np.sqrt(np.minimum(body, 2 * reach) * 2 * reach)
    cushion = np.asarray(cv2.GaussianBlur(cushion.astype(np.float32), (0, 0), max(height / 160, 0.6)))
    dy, dx = np.gradient(cushion * style.relief * 0.35)
    length = np.sqrt(dx**2 + dy**2 + 1)
    lambert = (-dx * style.light[0] - dy * style.light[1] + style.light[2]) / length
    return (0.45 + 0.55 * np.clip(lambert, 0, None) / style.light[2]).clip(0.3, 1.5).astype(np.float32)


def _shadow(covered: np.ndarray, floors: Sequence[float], style: Style) -> np.ndarray:
    """Factors (H, W) by which what stands on the stage darkens what is behind."""
    height, width = covered.shape
    # On the wall: the same outline, moved away from the light and soft.
    shift = -style.light[:2] / max(style.light[2], 0.3) * 0.05 * height
    moved = cv2.warpAffine(covered, np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32), (width, height))
    factors = 1 - style.wall * cv2.GaussianBlur(moved, (0, 0), 0.025 * height)
    # On the ground: lying down from the feet.
    if floors and style.shadow > 0:
        floor, lean, lie = float(np.mean(floors)) + 0.02 * height, -1.2 * style.light[0], 0.22
        flat = np.array([[1, -lean, lean * floor], [0, lie, floor * (1 - lie)]], np.float32)
        lying = cv2.warpAffine(covered, flat, (width, height))
        factors = factors * (1 - style.shadow * cv2.GaussianBlur(lying, (0, 0), 0.012 * height))
    return np.asarray(factors, np.float32)


def _ground(background: np.ndarray, staging: Staging, frame: int, style: Style) -> np.ndarray:
    """What is behind the stage in a frame, float32 (H, W, 3) before it is lit, as the camera sees it."""
    height, width = staging.size
    at = pixel_centres(staging.size)
    if staging.backdrop is not None:
        at = staging.backdrop[frame : frame + 1].inverse()(at)
    at = at.reshape(height, width, 2).astype(np.float32) * np.float32(_TEXTURE / height)
    if style.place is not None:
        # The middle of the frame is the middle of the place; mirrored beyond its edge.
        side = np.array(style.place.shape[1::-1], np.float32)
        scale = side[1] / np.float32(1.5 * _TEXTURE)
        middle = np.array([width / height * _TEXTURE / 2, _TEXTURE / 2], np.float32)
        u, v = np.moveaxis((at - middle) * scale + side / 2 - np.float32(0.5), -1, 0)
        background = cv2.remap(style.place, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    u, v = np.moveaxis(np.mod(at, np.float32(_TEXTURE)), -1, 0)
    grain = cv2.remap(style.grain, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return background * grain[..., None]


def _lit(picture: np.ndarray, style: Style) -> np.ndarray:
    """The picture under the light as uint8."""
    height, width = picture.shape[:2]
    middle, right, down = style.falloff
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    light = middle + right * (x / height - width / height / 2) + down * (y / height - 0.5)
    # One matrix for saturation and the colour of the light.
    grey = np.array([0.299, 0.587, 0.114], np.float32)
    mix = (style.saturation * np.eye(3, dtype=np.float32) + (1 - style.saturation) * grey) * style.colours[:, None]
    return np.asarray(cv2.convertScaleAbs(np.maximum(cv2.transform(picture, mix) * light[..., None], 0)))


# --- random styles ---------------------------------------------------------------------------------------------------------------


def sample_scene_photograph(seed: int, split: str = "train", people: int = 1) -> tuple[Scene, Style]:
    """Scene number `seed` of a split and how it is photographed, or one time in five drawn: many actors are turned, many hold
    something or stand among set pieces, and one time in three the camera moves.

    Raises:
        BunrakuError: as of `sample_scene`.
    """
    if seed < 0:
        raise BunrakuError(f"a scene needs a seed of at least 0; got {seed}")
    props, objects, moving, turned, human, drawn = np.random.default_rng([seed, 2]).random(6) < (
        0.35,
        0.35,
        0.33,
        0.6,
        0.5,
        0.2,
    )
    scene = sample_scene(
        seed, split, people=people, props=bool(props), objects=bool(objects), moving_camera=bool(moving)
    )
    rng = np.random.default_rng([seed, 3])
    for index, actor in enumerate(scene.actors):
        character = sample_human(rng, SPLITS[split]) if human else actor.character
        look = line_art(character.look, rng) if drawn else replace(character.look, outline_width=0.0)
        motion = sample_turn(rng, actor.motion) if turned else actor.motion
        scene = scene.recast(index, character=replace(character, look=look), motion=motion)
    return scene, sample_drawing(rng) if drawn else sample_style(rng)


def sample_style(rng: np.random.Generator) -> Style:
    """A random way to photograph: materials, light and place."""
    light = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.1), rng.uniform(0.5, 1.0)])
    return Style(
        textures=np.stack([_skin(rng), *(_material(rng) for _ in range(5))]),
        relief=float(rng.uniform(0.3, 1.1)),
        light=light / np.linalg.norm(light),
        shadow=float(rng.uniform(0.1, 0.6)),
        wall=float(rng.uniform(0, 0.4) * (rng.random() < 0.6)),
        place=sample_place(rng) if rng.random() < 0.75 else None,
        grain=(1 + min(rng.exponential(0.03), 0.12) * noise_field(rng, _TEXTURE, rng.uniform(0.2, 1.4))).astype(
            np.float32
        ),
        saturation=float(rng.uniform(0.45, 1.0)),
        colours=np.exp(rng.normal(0, 0.07, 3)).astype(np.float32),
        falloff=np.array([rng.uniform(0.85, 1.1), rng.normal(0, 0.2), rng.normal(0, 0.15)], np.float32),
    )


def sample_drawing(rng: np.random.Generator) -> Style:
    """A random drawing: flat colours on paper, some with a crayon's grain."""
    crayon = rng.uniform(0, 0.08) * noise_field(rng, _TEXTURE, rng.uniform(0.2, 0.8))
    paper = palette(rng, 1)[0] * 30 + 222 if rng.random() < 0.7 else rng.uniform(90, 255, 3)
    return Style(
        textures=1 + crayon[None].astype(np.float32),
        relief=0.0,
        light=np.array([0.0, 0.0, 1.0]),
        shadow=0.0,
        wall=0.0,
        place=np.full((8, 8, 3), paper.clip(0, 255).astype(np.uint8)),
        grain=(1 + min(rng.exponential(0.01), 0.04) * noise_field(rng, _TEXTURE, rng.uniform(0.3, 1.2))).astype(
            np.float32
        ),
        saturation=float(rng.uniform(0.6, 1.0)),
        colours=np.ones(3, np.float32),
        falloff=np.array([1.0, rng.normal(0, 0.05), rng.normal(0, 0.05)], np.float32),
    )


def _skin(rng: np.random.Generator) -> np.ndarray:
    return (1 + rng.uniform(0.01, 0.04) * noise_field(rng, _TEXTURE, rng.uniform(0.6, 1.6))).astype(np.float32)


def _material(rng: np.random.Generator) -> np.ndarray:
    """A periodic texture (256, 256) round 1: folds, weave, stripes or speckles."""
    folds = rng.uniform(0.02, 0.12) * noise_field(rng, _TEXTURE, rng.uniform(1.2, 2.2))
    y, x = np.mgrid[0:_TEXTURE, 0:_TEXTURE].astype(np.float32) / _TEXTURE * 2 * np.pi
    kind = rng.integers(4)
    if kind == 0:
        detail = np.zeros_like(folds)
    elif kind == 1:  # woven
        cycles = int(rng.integers(40, 90))
        detail = rng.uniform(0.03, 0.12) * np.sin(cycles * x) * np.sin(cycles * y)
    elif kind == 2:  # striped
        across, along = (int(v) for v in rng.integers(-30, 31, 2))
        detail = rng.uniform(0.05, 0.25) * np.clip(3 * np.sin(across * x + along * y), -1, 1)
    else:  # speckled
        detail = rng.uniform(0.03, 0.12) * noise_field(rng, _TEXTURE, rng.uniform(0.2, 0.8))
    return np.clip(1 + folds + detail, 0.3, 1.7).astype(np.float32)


def sample_place(rng: np.random.Generator) -> np.ndarray:
    """A place behind the stage, uint8 (384, 384, 3): a wall over a floor, foliage or a street out of focus, or a sky over a field."""
    side = 3 * _TEXTURE // 2
    kind = rng.integers(3)
    if kind == 1:
        leaves = cv2.GaussianBlur(dead_leaves(rng, side), (0, 0), float(rng.uniform(0.8, 6)))
        return np.asarray(leaves)
    upper, lower = palette(rng, 2) * 255
    y = (np.mgrid[0:side, 0:side][0].astype(np.float32) / side)[..., None]
    horizon = 1 / 6 + rng.uniform(0.66, 0.86) * 2 / 3  # in the frame, which is the middle two thirds
    far = noise_field(rng, side, rng.uniform(1.2, 2.2)) * rng.uniform(3, 20)
    # The ground comes nearer downwards: its grain is stretched sideways and shrinks towards the horizon.
    grain = noise_field(rng, side, rng.uniform(0.6, 1.6)) * rng.uniform(3, 20)
    depth = 0.12 / np.maximum(y[..., 0] - horizon + 0.12, 0.02)
    columns = (np.arange(side, dtype=np.float32)[None] - side / 2) * depth + side / 2
    near = cv2.remap(
        grain,
        (columns % side).astype(np.float32),
        (depth * side % side).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    wall = upper + far[..., None] + (y - 0.5) * rng.normal(0, 60)
    ground = lower + near[..., None] + (y - 0.8) * rng.normal(0, 60)
    soft = np.clip((y - horizon) * side / rng.uniform(1, 6) + 0.5, 0, 1)
    return np.rint(np.clip(wall * (1 - soft) + ground * soft, 0, 255)).astype(np.uint8)


def line_art(look: Look, rng: np.random.Generator) -> Look:
    """A look as of an ink drawing: nearly white, some of it lightly tinted, with strong outlines."""
    ink: Colour = (30, 28, 32)

    def pale(colour: Colour) -> Colour:
        tint = rng.uniform(0, 0.35) if rng.random() < 0.6 else 0.0
        r, g, b = (round(250 - (250 - channel) * tint) for channel in colour)
        return r, g, b

    def pair(colours: tuple[Colour, Colour]) -> tuple[Colour, Colour]:
        first = pale(colours[0])
        return first, first if colours[0] == colours[1] else pale(colours[1])

    return replace(
        look, skin=pale(look.skin), hair=pale(look.hair), top=pale(look.top), accent=pale(look.accent), bottom=pale(look.bottom),
        outline=ink, outline_width=float(rng.uniform(0.005, 0.011)), sleeves=pair(look.sleeves), hands=pair(look.hands),
        legs=pair(look.legs), shoes=pair(look.shoes),
    )  # fmt: skip
