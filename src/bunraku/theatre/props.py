"""Props in hand and set pieces on the stage: flat shapes with an outline, in units of their own size, y up."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bunraku.theatre.camera import Placement
from bunraku.theatre.shapes import Colour, Drawing, Frame, darker, ellipse, hsv, strip

_Part = tuple[np.ndarray, int, float]  # polygon (N, 2), 0 for the main colour or 1 for the accent, its brightness
_OUTLINE = 0.008  # standing heights of who holds the prop, or frame heights


@dataclass(frozen=True)
class Prop:
    """A thing held in one hand, which follows the forearm.

    Attributes:
        kind: a word of PROPS.
        side: the hand, 0 the person's right, 1 the left.
        size: of its unit (half the width of a ball), in standing heights of who holds it.
    """

    kind: str
    side: int
    size: float
    colour: Colour
    accent: Colour
    outline: Colour

    def draw(self, drawing: Drawing, wrist: np.ndarray, elbow: np.ndarray, grip: float) -> None:
        """Paint it at the hand, `grip` beyond the wrist; wrist and elbow (F, 2) in standing heights.

        Its x axis goes on along the forearm; its y axis points up when that arm is stretched out sideways.
        """
        along = wrist - elbow
        along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
        up = np.stack([along[:, 1], -along[:, 0]], -1) * (1 if self.side else -1)
        _paint(drawing, Frame(wrist + along * grip, along * self.size, up * self.size), PROPS[self.kind], self)


@dataclass(frozen=True)
class SetPiece:
    """A thing that stands on the stage, nearer or farther than the actors; `kind` is a word of SET_PIECES."""

    kind: str
    placement: Placement
    colour: Colour
    accent: Colour
    outline: Colour

    def draw(self, frames: int, label: int) -> Drawing:
        """Paint it, the same in all frames, in its standing heights; the origin is its foot."""
        drawing = Drawing(label)
        at = Frame(*(np.broadcast_to(vector, (frames, 2)) for vector in ((0.0, 0.0), (1.0, 0.0), (0.0, -1.0))))
        _paint(drawing, at, SET_PIECES[self.kind], self, 1 / self.placement.height)
        return drawing


def _paint(drawing: Drawing, at: Frame, parts: list[_Part], thing: Prop | SetPiece, unit: float = 1.0) -> None:
    colours = thing.colour, thing.accent
    drawing.outlined(
        [(at(polygon), darker(colours[which], light)) for polygon, which, light in parts],
        thing.outline,
        _OUTLINE * unit,
    )


def _box(left: float, right: float, bottom: float, top: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _belly(turn: np.ndarray) -> np.ndarray:
    return np.stack([0.62 + 0.3 * (1 - turn**2), turn * 0.93], -1)


def _dome(width: float, bottom: float, height: float) -> np.ndarray:
    turn = np.linspace(0, np.pi, 17)
    return np.stack([width * np.cos(turn), bottom + height * np.sin(turn)], -1)


def _leaf(lean: float, length: float) -> np.ndarray:
    along = np.linspace(0, 1, 7)
    spine = np.stack([lean * along**1.6, 0.34 + length * along - 0.25 * abs(lean) * along**2], -1)
    wide = 0.075 * np.sin(np.pi * along)[:, None] * (1, 0)
    return np.concatenate([spine - wide, (spine + wide)[::-1]])


PROPS: Mapping[str, list[_Part]] = {
    "ball": [
        (ellipse(0.75, 0, 1, points=28), 0, 0.8),
        (ellipse(0.71, 0.06, 0.86, points=28), 0, 1),
        (strip(_belly(np.linspace(-1, 1, 9)), 0.3), 1, 1),
    ],
    "umbrella": [
        (_box(-0.05, 0.05, -0.45, 1.95), 1, 0.6),
        (_dome(1.3, 1.25, 0.85), 0, 1),
        (np.concatenate([_dome(0.42, 1.25, 0.83), [[-0.42, 1.25]]]), 1, 1),
        (_box(-0.03, 0.03, 2.0, 2.25), 1, 0.6),
    ],
    "box": [
        (_box(-0.1, 1.7, -0.9, 0.9), 0, 0.8),
        (_box(0.0, 1.52, -0.74, 0.8), 0, 1),
        (_box(0.62, 0.98, -0.9, 0.9), 1, 1),
        (_box(-0.1, 1.7, -0.16, 0.16), 1, 0.9),
    ],
    "stick": [
        (_box(-0.09, 0.09, -1.2, 2.4), 0, 1),
        (_box(-0.09, 0.09, 1.1, 1.5), 1, 1),
        (ellipse(0, 2.45, 0.26), 1, 1),
    ],
}  # fmt: skip

SET_PIECES: Mapping[str, list[_Part]] = {
    "crate": [
        (_box(-0.56, 0.56, 0, 1), 0, 0.85),
        (_box(-0.42, 0.42, 0.14, 0.86), 0, 1.1),
        (np.array([[-0.42, 0.14], [-0.26, 0.14], [0.42, 0.86], [0.26, 0.86]]), 0, 0.7),
        (_box(-0.56, 0.56, 0.86, 1), 1, 1),
        (_box(-0.56, 0.56, 0, 0.14), 1, 0.9),
    ],
    "bench": [
        (_box(-0.95, -0.8, 0, 1), 1, 0.7),
        (_box(0.8, 0.95, 0, 1), 1, 0.7),
        (_box(-1.15, 1.15, 0.76, 1), 0, 1),
        (_box(-1.15, 1.15, 0.54, 0.68), 0, 0.9),
        (_box(-1.2, 1.2, 0.32, 0.5), 0, 1.1),
    ],
    "bush": [
        (ellipse(-0.5, 0.36, 0.46, 0.38, points=24), 0, 0.8),
        (ellipse(0.52, 0.34, 0.44, 0.36, points=24), 0, 0.8),
        (ellipse(0.02, 0.52, 0.56, 0.5, points=28), 0, 0.9),
        (ellipse(-0.1, 0.6, 0.38, 0.32, points=24), 0, 1.08),
        (ellipse(-0.45, 0.42, 0.07), 1, 1),
        (ellipse(0.2, 0.72, 0.07), 1, 1),
        (ellipse(0.5, 0.36, 0.07), 1, 1),
    ],
    "pillar": [
        (_box(-0.08, 0.08, 0.05, 0.97), 0, 0.86),
        (_box(-0.07, 0.02, 0.05, 0.97), 0, 1),
        (_box(-0.12, 0.12, 0, 0.07), 1, 0.9),
        (_box(-0.12, 0.12, 0.93, 1), 1, 1),
    ],
    "table": [
        (_box(-0.78, -0.62, 0, 0.9), 1, 0.8),
        (_box(0.62, 0.78, 0, 0.9), 1, 0.8),
        (_box(-0.82, 0.82, 0.6, 0.9), 0, 0.85),
        (_box(-0.95, 0.95, 0.82, 1), 0, 1),
    ],
    "plant": [
        *((_leaf(lean, length), 0, light) for lean, length, light in (
            (-0.42, 0.5, 0.8), (0.42, 0.5, 0.8), (-0.2, 0.62, 0.95), (0.22, 0.6, 0.95), (0.0, 0.66, 1.1))),
        (np.array([[-0.24, 0.36], [0.24, 0.36], [0.17, 0.0], [-0.17, 0.0]]), 1, 1),
        (_box(-0.27, 0.27, 0.3, 0.4), 1, 1.15),
    ],
    "lamp": [
        (_box(-0.028, 0.028, 0.02, 0.8), 1, 0.6),
        (_dome(0.16, 0, 0.06), 1, 0.6),
        (np.array([[-0.11, 1.0], [0.11, 1.0], [0.22, 0.72], [-0.22, 0.72]]), 0, 1),
        (np.array([[-0.11, 1.0], [0.0, 1.0], [-0.06, 0.72], [-0.22, 0.72]]), 0, 1.15),
    ],
}  # fmt: skip


def _colours(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """A strong main colour, an accent apart from it, and a dark outline."""
    hue = rng.random()
    accent = hsv(hue + rng.choice([0.12, 0.4, 0.5, 0.6]), rng.uniform(0.3, 0.9), rng.uniform(0.6, 1.0))
    return hsv(hue, rng.uniform(0.45, 0.95), rng.uniform(0.5, 0.95)), accent, hsv(hue, 0.5, rng.uniform(0.1, 0.22))


def sample_prop(rng: np.random.Generator) -> Prop:
    """A random thing in a random hand."""
    kind = str(rng.choice(list(PROPS)))
    low, high = {"ball": (0.07, 0.1), "umbrella": (0.16, 0.2), "box": (0.08, 0.11), "stick": (0.12, 0.15)}[kind]
    return Prop(kind, int(rng.integers(2)), float(rng.uniform(low, high)), *_colours(rng))


_HEIGHTS = {"crate": 0.19, "bench": 0.22, "bush": 0.22, "pillar": 0.9, "table": 0.25, "plant": 0.32, "lamp": 0.6}


def sample_set_piece(rng: np.random.Generator, near: bool) -> SetPiece:
    """A random thing on the stage, nearer (`near`) or farther than an actor of depth 1; the near ones stand in the actor's way."""
    kind = str(rng.choice(list(SET_PIECES)))
    height = float(_HEIGHTS[kind] * rng.uniform(0.85, 1.2))
    wide = 0.2 if near else 0.38
    x = rng.uniform(wide / 2, wide) * rng.choice([-1, 1]) if height > 0.5 else rng.uniform(-wide, wide)
    floor, depth = (
        (rng.uniform(0.97, 1.04), rng.uniform(0.7, 0.9)) if near else (rng.uniform(0.8, 0.88), rng.uniform(1.2, 2.0))
    )
    placement = Placement(float(x), float(floor), height, float(depth))
    colour, accent, outline = _colours(rng)
    if kind in ("bush", "plant"):
        colour = hsv(rng.uniform(0.22, 0.42), rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.75))
    elif kind in ("crate", "bench", "table") and rng.random() < 0.5:
        colour = hsv(rng.uniform(0.06, 0.1), rng.uniform(0.45, 0.75), rng.uniform(0.5, 0.85))
    return SetPiece(kind, placement, colour, accent, outline)
