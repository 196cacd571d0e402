"""Frechet distance between two sets of features that arrive clip by clip, and the windows that videos are cut into for it.

The distance between Gaussians with means m1, m2 and covariances S1, S2 (Frechet 1957; Heusel et al. 2017, equation 6):

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

The field takes scipy's `sqrtm` of S1 S2 and, where that fails, adds 1e-6 to both diagonals. With fewer samples than dimensions
(always, for a few clips with 2048 features) the product is singular, and its square root is lost in rounding or biased by the
1e-6. Here S = A A' from the eigenvectors that carry anything, and tr (S1 S2)^(1/2) is the sum of the singular values of A1' A2:
exact for any rank, and the same number where the product is regular.
"""

from dataclasses import dataclass, field

import numpy as np

from bunraku.errors import BunrakuError


@dataclass
class FeatureStatistics:
    """Number, mean and scatter of feature vectors, none of which is kept.

    Attributes:
        count: vectors so far; clips: calls of `update` that brought any.
        mean: float64 (D,); scatter: float64 (D, D), sum of outer products of deviations from the mean. Empty before the first.
    """

    count: int = 0
    clips: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scatter: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def update(self, features: np.ndarray) -> None:
        """Takes in the features (N, D) of one clip (Chan, Golub & LeVeque 1983: no cancellation however many there were).

        Raises:
            BunrakuError: another number of dimensions than before, NaN or infinite values.
        """
        if not len(features):
            return
        if features.ndim != 2 or (self.count and features.shape[1] != len(self.mean)):
            raise BunrakuError(f"features have the shape {features.shape}, expected (N, {len(self.mean) or 'D'})")
        if not np.isfinite(features).all():
            raise BunrakuError(
                "The features hold NaN or infinite values; the network's weights do not fit or are damaged."
            )
        values = features.astype(np.float64)
        count, mean = len(values), values.mean(0)
        values -= mean
        if not self.count:
            self.mean, self.scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)))
        step = mean - self.mean
        total = self.count + count
        self.scatter += values.T @ values + np.outer(step, step) * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count, self.clips = total, self.clips + 1

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased, float64 (D, D), as `np.cov`; needs two vectors."""
        return self.scatter / (self.count - 1)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Frechet distance of two sets of features; no square root of a singular matrix is taken (see above).

    Raises:
        BunrakuError: fewer than two vectors in a set, or different numbers of dimensions.
    """
    if min(a.count, b.count) < 2:
        raise BunrakuError(f"a distribution needs at least 2 samples; there are {a.count} and {b.count}")
    if len(a.mean) != len(b.mean):
        raise BunrakuError(f"the sets have {len(a.mean)} and {len(b.mean)} dimensions")
    step = a.mean - b.mean
    common = np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False).sum()
    spread = np.trace(a.scatter) / (a.count - 1) + np.trace(b.scatter) / (b.count - 1)
    return float(step @ step + max(spread - 2 * common, 0))


def window_starts(frames: int, length: int = 16, stride: int = 1) -> range:
    """First frames of the whole windows of `length` in a clip; none where it is shorter.

    Stride 1 is DisCo's rule (every frame that has enough successors), stride `length` the rule of non-overlapping windows.
    """
    return range(0, frames - length + 1, stride)


def windows(frames: np.ndarray, length: int = 16, stride: int = 1, *, pad: bool = False) -> np.ndarray:
    """The windows of a clip (F, ...): (N, length, ...), a view of its frames where nothing is added.

    With `pad` a shorter clip repeats its last frame (the field's rule for FID-VID); without, it has no window.
    """
    if pad and len(frames) < length:
        frames = np.concatenate([frames, np.repeat(frames[-1:], length - len(frames), axis=0)])
    if not window_starts(len(frames), length, stride):
        return np.empty((0, length, *frames.shape[1:]), frames.dtype)
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(frames, length, axis=0)[::stride], -1, 1)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A (D, rank) with A A' = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])
