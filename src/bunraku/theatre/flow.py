"""Flow: where every painted point goes until the next frame, from the geometry of the scene.

What is seen at a pixel is the topmost polygon under its centre. The vertices of a polygon are the same paint in every frame, and
the points between them keep their mean value coordinates: coordinates that reproduce every affine motion exactly, so that rigid
parts, set pieces and everything that only the camera moves are exact, and bending parts follow their outline.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bunraku.theatre.camera import BACKDROP
from bunraku.theatre.scene import Scene, stage
from bunraku.theatre.shapes import Layer, View, pixel_centres


@dataclass(frozen=True, eq=False)
class Flow:
    """Motion from each of F frames to the next, in pixels, x and y.

    Attributes:
        flow: float32 (F, H, W, 2), of the point that is seen at the pixel's centre.
        visible: bool (F, H, W), whether that point is still seen in the next frame: inside the picture, not covered, not turned away.
    """

    flow: np.ndarray
    visible: np.ndarray


def background_motion(scene: Scene, frames: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The map that the camera alone makes of the background from each frame to the next: float64 (F, 3, 3), pixels to pixels, (0, 0) at
    the corner of the first pixel, as `perception.camera.camera_motion` finds it.

    Arguments as of `scene.render`.
    """
    now, then = (scene.camera.view((np.asarray(frames) + step) / float(scene.fps), BACKDROP, size) for step in (0, 1))
    return _matrices(then) @ np.linalg.inv(_matrices(now))


def _matrices(view: View) -> np.ndarray:
    """float64 (F, 3, 3)."""
    matrices = np.tile(np.eye(3), (len(view.turn), 1, 1))
    matrices[:, :2, :2], matrices[:, :2, 2] = view.turn, view.shift
    return matrices


def background_flow(scene: Scene, frames: Sequence[int] | int, size: int | tuple[int, int] = 128) -> np.ndarray:
    """How the camera alone moves the background: float32 (F, H, W, 2) in pixels, from each frame to the next, also under the actors.

    Arguments as of `scene.render`.
    """
    height, width = pixels = (size, size) if isinstance(size, int) else size
    indices = np.arange(frames) if isinstance(frames, int) else np.asarray(frames, int)
    if not scene.camera.moves:
        return np.zeros((len(indices), height, width, 2), np.float32)
    now, then = (scene.camera.view((indices + step) / float(scene.fps), BACKDROP, pixels) for step in (0, 1))
    centres = pixel_centres(pixels)
    return (then(now.inverse()(centres)) - centres).reshape(-1, height, width, 2).astype(np.float32)


def dense_flow(scene: Scene, frames: Sequence[int] | int, size: int | tuple[int, int] = 128) -> Flow:
    """Exact optical flow of what is seen, from each frame to the next one of the scene.

    A part that is not there in the next frame (a face that turns away) moves as what lies under it, and is not visible.

    Arguments as of `scene.render`. Slower than rendering: some hundredths of a second per frame of 128x128.
    """
    height, width = pixels = (size, size) if isinstance(size, int) else size
    indices = np.arange(frames) if isinstance(frames, int) else np.asarray(frames, int)
    count = len(indices)
    staging = stage(scene, np.concatenate([indices, indices + 1]) / float(scene.fps), pixels)
    moved = background_flow(scene, indices.tolist(), pixels).reshape(count, -1, 2).astype(float)
    centres = np.asfortranarray(pixel_centres(pixels)[0])
    visible = np.empty((count, height * width), bool)
    for i in range(count):
        top, mover = _topmost(staging.layers, i, count + i, centres)
        goal = np.asfortranarray(centres + moved[i])
        for k in np.unique(mover[mover >= 0]):
            mine = mover == k
            polygon = staging.layers[k].polygon
            goal[mine] = mean_value_coordinates(centres[mine], polygon[i]) @ polygon[count + i]
        inside = ((goal >= 0) & (goal < (width, height))).all(-1)
        visible[i] = (top == mover) & inside & ~_covered(staging.layers, count + i, goal, mover)
        moved[i] = goal - centres
    return Flow(moved.reshape(-1, height, width, 2).astype(np.float32), visible.reshape(-1, height, width))


def mean_value_coordinates(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Weights (M, N) of the vertices `polygon` (N, 2) that sum to 1 and make up the `points` (M, 2).

    w_i = (tan(a_{i-1} / 2) + tan(a_i / 2)) / |v_i - p|, a_i the signed angle under which p sees the edge from v_i to v_{i+1}; they
    are smooth inside and reproduce every affine map of the vertices. Source: Hormann and Floater, "Mean Value Coordinates for
    Arbitrary Planar Polygons", ACM TOG 25(4), 2006.
    """
    away = polygon - points[:, None]
    following = np.roll(away, -1, 1)
    distance = np.maximum(np.linalg.norm(away, axis=-1), 1e-12)
    reach = distance * np.roll(distance, -1, 1)
    cross = away[..., 0] * following[..., 1] - away[..., 1] * following[..., 0]
    beside = reach + (away * following).sum(-1)
    # On an edge, which is seen under a straight angle, its two ends outweigh all others; on a vertex that one does.
    inner = (beside > 1e-14 * reach) & (distance > 1e-12)
    tangent = np.where(inner, cross / np.where(inner, beside, 1), 1e8)
    weights = (np.roll(tangent, 1, 1) + tangent) / distance
    total = weights.sum(1, keepdims=True)
    # Collapsed or self-crossing outlines see a point under no angle at all: the nearest vertices decide there.
    lost = np.abs(total) < 1e-6 * np.abs(weights).sum(1, keepdims=True)
    weights = np.where(lost, distance**-2, weights)
    return weights / np.where(lost, weights.sum(1, keepdims=True), total)


def inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which of the points (M, 2) a ray from afar reaches after an odd number of edges of the polygon (N, 2), bool (M,)."""
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, 0).T
    x, y = points[:, :1], points[:, 1:]
    across = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.logical_xor.reduce(across & left, axis=1)


def _under(polygon: np.ndarray, points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Indices of those points (M, 2) among the candidates `among` (bool, M) that lie in the polygon; none if it is not there."""
    if np.isnan(polygon[0, 0]):
        return np.zeros(0, int)
    (left, top), (right, bottom), (x, y) = polygon.min(0), polygon.max(0), points.T
    near = np.flatnonzero(among & (x >= left) & (x <= right) & (y >= top) & (y <= bottom))
    return near[inside_polygon(points[near], polygon)]


def _topmost(layers: list[Layer], now: int, then: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The topmost layer over each point, and the topmost of those that are also there `then`; -1 is the background."""
    top = np.full(len(points), -1)
    lasting = top.copy()
    for k, layer in enumerate(layers):
        under = _under(layer.polygon[now], points, np.ones(len(points), bool))
        top[under] = k
        if not np.isnan(layer.polygon[then, 0, 0]):
            lasting[under] = k
    return top, lasting


def _covered(layers: list[Layer], frame: int, points: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which points (M, 2) of the layers `own` (M,) lie under a later layer."""
    covered = np.zeros(len(points), bool)
    for k, layer in enumerate(layers):
        covered[_under(layer.polygon[frame], points, ~covered & (own < k))] = True
    return covered
