"""Brushes: shapes, light and inks with which the drawings of this folder are made. Coordinates are pixels of the finished picture."""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

FINE = 2
"""Pixels that are painted for each pixel of the finished picture, along each side."""
SUBPIXEL = 4  # bits

Points = Sequence[tuple[float, float]] | np.ndarray
Mask = np.ndarray
"""uint8 (FINE H, FINE W): how much of each pixel a shape covers."""
Colour = str | tuple[float, float, float]
Paint = Colour | Callable[["Patch"], np.ndarray]


def rgb(colour: Colour) -> np.ndarray:
    """float32 (3,) from 0 to 255 of "#rrggbb", or of three numbers."""
    if isinstance(colour, str):
        colour = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[assignment]
    return np.array(colour, np.float32)


def mix(one: Colour | np.ndarray, other: Colour | np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Between two colours; a share of the other, one number or (h, w)."""
    one, other = (rgb(c) if not isinstance(c, np.ndarray) else c for c in (one, other))
    share = np.asarray(share, np.float32)
    share = share[..., None] if share.ndim else share
    return one * (1 - share) + other * share


def ramp(value: np.ndarray, *stops: tuple[float, Colour]) -> np.ndarray:
    """Colours (..., 3) of values (...) between stops (value, colour)."""
    at, colours = [at for at, _ in stops], np.stack([rgb(colour) for _, colour in stops])
    return np.stack([np.interp(value, at, colours[:, i]) for i in range(3)], -1).astype(np.float32)


def curve(points: Points, closed: bool = False, steps: int = 14) -> np.ndarray:
    """A smooth curve (N, 2) through points (centripetal Catmull-Rom); a point that is given twice in a row is a corner."""
    points = np.asarray(points, np.float64)
    corners = np.flatnonzero((points[1:] == points[:-1]).all(-1))
    if len(corners):
        if closed:
            first = corners[0] + 1
            points = np.concatenate([points[first:], points[:first]])
            corners = np.flatnonzero((points[1:] == points[:-1]).all(-1))
        ends = [0, *(corners + 1), len(points)]
        pieces = [points[a:b] for a, b in pairwise(ends)]
        return np.concatenate([curve(piece, steps=steps) if len(piece) > 1 else piece for piece in pieces])
    if len(points) == 2:
        return np.linspace(points[0], points[1], steps + 1)
    before, after = (
        (points[-1:], points[:2]) if closed else (2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1])
    )
    p = np.concatenate([before, points, after])
    at = np.concatenate([[0], np.cumsum(np.maximum(np.linalg.norm(np.diff(p, axis=0), axis=-1), 1e-6) ** 0.5)])
    result = []
    for i in range(1, len(p) - 2):
        t = np.linspace(at[i], at[i + 1], steps, endpoint=False)[:, None]

        def between(a: np.ndarray, b: np.ndarray, ta: float, tb: float, t: np.ndarray = t) -> np.ndarray:
            return ((tb - t) * a + (t - ta) * b) / (tb - ta)

        first = [between(p[j], p[j + 1], at[j], at[j + 1]) for j in range(i - 1, i + 2)]
        second = [between(first[j], first[j + 1], at[i - 1 + j], at[i + 1 + j]) for j in range(2)]
        result.append(between(second[0], second[1], at[i], at[i + 1]))
    if not closed:
        result.append(points[-1:])
    return np.concatenate(result)


def noise(shape: tuple[int, int], grain: float, seed: int) -> np.ndarray:
    """float32 (h, w), smooth, mean 0, deviation 1; grain in pixels of the finished picture."""
    cells = [max(4, round(side / (grain * FINE))) for side in shape]
    rough = np.random.default_rng(seed).standard_normal(cells).astype(np.float32)
    smooth = cv2.resize(rough, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray((smooth - smooth.mean()) / (smooth.std() + 1e-6))


class Patch:
    """The part of a page that a shape covers: what a paint is told."""

    def __init__(self, mask: Mask, margin: int = 2) -> None:
        x, y, width, height = cv2.boundingRect(mask)
        top, left = max(0, y - margin), max(0, x - margin)
        self.box = np.s_[top : y + height + margin, left : x + width + margin]
        self.mask = mask[self.box]
        self.corner = (left, top)

    @property
    def size(self) -> tuple[int, int]:
        return self.mask.shape[0], self.mask.shape[1]

    @cached_property
    def at(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of every pixel, in pixels of the finished picture."""
        y, x = np.indices(self.size, np.float32)
        return (x + self.corner[0] + 0.5) / FINE, (y + self.corner[1] + 0.5) / FINE

    @cached_property
    def inside(self) -> np.ndarray:
        """float32 (h, w): distance from the shape's edge, negative outside."""
        solid = np.pad((self.mask > 127).astype(np.uint8), 1)
        there, beyond = (cv2.distanceTransform(side, cv2.DIST_L2, 5)[1:-1, 1:-1] for side in (solid, 1 - solid))
        return np.asarray(np.where(self.mask > 127, there - 0.5, 0.5 - beyond) / FINE)

    def normals(self, depth: float, soft: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The shape as if it were blown up, round within `depth` of its edge: x, y and z of its normals."""
        share = np.clip(self.inside / depth, 0, 1)
        height = depth * FINE * np.sqrt(1 - (1 - share) ** 2)
        height = cv2.GaussianBlur(height, (0, 0), soft * FINE)
        x, y = -cv2.Sobel(height, cv2.CV_32F, 1, 0) / 8, -cv2.Sobel(height, cv2.CV_32F, 0, 1) / 8
        length = np.sqrt(x * x + y * y + 1)
        return x / length, y / length, 1 / length

    def light(
        self, depth: float, source: tuple[float, float, float] = (-0.5, -0.6, 0.62), soft: float = 2.0
    ) -> np.ndarray:
        """Lambert's light on the blown up shape, -1 to 1."""
        return np.asarray(sum(n * s for n, s in zip(self.normals(depth, soft), source)))

    def noise(self, grain: float, seed: int) -> np.ndarray:
        """`noise` of this size."""
        return noise(self.size, grain, seed)


class Page:
    """A transparent page of a number of pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (height * FINE, width * FINE)
        self.colour = np.zeros((*self.size, 3), np.float32)
        self.alpha = np.zeros(self.size, np.float32)

    # --- shapes ------------------------------------------------------------------------------------------------------------------

    def polygon(self, points: Points) -> Mask:
        """A filled polygon."""
        mask = np.zeros(self.size, np.uint8)
        corners = np.rint((np.asarray(points) * FINE - 0.5) * 2**SUBPIXEL).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, SUBPIXEL)  # type: ignore[call-overload]
        return mask

    def blob(self, *points: tuple[float, float]) -> Mask:
        """A filled closed curve through points."""
        return self.polygon(curve(points, closed=True))

    def ellipse(self, x: float, y: float, across: float, down: float, turn: float = 0) -> Mask:
        """By its middle, its half axes, and its turn in degrees."""
        t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        px, py = across * np.cos(t), down * np.sin(t)
        return self.polygon(np.stack([x + c * px - s * py, y + s * px + c * py], -1))

    def tube(self, points: Points, widths: Sequence[float], steps: int = 14, flat: bool = False) -> Mask:
        """A limb, lock or line along a curve, as wide as `widths` say in even steps along it; round ends unless `flat`."""
        line = curve(points, steps=steps)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1))])
        radius = np.interp(along / along[-1], np.linspace(0, 1, len(widths)), widths) / 2
        tangent = np.gradient(line, axis=0)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        one, other = line + normal * radius[:, None], line - normal * radius[:, None]
        mask = self.polygon(np.concatenate([one, other[::-1]]))
        scale = FINE * 2**SUBPIXEL
        for i in range(len(line) - 1):
            quad = np.rint(np.stack([one[i], one[i + 1], other[i + 1], other[i]]) * scale).astype(np.int32)
            cv2.fillConvexPoly(mask, quad, 255, cv2.LINE_AA, SUBPIXEL)  # type: ignore[call-overload]
        for i in range(len(line)) if not flat else range(1, len(line) - 1):
            reach = radius[i] if not flat else min(radius[i], along[i], along[-1] - along[i])
            centre = np.rint(line[i] * scale).astype(int).tolist()
            cv2.circle(mask, centre, round(reach * scale), 255, -1, cv2.LINE_AA, SUBPIXEL)  # type: ignore[call-overload]
        return mask

    def stroke(
        self, points: Points, width: float, ends: tuple[float, float] = (0.3, 0.3), closed: bool = False
    ) -> Mask:
        """A line of the pen: as wide in its middle as `width`, and at its ends by these shares of it."""
        if closed:
            points = curve(points, closed=True)
            return self.tube(np.concatenate([points, points[:1]]), [width], steps=2)
        t = np.linspace(0, 1, 9)
        swell = np.sin(np.pi * t) ** 0.6
        low = ends[0] + (ends[1] - ends[0]) * t
        return self.tube(points, (width * (low + (1 - low) * swell)).tolist())

    # --- paint -------------------------------------------------------------------------------------------------------------------

    def paint(self, mask: Mask, paint: Paint, opacity: float = 1.0, within: Mask | None = None) -> None:
        """Lay a colour, or what a function of the `Patch` says, on a shape."""
        if within is not None:
            mask = both(mask, within)
        if not mask.any():
            return
        patch = Patch(mask)
        colour = paint(patch) if callable(paint) else rgb(paint)
        self._lay(patch.box, patch.mask.astype(np.float32) * (opacity / 255), colour)

    def outline(
        self, mask: Mask, width: float, colour: Paint, *, lively: float = 0.0, seed: int = 0, opacity: float = 1.0
    ) -> None:
        """A line of ink along a shape's edge; `lively` is how much its width differs, more where no light falls."""
        patch = Patch(mask, margin=round((width + 4) * FINE))
        wide: np.ndarray | float = width
        if lively:
            x, y, _ = patch.normals(6 * width, 3)
            wide = width * (
                1 + lively * np.clip(1.4 * (0.6 * x + 0.8 * y), -0.8, 1) + 0.35 * lively * patch.noise(24, seed)
            )
        cover = np.clip(0.5 + FINE * (wide / 2 - np.abs(patch.inside)), 0, 1)
        self._lay(patch.box, cover * opacity, colour(patch) if callable(colour) else rgb(colour))

    def reduced(self, scale: float, x: float, y: float) -> None:
        """Make everything on the page smaller, about a point that stays in its place."""
        height, width = self.size
        small = cv2.resize(
            np.dstack([self.colour, self.alpha]),
            (round(width * scale), round(height * scale)),
            interpolation=cv2.INTER_AREA,
        )
        left, top = round((1 - scale) * x * FINE), round((1 - scale) * y * FINE)
        sides = ((top, height - top - len(small)), (left, width - left - small.shape[1]))
        whole = np.pad(small, (*sides, (0, 0)))
        self.colour, self.alpha = whole[..., :3], whole[..., 3]

    def on(self, ground: np.ndarray) -> np.ndarray:
        """The page laid on a ground, float32 (FINE H, FINE W, 3), brought to its own size: uint8 (H, W, 3)."""
        return finished(ground * (1 - self.alpha[..., None]) + self.colour)

    @property
    def matte(self) -> np.ndarray:
        """uint8 (H, W): how much of every pixel is painted."""
        height, width = self.size
        small = cv2.resize(self.alpha, (width // FINE, height // FINE), interpolation=cv2.INTER_AREA)
        return np.rint(255 * small).astype(np.uint8)

    def _lay(self, box: Any, cover: np.ndarray, colour: np.ndarray) -> None:
        share = cover[..., None]
        self.colour[box] = self.colour[box] * (1 - share) + colour * share
        self.alpha[box] = self.alpha[box] * (1 - cover) + cover


def finished(picture: np.ndarray) -> np.ndarray:
    """A fine picture in the finished size, uint8."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // FINE, height // FINE), interpolation=cv2.INTER_AREA)
    return np.rint(small).clip(0, 255).astype(np.uint8)


def joined(*masks: Mask) -> Mask:
    """Shapes together."""
    return np.maximum.reduce(masks)


def both(one: Mask, other: Mask) -> Mask:
    """Where two shapes overlap."""
    return np.minimum(one, other)


def without(one: Mask, other: Mask) -> Mask:
    """One shape, another cut out of it."""
    return np.minimum(one, 255 - other)


def moved(mask: Mask, x: float, y: float) -> Mask:
    """A shape, shifted."""
    shift = np.array([[1, 0, x * FINE], [0, 1, y * FINE]], np.float32)
    return cv2.warpAffine(mask, shift, mask.shape[::-1])


def grown(mask: Mask, by: float) -> Mask:
    """A shape with so many pixels more on every side, or fewer."""
    side = 2 * round(abs(by) * FINE) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask, disc) if by > 0 else cv2.erode(mask, disc)


def mirrored(points: Points, middle: float) -> list[tuple[float, float]]:
    """Points on the other side of a vertical line."""
    return [(2 * middle - x, y) for x, y in np.asarray(points).tolist()]


def hand(
    page: Page, wrist: tuple[float, float], elbow: tuple[float, float], size: float, thumb: int, spread: float = 1.0
):
    """A relaxed hand that goes on from a forearm.

    Args:
        size: from the wrist to the tip of the longest finger.
        thumb: 1 where the thumb is to the right of the way down the arm, else -1.

    Returns:
        The whole shape, and the lines between its fingers as strokes of width 1 would draw them: (mask, list of points).
    """
    wrist_at, along = np.array(wrist, float), np.array(wrist, float) - elbow
    along /= np.linalg.norm(along)
    side = thumb * np.array([-along[1], along[0]]) * -1

    def place(forward: float, sideways: float) -> tuple[float, float]:
        x, y = wrist_at + size * (forward * along + sideways * side)
        return float(x), float(y)

    palm = page.blob(
        place(-0.1, -0.17), place(0.15, -0.24), place(0.45, -0.28), place(0.58, -0.1), place(0.58, 0.1), place(0.45, 0.24),
        place(0.15, 0.23), place(-0.1, 0.17),
    )  # fmt: skip
    fingers = ((0.17, 0.17, 0.88), (0.04, 0.06, 1.0), (-0.09, -0.05, 0.96), (-0.21, -0.17, 0.8))
    shapes, lines = [palm], []
    for (root, tip, length), following in zip(fingers, (*fingers[1:], None)):
        fan = tip * (1 + 0.55 * spread)
        shapes.append(
            page.tube(
                [place(0.4, root), place(0.68, (root + fan) / 2), place(length, fan)],
                [0.15 * size, 0.145 * size, 0.105 * size],
            )
        )
        if following:
            at = (root + following[0]) / 2
            lines.append([place(0.5, at), place(0.58, at * 1.1), place(0.7, at * 1.35)])
    shapes.append(
        page.tube([place(0.12, 0.14), place(0.34, 0.33), place(0.56, 0.41)], [0.2 * size, 0.17 * size, 0.11 * size])
    )
    return joined(*shapes), lines
