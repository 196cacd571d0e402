"""Frechet distance against float64 references of every rank, statistics that stream, windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from bunraku.errors import BunrakuError
from bunraku.evaluation.distribution import FeatureStatistics, frechet_distance, window_starts, windows


def statistics(*clips):
    found = FeatureStatistics()
    for features in clips:
        found.update(features)
    return found


def features(seed, count, dims, shift=0.0):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(shift, 1, (count, dims)) @ random.normal(size=(dims, dims)), 0)


def textbook(a, b):
    """The formula with scipy's square root of the product, as the field computes it."""
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    step = a.mean(0) - b.mean(0)
    return step @ step + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)


def exact(a, b):
    """From the samples themselves, without any covariance: good for any rank."""
    x, y = (s - s.mean(0) for s in (a, b))
    x, y = x / np.sqrt(len(x) - 1), y / np.sqrt(len(y) - 1)
    step = a.mean(0) - b.mean(0)
    return step @ step + (x**2).sum() + (y**2).sum() - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()


@given(st.integers(0, 999), st.integers(2, 60), st.integers(2, 40), st.integers(1, 5), st.floats(-1e6, 1e6))
@settings(max_examples=30, deadline=None)
def test_streaming_is_the_same_as_all_at_once(seed, count, dims, clips, far):
    values = features(seed, count, dims) + far
    found = statistics(*np.array_split(values, clips))
    assert found.count == count
    assert found.clips == min(clips, count)
    assert found.mean == pytest.approx(values.mean(0), rel=1e-12, abs=1e-12)
    assert found.covariance == pytest.approx(np.cov(values, rowvar=False), rel=1e-6, abs=1e-9 * max(1, abs(far)))


def test_statistics_do_not_grow():
    found = statistics(*(features(seed, 8, 16) for seed in range(50)))
    assert (found.count, found.clips) == (400, 50)
    assert found.mean.nbytes + found.scatter.nbytes == 8 * (16 + 16 * 16)
    found.update(np.zeros((0, 16), np.float32))
    assert (found.count, found.clips) == (400, 50)


@pytest.mark.parametrize(("count", "dims"), [(200, 8), (500, 64)])
def test_distance_of_regular_sets_is_the_fields(count, dims):
    a, b = features(1, count, dims), features(2, count + 7, dims, 0.3)
    expected = textbook(a, b)
    assert frechet_distance(statistics(*np.array_split(a, 5)), statistics(b)) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 999), st.integers(2, 30), st.integers(2, 30), st.integers(2, 80))
@settings(max_examples=30, deadline=None)
def test_distance_of_few_samples_is_exact(seed, first, second, dims):
    a, b = features(seed, first, dims), features(seed + 1, second, dims, 0.2)
    found = frechet_distance(statistics(a), statistics(b))
    assert found == pytest.approx(exact(a, b), rel=1e-8, abs=1e-8)
    assert frechet_distance(statistics(b), statistics(a)) == pytest.approx(found, rel=1e-8, abs=1e-8)


def test_where_the_fields_square_root_loses_digits():
    a, b = features(3, 50, 400), features(4, 50, 400, 0.1)
    found = frechet_distance(statistics(a), statistics(b))
    assert found == pytest.approx(exact(a, b), rel=1e-12)
    assert textbook(a, b) == pytest.approx(found, rel=1e-4)  # and is still the same number on paper


def test_distance_of_known_sets():
    a = features(5, 40, 6)
    assert frechet_distance(statistics(a), statistics(a)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(statistics(a), statistics(a + 2)) == pytest.approx(4 * 6)
    assert frechet_distance(statistics(a), statistics(a.mean(0) + 3 * (a - a.mean(0)))) == pytest.approx(
        4 * np.trace(np.cov(a, rowvar=False))
    )
    flat = np.ones((5, 6))
    assert frechet_distance(statistics(flat), statistics(flat * 3)) == pytest.approx(24)


def test_sets_that_cannot_be_compared():
    two, three = features(1, 5, 2), features(1, 5, 3)
    with pytest.raises(BunrakuError, match="at least 2 samples; there are 5 and 1"):
        frechet_distance(statistics(two), statistics(two[:1]))
    with pytest.raises(BunrakuError, match="at least 2 samples; there are 0 and 5"):
        frechet_distance(statistics(), statistics(two))
    with pytest.raises(BunrakuError, match="have 2 and 3 dimensions"):
        frechet_distance(statistics(two), statistics(three))
    with pytest.raises(BunrakuError, match=r"shape \(5, 3\), expected \(N, 2\)"):
        statistics(two, three)
    with pytest.raises(BunrakuError, match=r"shape \(5,\), expected \(N, D\)"):
        statistics(np.zeros(5))
    with pytest.raises(BunrakuError, match="NaN or infinite"):
        statistics(np.full((2, 2), np.nan))


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 25))
def test_windows_are_whole_and_as_many_as_fit(frames, length, stride):
    starts = list(window_starts(frames, length, stride))
    assert starts == [start for start in range(0, frames, stride) if start + length <= frames]
    clip = np.arange(frames * 6).reshape(frames, 1, 2, 3)
    cut = windows(clip, length, stride)
    assert cut.shape == (len(starts), length, 1, 2, 3)
    assert np.shares_memory(cut, clip) == bool(starts)
    for window, start in zip(cut, starts):
        assert np.array_equal(window, clip[start : start + length])


def test_a_short_clip_repeats_its_last_frame_where_asked():
    clip = np.arange(5)
    assert windows(clip, 8).shape == (0, 8)
    assert windows(clip, 8, pad=True).tolist() == [[0, 1, 2, 3, 4, 4, 4, 4]]
    assert windows(clip, 5, pad=True).tolist() == [[0, 1, 2, 3, 4]]
    assert len(windows(np.arange(32), 16)) == 17
    assert len(windows(np.arange(40), 16, 16)) == 2
