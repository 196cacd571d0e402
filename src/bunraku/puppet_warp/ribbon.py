"""Ribbon: where a limb lies in a picture, found by its two edges near its bone, because joints are found beside their limbs."""

import cv2
import numpy as np

from bunraku.puppet_warp.body import turned, unit

OUTLINE = 40.0  # what the figure's own outline counts, in CIELAB; and the most that any edge counts
BLUR = 0.15  # of the half thickness: how far beside an edge a ribbon's side may lie
SHIFTS = np.linspace(-1.2, 1.2, 13)  # of a bone's ends, in half thicknesses
WIDTHS = np.array([0.65, 0.75, 0.85, 1.0, 1.15, 1.35, 1.6, 1.9, 2.2])  # of the half thickness
DOUBT, THICKER = 0.3, 0.35
"""How much worse a shift by a half thickness makes a ribbon, of 1, and the power of its thickness over the measured one that its score is
divided by: what lies against the body is measured too thin, and an arm beside a wide sleeve is not to take it for its own."""
SHARES = np.linspace(0.1, 0.95, 18)[:, None]


class Edges:
    """The edges of a figure's picture.

    Args:
        picture: uint8 (H, W, 3).
        coverage: float32 (H, W) in [0, 1].
    """

    def __init__(self, picture: np.ndarray, coverage: np.ndarray) -> None:
        lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * coverage[..., None]
        self._coverage = coverage
        self._channels = np.concatenate([lab, 2 * OUTLINE * coverage[..., None]], -1)

    def ribbon(self, start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, float]:
        """The limb whose sides lie best on edges: its ends (2,), each moved across the bone, and half its thickness."""
        across = turned(unit(end - start, (0, 1)))
        sigma = max(0.7, BLUR * radius)
        channels = cv2.GaussianBlur(self._channels, (0, 0), sigma)
        x, y = (cv2.Sobel(channels, cv2.CV_32F, *way, scale=sigma / 4) for way in ((1, 0), (0, 1)))
        strength = np.minimum(np.linalg.norm(across[0] * x + across[1] * y, axis=-1) / OUTLINE, 1)

        def at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
            column, row = np.moveaxis(np.floor(points).astype(int), -1, 0)
            return np.asarray(field[row.clip(0, field.shape[0] - 1), column.clip(0, field.shape[1] - 1)].mean(-1))

        # axes: shift of the start, of the end, width, share of the way, coordinate
        first, second = start + radius * SHIFTS[:, None] * across, end + radius * SHIFTS[:, None] * across
        middle = first[:, None, None] + SHARES * (second[:, None] - first[:, None, None])
        side = radius * WIDTHS[:, None, None] * across
        contrast = (at(strength, middle[:, :, None] - side) + at(strength, middle[:, :, None] + side)) / 2
        doubt = DOUBT * (SHIFTS[:, None] ** 2 + SHIFTS**2) / 2
        score = (contrast * at(self._coverage, middle)[..., None] - doubt[..., None]) / np.maximum(WIDTHS, 1) ** THICKER
        one, other, width = np.unravel_index(score.argmax(), score.shape)
        return first[one], second[other], float(WIDTHS[width] * radius)
