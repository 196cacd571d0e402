"""Shapes: closed polygons that move over frames, and the painter that fills them on a canvas.

Every outline of the theatre is an array (F, N, 2): N vertices of one closed polygon in each of F frames. Geometry is computed for
all frames at once; only the filling loops over frames.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[int, int, int]

_SHIFT = 5  # fractional bits of the fixed-point coordinates handed to OpenCV
_CAP = np.linspace(-np.pi / 2, np.pi / 2, 7)


def direction(angle: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 2) of angles (...) in radians: 0 points down in the image, positive turns towards image right."""
    return np.stack([np.sin(angle), np.cos(angle)], -1)


def capsule(start: np.ndarray, end: np.ndarray, radius: float, end_radius: float | None = None) -> np.ndarray:
    """Tapered capsules (F, 14, 2) from `start` to `end` (F, 2), with a round cap at either end."""
    along = end - start
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    across = np.stack([-along[..., 1], along[..., 0]], -1)
    arc = along[:, None] * np.cos(_CAP)[:, None] + across[:, None] * np.sin(_CAP)[:, None]
    far = radius if end_radius is None else end_radius
    return np.concatenate([end[:, None] + far * arc, start[:, None] - radius * arc], 1)


def ellipse(x: float, y: float, rx: float, ry: float | None = None, power: float = 2.0, points: int = 20) -> np.ndarray:
    """A superellipse (points, 2) around (x, y); `power` 2 is an ellipse, larger is boxier."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    unit = np.stack([np.sign(c) * np.abs(c) ** (2 / power), np.sign(s) * np.abs(s) ** (2 / power)], -1)
    return np.array([x, y]) + unit * (rx, rx if ry is None else ry)


def strip(points: np.ndarray, width: float) -> np.ndarray:
    """A stroke (2 N, 2) of constant width along the open polyline `points` (N, 2)."""
    tangent = np.gradient(points, axis=0)
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1) * width / 2
    return np.concatenate([points + normal, (points - normal)[::-1]])


def inflate(polygon: np.ndarray, amount: float) -> np.ndarray:
    """Polygons (F, N, 2) whose vertices moved outwards along their normals by `amount`."""
    tangent = np.roll(polygon, -1, 1) - np.roll(polygon, 1, 1)
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    x, y = polygon[..., 0], polygon[..., 1]
    area = (x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1)
    normal = np.stack([tangent[..., 1], -tangent[..., 0]], -1)
    return polygon + amount * np.sign(area)[:, None, None] * normal


@dataclass(frozen=True)
class Frame:
    """A moving local coordinate frame: origin, right and up vectors, each (F, 2) in the coordinates of the parent."""

    origin: np.ndarray
    right: np.ndarray
    up: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Local points (N, 2) or (F, N, 2), x to the right and y up, as (F, N, 2) in the parent's coordinates."""
        return self.origin[:, None] + points[..., :1] * self.right[:, None] + points[..., 1:] * self.up[:, None]


@dataclass(frozen=True, eq=False)
class View:
    """How a picture is seen in each of F frames: the point p at `turn` p + `shift`; `turn` (F, 2, 2), `shift` (F, 2)."""

    turn: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points (F, N, 2) or (1, N, 2) as seen, (F, N, 2)."""
        x, y = points[..., :1], points[..., 1:]
        return x * self.turn[:, None, :, 0] + y * self.turn[:, None, :, 1] + self.shift[:, None]

    def __getitem__(self, frames: slice) -> "View":
        return View(self.turn[frames], self.shift[frames])

    def inverse(self) -> "View":
        """The view that undoes this one."""
        (a, b), (c, d) = np.moveaxis(self.turn, 0, -1)
        back = np.moveaxis(np.array([[d, -b], [-c, a]]) / (a * d - b * c), -1, 0)
        return View(back, -(back * self.shift[:, None]).sum(-1))


def pixel_centres(size: tuple[int, int]) -> np.ndarray:
    """The middle (x, y) of every pixel of a (height, width) picture, row by row, (1, H W, 2)."""
    x, y = np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5)
    return np.stack([x, y], -1).reshape(1, -1, 2)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """The colour of a hue (any number; 1 is once round), saturation and value (0 to 1)."""
    r, g, b = (round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1, saturation, value))
    return r, g, b


def darker(colour: Colour, factor: float) -> Colour:
    """The colour multiplied by `factor` (above 1: lighter)."""
    r, g, b = (int(min(255, c * factor)) for c in colour)
    return r, g, b


@dataclass(frozen=True, eq=False)
class Layer:
    """One polygon (F, N, 2) in paint; a frame of NaN does without it. `label` says to which thing on the stage it belongs."""

    polygon: np.ndarray
    colour: Colour
    label: int


class Drawing:
    """Filled polygons in painting order, each for every frame; what is added belongs to the thing `label`."""

    def __init__(self, label: int = 0) -> None:
        self.layers: list[Layer] = []
        self.label = label

    def fill(self, polygon: np.ndarray, colour: Colour) -> None:
        """Add a polygon (F, N, 2); a frame of NaN does without it."""
        self.layers.append(Layer(polygon, colour, self.label))

    def outlined(self, parts: Sequence[tuple[np.ndarray, Colour]], outline: Colour, width: float) -> None:
        """Add polygons that share one outline, so that they read as one body part."""
        if width > 0:
            for polygon, _ in parts:
                self.fill(inflate(polygon, width), outline)
        for polygon, colour in parts:
            self.fill(polygon, colour)

    def placed(self, scale: float, offset: tuple[float, float], view: View | None = None) -> list[Layer]:
        """The layers in the coordinates of a picture: points times `scale` plus `offset` (x, y), seen through `view`."""
        if not self.layers:
            return []
        points = np.concatenate([layer.polygon for layer in self.layers], 1) * scale + np.array(offset)
        if view is not None:
            points = view(points)
        ends = np.cumsum([layer.polygon.shape[1] for layer in self.layers])
        return [
            Layer(points[:, end - layer.polygon.shape[1] : end], layer.colour, layer.label)
            for layer, end in zip(self.layers, ends)
        ]


class Painter:
    """Fills layers whose polygons are in pixels of a picture, on canvases `samples` times as large along either axis."""

    def __init__(self, layers: Sequence[Layer], samples: int) -> None:
        # OpenCV's integer coordinates are pixel centres; ours are pixel corners.
        points = (np.concatenate([layer.polygon for layer in layers], 1) * samples - 0.5) * 2**_SHIFT
        ends = np.cumsum([layer.polygon.shape[1] for layer in layers])
        starts = ends - [layer.polygon.shape[1] for layer in layers]
        self.shown = ~np.isnan(points[:, starts, 0])  # (F, L)
        fixed = np.rint(np.nan_to_num(points)).astype(np.int32)
        self.polygons = [fixed[:, start:end] for start, end in zip(starts, ends)]

    def __call__(self, canvas: np.ndarray, frame: int, paint: Sequence[tuple[int, ...]]) -> None:
        """Paint one frame over `canvas`, uint8 (H, W, C), in the colours `paint`, C numbers for every layer."""
        for shown, polygon, colour in zip(self.shown[frame], self.polygons, paint):
            if shown:
                cv2.fillPoly(canvas, [polygon[frame]], colour, cv2.LINE_AA, _SHIFT)
