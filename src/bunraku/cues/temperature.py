"""TCAN's pose-driven temperature map: far from every pose, temporal attention is smoothed, which holds the background still."""

import math

import cv2
import numpy as np

TAU = 3.0


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
    empty = np.asarray(~poses.any((0, 3)))
    if empty.all():
        return np.ones(empty.shape, np.float32)
    distance = cv2.distanceTransform(np.asarray(empty, np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return 1 + tau / math.hypot(empty.shape[0] / 2, empty.shape[1] / 2) * distance
