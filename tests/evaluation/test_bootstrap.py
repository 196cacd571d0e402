"""The interval of a mean over clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from bunraku.evaluation.bootstrap import Estimate, estimate

samples = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=40).map(np.array)


def test_one_clip_has_no_interval_and_equal_clips_have_an_empty_one() -> None:
    assert estimate(np.array([3.5])) == Estimate(3.5, None, None, 1)
    assert estimate(np.full(9, 0.1)) == Estimate(pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1), 9)


@pytest.mark.parametrize("seed", range(3))
def test_the_ends_are_those_of_scipy(seed: int) -> None:
    """On skewed samples, where BCa differs most from percentiles."""
    values = np.random.default_rng(seed).lognormal(size=30)
    ours = estimate(values)
    theirs = bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", random_state=seed).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


@given(samples, st.floats(-1e3, 1e3), st.floats(0.01, 100))
def test_shift_and_scale_move_the_interval_alike(values: np.ndarray, shift: float, scale: float) -> None:
    first, moved = estimate(values, resamples=200), estimate(values * scale + shift, resamples=200)
    room = 1e-6 * (np.abs(values).max() * scale + abs(shift) + 1)
    assert first.low is not None
    assert first.high is not None
    assert first.low - room <= first.mean + room
    assert [moved.mean, moved.low, moved.high] == pytest.approx(
        [first.mean * scale + shift, first.low * scale + shift, first.high * scale + shift], abs=room
    )


@given(samples)
def test_the_interval_lies_within_the_values(values: np.ndarray) -> None:
    found = estimate(values, resamples=100)
    assert found == estimate(values, resamples=100)
    assert values.min() - 1e-6 <= found.low <= found.high <= values.max() + 1e-6
    assert found.clips == len(values)


def test_coverage() -> None:
    """Of 400 samples of 32 skewed values, about 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(0)
    held = [
        found.low <= 2.0 <= found.high
        for found in (estimate(rng.gamma(2, size=32), resamples=1000) for _ in range(400))
    ]
    assert 0.90 <= np.mean(held) <= 0.98
