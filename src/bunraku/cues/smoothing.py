"""Smoothing: the One-Euro filter over the keypoints of a track."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from bunraku.perception.pose import SEEN, PoseTrack


def smooth(
    track: PoseTrack,
    fps: float | Fraction,
    *,
    min_cutoff: float = 1.5,
    beta: float = 20.0,
    derivative_cutoff: float = 1.0,
    threshold: float = SEEN,
) -> PoseTrack:
    """Take the jitter out of every joint with a low-pass filter that opens up as the joint gets faster.

    Per coordinate x with exponential smoothing x' = a x + (1 - a) x'_previous:

        a(f) = 1 / (1 + fps / (2 pi f)),   cutoff f = min_cutoff + beta |v|

    where v is the joint's speed, itself smoothed with a(derivative_cutoff), in picture heights per second: the
    parameters mean the same at every resolution and frame rate. The filter is causal; it sees only the past.

    Args:
        track: (F, P, K). Joints below the threshold are left as they are, and the filter starts afresh after them.
        fps: frames per second.
        min_cutoff: cutoff of a joint at rest, Hz. Lower is calmer, and lags more.
        beta: Hz of cutoff gained per picture height per second. Higher follows fast motion more closely.
        derivative_cutoff: cutoff of the speed estimate, Hz.
        threshold: joints with a lower score count as missing.

    Returns:
        (F, P, K) with the track's scores.

    Raises:
        ValueError: fps or a cutoff is not positive, or beta is negative.

    Source: Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012.

    >>> jittery = np.full((30, 1, 18, 2), 50, np.float32)
    >>> jittery[::2] += 1
    >>> track = PoseTrack(jittery, np.ones((30, 1, 18), np.float32), (100, 100))
    >>> bool(np.ptp(smooth(track, fps=30).keypoints[10:]) < 0.5 * np.ptp(jittery))
    True
    """
    if min(fps, min_cutoff, derivative_cutoff) <= 0 or beta < 0:
        raise ValueError(
            f"fps, min_cutoff and derivative_cutoff must be positive and beta not negative; got fps={fps}, "
            f"min_cutoff={min_cutoff}, derivative_cutoff={derivative_cutoff}, beta={beta}"
        )
    rate, height = float(fps), track.size[0]
    seen = (track.scores >= threshold) & (track.scores > 0) & np.isfinite(track.keypoints).all(-1)
    result = track.keypoints.astype(np.float64)
    speed = np.zeros(track.scores.shape[1:] + (2,))
    for frame in range(1, len(track)):
        follows = (seen[frame] & seen[frame - 1])[..., None]
        previous, current = result[frame - 1], result[frame]
        velocity = np.where(follows, current - previous, 0) * rate
        speed = np.where(follows, speed + _alpha(derivative_cutoff, rate) * (velocity - speed), 0)
        cutoff = min_cutoff + beta * np.linalg.norm(speed, axis=-1, keepdims=True) / height
        result[frame] = np.where(follows, previous + _alpha(cutoff, rate) * (current - previous), current)
    return replace(track, keypoints=result.astype(np.float32))


def _alpha(cutoff: float | np.ndarray, rate: float) -> float | np.ndarray:
    return 1 / (1 + rate / (2 * np.pi * cutoff))
