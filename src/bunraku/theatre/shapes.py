"""Shapes: closed polygons that move over frames, and the painter that fills them on a canvas.

Every outline of the theatre is an array (F, N, 2): N vertices of one closed polygon in each of F frames. Geometry is computed for
all frames at once; only the filling loops over frames.
"""

from collections.abc import Iterator, Sequence
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


def darker(colour: Colour, factor: float) -> Colour:
    """The colour multiplied by `factor` (above 1: lighter)."""
    r, g, b = (int(min(255, c * factor)) for c in colour)
    return r, g, b


class Drawing:
    """Filled polygons in painting order, each for every frame."""

    def __init__(self) -> None:
        self.layers: list[tuple[np.ndarray, tuple[int, int, int, int]]] = []

    def fill(self, polygon: np.ndarray, colour: Colour) -> None:
        """Add a polygon (F, N, 2); a frame of NaN does without it."""
        self.layers.append((polygon, (*colour, 255)))

    def outlined(self, parts: Sequence[tuple[np.ndarray, Colour]], outline: Colour, width: float) -> None:
        """Add polygons that share one outline, so that they read as one body part."""
        if width > 0:
            for polygon, _ in parts:
                self.fill(inflate(polygon, width), outline)
        for polygon, colour in parts:
            self.fill(polygon, colour)

    def paint(self, canvas: np.ndarray, scale: float, offset: tuple[float, float]) -> Iterator[np.ndarray]:
        """Paint every frame over a copy of `canvas`, one after the other.

        Args:
            canvas: uint8 (H, W, 4), RGB and coverage; opaque paint sets coverage to 255.
            scale: canvas pixels per unit of the polygons.
            offset: where the polygons' origin lies, (x, y) in canvas pixels.

        Yields:
            uint8 (H, W, 4), a new array per frame.
        """
        # OpenCV's integer coordinates are pixel centres; ours are pixel corners.
        shift = np.array(offset) - 0.5
        there = [~np.isnan(polygon[:, 0, 0]) for polygon, _ in self.layers]
        fixed = [np.rint((np.nan_to_num(p) * scale + shift) * 2**_SHIFT).astype(np.int32) for p, _ in self.layers]
        for index in range(len(self.layers[0][0])):
            frame = canvas.copy()
            for shown, polygon, (_, colour) in zip(there, fixed, self.layers):
                if shown[index]:
                    cv2.fillPoly(frame, [polygon[index]], colour, cv2.LINE_AA, _SHIFT)
            yield frame
