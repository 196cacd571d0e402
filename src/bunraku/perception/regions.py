"""Regions: the turned squares of a picture that networks look at, and the anchor detectors that propose them.

Pixels are counted from (0, 0) at the top left corner of the top left pixel, y downwards; angles are in radians, clockwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Region:
    """A square in a picture: its centre and side in pixels, and the angle by which it is turned clockwise."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "Region":
        """The smallest upright square that holds a picture of `size` (height, width)."""
        height, width = size
        return cls(width / 2, height / 2, max(height, width))

    @classmethod
    def along(cls, start: np.ndarray, end: np.ndarray, up: float) -> "Region":
        """The square round the circle about `start` through `end`, turned so that `end` lies in direction `up` of it.

        `up` is in degrees counted counter-clockwise from the right: 90 is the top of the square.
        """
        dx, dy = (float(value) for value in np.subtract(end, start))
        angle = np.radians(up) - np.arctan2(-dy, dx)
        return cls(float(start[0]), float(start[1]), 2 * float(np.hypot(dx, dy)), float(angle))

    def scaled(self, factor: float, shift: float = 0.0) -> "Region":
        """`factor` times as large, after a shift by `shift` sides downwards in its own direction."""
        x = self.x - shift * self.side * np.sin(self.angle)
        y = self.y + shift * self.side * np.cos(self.angle)
        return Region(float(x), float(y), self.side * factor, self.angle)

    @property
    def axes(self) -> np.ndarray:
        """(2, 2): columns are the region's right and down as vectors of the picture, one side long."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.side * np.array([[cos, -sin], [sin, cos]])

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) given in shares of the region, (0, 0) its top left corner, in pixels of the picture."""
        return np.asarray((points - 0.5) @ self.axes.T + (self.x, self.y))

    def from_picture(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_picture`."""
        return np.asarray((points - (self.x, self.y)) @ np.linalg.inv(self.axes).T + 0.5)


class Picture:
    """A frame with its halves, quarters, ...: regions of any size are cut from it without aliasing, and cheaply.

    Args:
        frame: uint8 (H, W, 3).
    """

    def __init__(self, frame: np.ndarray) -> None:
        self._levels = [frame]
        self.size: tuple[int, int] = frame.shape[:2]

    def cut(self, region: Region, side: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
        """The pixels of `region`, uint8 (side, side, 3); outside the frame its rim is continued (or what `border` says)."""
        level = max(0, int(np.log2(max(region.side, 1) / side)))
        while len(self._levels) <= level:
            height, width = (max(1, length // 2) for length in self._levels[-1].shape[:2])
            self._levels.append(cv2.resize(self._levels[-1], (width, height), interpolation=cv2.INTER_AREA))
        frame = self._levels[level]
        factor = np.array([frame.shape[1] / self.size[1], frame.shape[0] / self.size[0]])
        corners = region.to_picture(np.array([[0, 0], [1, 0], [0, 1]])) * factor
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(frame, pixel_matrix(corners, side), (side, side), flags=flags, borderMode=border)


def pixel_matrix(corners: np.ndarray, side: int) -> np.ndarray:
    """OpenCV's (2, 3) from the pixels of a square of `side` to those of a picture, where its corners are (3, 2): top left,
    top right, bottom left."""
    columns = np.stack([corners[1] - corners[0], corners[2] - corners[0]], 1) / side
    # OpenCV counts from the centre of the top left pixel
    offset = corners[0] + columns @ (0.5, 0.5) - 0.5
    return np.concatenate([columns, offset[:, None]], 1)


def anchor_centres(side: int, strides: Sequence[int]) -> np.ndarray:
    """(N, 2), in shares of a square of `side` pixels: two anchors in every cell of each layer's grid, layer by layer.

    Source: the SSD anchors of MediaPipe's detectors (all of one size; layers of the same stride share a grid).
    """
    centres = []
    for stride in strides:
        cells = (np.arange(-(-side // stride)) + 0.5) / -(-side // stride)
        grid = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 1, 2)
        centres.append((stride, np.repeat(grid, 2, axis=1)))
    result = []
    for stride in dict.fromkeys(strides):  # layers of one stride: all anchors of a cell stand together
        result.append(np.concatenate([grid for other, grid in centres if other == stride], axis=1).reshape(-1, 2))
    return np.concatenate(result)


def decode_anchors(values: np.ndarray, logits: np.ndarray, centres: np.ndarray, side: int) -> tuple[np.ndarray, ...]:
    """Boxes and key points of an anchor detector.

    Args:
        values: (N, 4 + 2 K): centre, size and K points of each anchor in pixels of the `side` square, relative to its centre.
        logits: (N, 1).
        centres: (N, 2) from `anchor_centres`.
        side: pixels.

    Returns:
        boxes (M, 4) as x0, y0, x1, y1, points (M, K, 2), both in shares of the square, and scores (M,) in (0.5, 1]: those
        anchors that score above a half.
    """
    scores = 1 / (1 + np.exp(-logits[:, 0].astype(np.float64).clip(-100, 100)))
    good = scores > 0.5
    values, centres, scores = values[good].astype(np.float64) / side, centres[good], scores[good]
    middle = values[:, :2] + centres
    boxes = np.concatenate([middle - values[:, 2:4] / 2, middle + values[:, 2:4] / 2], 1)
    return boxes, values[:, 4:].reshape(len(values), (values.shape[1] - 4) // 2, 2) + centres[:, None], scores


def weighted_suppression(
    boxes: np.ndarray, points: np.ndarray, scores: np.ndarray, threshold: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One detection for each group of overlapping ones: the average of the group, weighted by score.

    Args:
        boxes: (N, 4) as x0, y0, x1, y1.
        points: (N, K, 2).
        scores: (N,).
        threshold: intersection over union with the best box of a group, above which a box belongs to it.

    Returns:
        boxes (M, 4), points (M, K, 2) and scores (M,) of the groups' best, the best group first.

    Source: Bazarevsky et al., "BlazeFace" (2019), section 2 (blending instead of suppression).
    """
    left = np.argsort(-scores, kind="stable")
    found = []
    while len(left):
        group = left[_overlap(boxes[left[0]], boxes[left]) > threshold]
        group = group if len(group) else left[:1]
        weights = scores[group] / scores[group].sum()
        average = (np.tensordot(weights, array[group], 1) for array in (boxes, points))
        found.append((*average, scores[left[0]]))
        left = left[~np.isin(left, group)]
    if not found:
        return boxes[:0], points[:0], scores[:0]
    kept = [np.stack(values) for values in zip(*found)]
    return kept[0], kept[1], kept[2]


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with boxes (N, 4)."""
    corners = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = corners.clip(0).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.asarray(common / np.maximum((box[2:] - box[:2]).prod() + area - common, 1e-12))
