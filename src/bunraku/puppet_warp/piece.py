"""Piece: a textured mesh of triangles, painted with its vertices anywhere."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Place = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(joints (18, 2), seen (18,), body scale) -> where the vertices of a piece are then, (N, 2) in pixels of the picture."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A textured mesh.

    Attributes:
        texture: float32 (h, w, 4) in [0, 255], colour times coverage, and coverage; empty at its border.
        vertices: float64 (N, 2) in pixels of the texture.
        triangles: int (M, 3), later ones lie over earlier ones.
        place: where the vertices go.
    """

    texture: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    place: Place

    def paint(self, canvas: np.ndarray, target: np.ndarray) -> None:
        """Paint with the vertices at `target` (N, 2) onto float32 (H, W, 3), or (H, W, 4) with a last channel of coverage, in place.

        Every pixel takes the colour of the point of the texture that its own middle comes from (bicubic: edges have 0.87 of the
        truth's energy on the theatre at 512 px, bilinear 0.70); the edge is the texture's own coverage, so it is as smooth as that.
        """
        height, width = canvas.shape[:2]
        left, top = np.clip(np.floor(target.min(0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(target.max(0)), 0, (width, height)).astype(int)
        if right <= left or bottom <= top:
            return
        owner, maps = self._inverse(target - (left, top), (bottom - top, right - left))
        y, x = np.indices(owner.shape, np.float32) + np.float32(0.5)
        a, b, c, d, e, f = maps[:, owner]
        painted = cv2.remap(self.texture, a * x + b * y + c, d * x + e * y + f, cv2.INTER_CUBIC)
        # beside an edge bicubic curves overshoot, colours and coverage alike
        painted = painted / np.maximum(1, painted[..., 3:] / 255)
        cover = painted[..., 3:].clip(min=0)
        painted = painted.clip(0, cover)
        part = canvas[top:bottom, left:right]
        part *= 1 - cover / 255
        part += painted[..., : canvas.shape[2]]

    def _inverse(self, target: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Which triangle each pixel lies in, int32 (H, W), and each triangle's affine map to the texture's indices, float32 (6, M + 1);
        the last leads outside the texture."""
        ends, starts = target[self.triangles], self.vertices[self.triangles]  # M 3 2
        to, of = (np.stack([t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]], -1) for t in (ends, starts))
        drawn = np.flatnonzero(np.abs(np.linalg.det(to)) > 1e-3)
        linear = of[drawn] @ np.linalg.inv(to[drawn])
        offset = starts[drawn, 0] - np.einsum("mij,mj->mi", linear, ends[drawn, 0]) - 0.5
        maps = np.full((len(ends) + 1, 2, 3), (0, 0, -10), np.float32)
        maps[drawn] = np.concatenate([linear, offset[..., None]], -1)
        owner = np.full(size, len(ends), np.int32)
        corners = np.rint((ends - 0.5) * 16).astype(np.int32)  # OpenCV's integer coordinates are pixel centres
        for triangle in drawn.tolist():
            cv2.fillConvexPoly(owner, corners[triangle], triangle, cv2.LINE_8, 4)  # type: ignore[call-overload]
        return owner, maps.reshape(-1, 6).T


def grid(rows: int, columns: int) -> np.ndarray:
    """Two triangles for each cell of a grid of vertices, row by row: int (M, 3)."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    return np.concatenate([corner + (0, 1, columns), corner + (1, columns + 1, columns)], 1).reshape(-1, 3)
