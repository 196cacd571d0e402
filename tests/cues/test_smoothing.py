from fractions import Fraction

import numpy as np
import pytest

from bunraku.cues.smoothing import smooth
from bunraku.perception.pose import PoseTrack


def track(path, size=(512, 512), scores=None):
    keypoints = np.repeat(np.asarray(path, np.float32)[:, None, None], 18, axis=2)
    return PoseTrack(keypoints, np.ones(keypoints.shape[:3], np.float32) if scores is None else scores, size)


def one_euro(x, rate, height, min_cutoff=1.5, beta=2.0):
    """The filter as its authors print it, one point."""

    def alpha(cutoff):
        tau = 1 / (2 * np.pi * cutoff)
        return 1 / (1 + tau * rate)

    out, speed = [x[0]], np.zeros(2)
    for value in x[1:]:
        speed = alpha(1.0) * (value - out[-1]) * rate + (1 - alpha(1.0)) * speed
        a = alpha(min_cutoff + beta * np.linalg.norm(speed) / height)
        out.append(a * value + (1 - a) * out[-1])
    return np.array(out)


def test_is_the_published_filter():
    path = np.random.default_rng(0).normal(100, 20, (40, 2))
    result = smooth(track(path), 24, min_cutoff=1.5, beta=2.0, derivative_cutoff=1.0)
    np.testing.assert_allclose(result.keypoints[:, 0, 5], one_euro(path, 24, 512), rtol=1e-5)


def test_jitter_shrinks_and_fast_motion_survives():
    rng = np.random.default_rng(0)
    still = rng.normal(0, 2, (200, 2)) + 256
    assert smooth(track(still), 30).keypoints[20:].std() < 0.6 * still[20:].std()
    swing = 256 + 150 * np.sin(np.arange(120) / 30 * 2 * np.pi)[:, None] * (1, 0)
    error = smooth(track(swing), 30).keypoints[:, 0, 0] - swing
    assert np.abs(error).max() < 0.15 * 150


def test_missing_stays_missing_and_does_not_leak():
    path = np.full((9, 2), 50.0)
    path[4], path[5:] = np.nan, 200
    scores = np.ones((9, 1, 18), np.float32)
    scores[4] = 0
    result = smooth(track(path, scores=scores), 30)
    np.testing.assert_array_equal(result.keypoints[:4], 50)
    np.testing.assert_array_equal(result.keypoints[5:], 200)
    np.testing.assert_array_equal(result.scores, scores)


def test_same_motion_at_another_resolution_is_smoothed_the_same():
    path = np.random.default_rng(0).uniform(0, 512, (30, 2))
    large = smooth(track(path), Fraction(24)).scaled((256, 256)).keypoints
    np.testing.assert_allclose(smooth(track(path / 2, size=(256, 256)), 24).keypoints, large, rtol=1e-4)


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="fps=0"):
        smooth(track(np.zeros((2, 2))), 0)
