"""TCAN's pose-driven temperature map: far from every pose, temporal attention is smoothed, which holds the background still."""

import math

import cv2
import numpy as np

TAU = 3.0
"""Slope of the temperature with the distance from the poses, as the paper has it."""


def temperature_map(poses: np.ndarray, tau: float = TAU) -> np.ndarray:
    """The temperature of each pixel, from the drawn poses of one window of frames.

    B(u, v) = max over the frames of [P(u, v) != 0]                       (Eq. 3)
    D(u, v) = distance to the nearest pixel of B / sqrt((H/2)^2 + (W/2)^2)   (Eq. 4)
    T(u, v) = tau D(u, v) + 1                                             (Eq. 5)

    The temporal attention's logits are divided by T (the denoiser's `temperature`).

    Args:
        poses: drawn skeletons, uint8 (F, H, W, 3) on black.
        tau: slope; 0 gives 1 everywhere, which changes nothing.

    Returns:
        float32 (H, W), at least 1; 1 everywhere where no pose has a pixel (the paper does not say; a map of nothing is no reason
        to smooth).

    Raises:
        ValueError: poses of another shape, or a negative tau.

    Source: TCAN (Kim et al., ECCV 2024), section 3.3. Distances are exact and Euclidean, between pixel centres.

    >>> drawn = np.zeros((1, 3, 4, 3), np.uint8)
    >>> drawn[0, 1, 0] = 255
    >>> temperature_map(drawn, tau=2.5)[1].tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    if poses.ndim != 4 or poses.shape[-1] != 3 or tau < 0:
        raise ValueError(f"a temperature map needs drawn poses (F, H, W, 3) and tau >= 0; got {poses.shape} and {tau}")
    return map_of_drawn(np.asarray(poses.any((0, 3))), tau)


def map_of_drawn(drawn: np.ndarray, tau: float) -> np.ndarray:
    """As `temperature_map`, from B itself: bool (H, W), where any frame of the window draws."""
    empty = ~drawn
    if empty.all():
        return np.ones(empty.shape, np.float32)
    distance = cv2.distanceTransform(np.asarray(empty, np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squares of distances between pixels are whole numbers; OpenCV's roots differ in the last bit with the address of the array
    exact = np.sqrt(np.rint(np.square(distance, dtype=np.float64)))
    return (1 + tau / math.hypot(empty.shape[0] / 2, empty.shape[1] / 2) * exact).astype(np.float32)


def draw_temperature(temperature: np.ndarray, poses: np.ndarray, hottest: float | None = None) -> np.ndarray:
    """A temperature map as a heat picture, with the drawn poses that it comes from over it.

    Args:
        temperature: float (h, w), at least 1; enlarged to the poses' size without smoothing.
        poses: drawn skeletons, uint8 (F, H, W, 3); where several frames draw, the brightest shows.
        hottest: what is shown brightest, 1 being black; None: the largest value.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    over = poses.max(0)
    share = (temperature - 1) / max((temperature.max() if hottest is None else hottest) - 1, 1e-6)
    levels = np.clip(255 * share, 0, 255).astype(np.uint8)
    enlarged = cv2.resize(levels, (over.shape[1], over.shape[0]), interpolation=cv2.INTER_NEAREST)
    heat = cv2.cvtColor(cv2.applyColorMap(enlarged, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.where(over.any(-1, keepdims=True), over, heat)
