"""Ink: the line along the edge of a drawn figure."""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

DARKER = 15.0  # of CIELAB's lightness, than what lies farther inside
DRAWN, PLAIN = 0.5, 0.35
"""Shares that are so dark: of the edge of a figure that has an outline, and of what lies farther inside where that is a line and no shadow."""
ALIKE, PAPER = 15.0, 0.6
"""Distance in CIELAB of like colours, and the share of the inside that is alike where a figure is drawn with lines alone."""


class Outline(NamedTuple):
    """The line along the edge of a figure.

    Attributes:
        width: in pixels.
        colour: (3,), from 0 to 255.
        alone: whether the figure is drawn with lines alone.
    """

    width: float
    colour: np.ndarray
    alone: bool


def outline(picture: np.ndarray, inside: np.ndarray, deep: float) -> Outline | None:
    """The line along the edge of a figure; None where none is drawn, as in photographs.

    Args:
        picture: uint8 (H, W, 3).
        inside: distance in pixels of each pixel of the figure from its edge, (H, W), 0 outside.
        deep: pixels from the edge that no outline reaches.
    """
    within = inside >= deep
    if not within.any() or deep < 2:
        return None
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    alike = np.linalg.norm(lab[within] - np.median(lab[within], 0), axis=-1) < ALIKE
    lightness = lab[..., 0]
    _, nearest = distance_transform_edt(~within, return_indices=True)
    darker = lightness[tuple(nearest)] - lightness > DARKER
    levels = [darker[(inside > level) & (inside <= level + 1)] for level in range(int(deep))]
    shares = np.array([level.mean() if level.size else 0 for level in levels])
    first = int(shares[: len(shares) // 2 + 1].argmax())  # a matte may end a little outside of the line
    if shares[first] < DRAWN or shares[-1] > PLAIN:
        return None
    width = first + int(np.argmin(np.append(shares[first:] > shares[first] / 2, False)))
    ends = [lightness[(inside > level) & (inside <= level + 1)] for level in (max(0, width - 2), width + 1)]
    sharp = all(end.size for end in ends) and np.median(ends[1]) - np.median(ends[0]) > DARKER / 2  # a shadow fades
    line = darker & (inside > 0) & (inside <= width)
    if not sharp or not line.any():
        return None
    return Outline(float(width), np.median(picture[line], 0), bool(alike.mean() >= PAPER))
