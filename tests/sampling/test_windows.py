"""Windows over time: properties for any clip, window and overlap."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.sampling.windows import merge_weights, time_windows

settings = st.integers(1, 40).flatmap(
    lambda size: st.tuples(st.integers(1, 300), st.just(size), st.integers(0, size - 1))
)


@given(settings)
def test_windows_cover_the_clip_once_in_order_and_stay_inside(setting):
    frames, size, overlap = setting
    windows = time_windows(frames, size, overlap)
    assert {f for w in windows for f in w} == set(range(frames))
    assert all(w.step == 1 and 0 <= w.start < w.stop <= frames for w in windows)  # nothing wraps, nothing is padded
    starts = [w.start for w in windows]
    assert starts == sorted(set(starts))
    assert windows[0].start == 0
    assert windows[-1].stop == frames


@given(settings)
def test_every_window_is_full_and_neighbours_share_the_overlap(setting):
    frames, size, overlap = setting
    windows = time_windows(frames, size, overlap)
    assert {len(w) for w in windows} == {min(frames, size)}
    shared = [a.stop - b.start for a, b in pairwise(windows)]
    assert all(s == overlap for s in shared[:-1])
    assert all(s >= overlap for s in shared[-1:])  # the last one is shifted left


@given(settings)
def test_no_window_is_superfluous(setting):
    frames, size, overlap = setting
    windows = time_windows(frames, size, overlap)
    fewest = 1 if frames <= size else 1 + -(-(frames - size) // (size - overlap))
    assert len(windows) == fewest


def test_longer_clips_start_with_the_same_windows():
    short, long = time_windows(40, 16, 4), time_windows(400, 16, 4)
    assert long[: len(short) - 1] == short[:-1]


@given(st.integers(1, 64))
def test_weights_are_positive_symmetric_and_peak_in_the_middle(length):
    assert torch.equal(merge_weights(length, "uniform"), torch.ones(length))
    triangle = merge_weights(length, "triangular")
    assert triangle.dtype == torch.float32
    assert (triangle > 0).all()
    assert (triangle <= 1).all()
    torch.testing.assert_close(triangle, triangle.flip(0))
    assert (triangle.diff()[: (length - 1) // 2] > 0).all()


def test_triangle_is_that_of_the_formula():
    """min(w, 2 - w) with w = (i + 1/2) 2 / L."""
    for length in (1, 7, 16):
        w = (np.arange(length) + 0.5) * 2 / length
        np.testing.assert_allclose(merge_weights(length, "triangular"), np.minimum(w, 2 - w), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8, 2), "no frames to animate"),
        ((9, 0, 0), "window of 0 frames"),
        ((9, 8, 8), "window of 8 frames cannot overlap by 8"),
        ((9, 8, -1), "cannot overlap by -1"),
    ],
)
def test_impossible_windows_are_errors(arguments, message):
    with pytest.raises(BunrakuError, match=message):
        time_windows(*arguments)


def test_unknown_merge_is_an_error():
    with pytest.raises(BunrakuError, match="triangular or uniform, not 'round'"):
        merge_weights(8, "round")  # type: ignore[arg-type]
