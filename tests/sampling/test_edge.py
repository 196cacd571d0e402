"""EDGE's consistency against the lines of its paper's code, and for windows that do not overlap by half."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bunraku.sampling.edge import agree, cross_fade
from bunraku.sampling.windows import time_windows


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_half_overlap_is_edges(count, half, seed):
    size = 2 * half
    windows = [range(k * half, k * half + size) for k in range(count)]
    x = torch.randn(count, 2, size, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = x.clone()
    if count > 1:
        expected[1:, :, :half] = x[:-1, :, half:]
    assert torch.equal(agree(x, windows), expected)

    fade_out, fade_in = torch.ones(2, size, 1, 1, dtype=torch.float64)
    fade_out[half:, 0, 0], fade_in[:half, 0, 0] = torch.linspace(1, 0, half), torch.linspace(0, 1, half)
    if half == 1:  # of one shared frame the window before says all
        fade_out[half:], fade_in[:half] = 1, 0
    whole = torch.zeros(2, size + half * (count - 1), 1, 3, dtype=torch.float64)
    for k, window in enumerate(x):
        faded = window * (fade_out if k < count - 1 else 1) * (fade_in if k > 0 else 1)
        whole[:, k * half : k * half + size] += faded
    torch.testing.assert_close(cross_fade(x, windows)[0], whole, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 60), st.integers(2, 16), st.data())
def test_windows_of_the_house_agree_wherever_they_meet_and_join_to_the_clip(frames, size, data):
    """Also the last one, which is shifted left and may share more than half, even with two."""
    windows = time_windows(frames, size, data.draw(st.integers(0, size - 1)))
    x = torch.randn(len(windows), 1, len(windows[0]), 1, 1)
    agreed = agree(x, windows)
    said: dict[int, float] = {}
    for k, window in enumerate(windows):
        for i, frame in enumerate(window):
            assert said.setdefault(frame, float(agreed[k, 0, i])) == float(agreed[k, 0, i])
    joined = cross_fade(agreed, windows)
    assert joined.shape == (1, 1, frames, 1, 1)
    torch.testing.assert_close(joined.flatten(), torch.tensor([said[frame] for frame in range(frames)]))
    assert torch.equal(agree(agreed, windows), agreed)


def test_windows_that_do_not_follow_each_other():
    x = torch.zeros(2, 1, 4, 1, 1)
    for windows in ([range(0, 4)], [range(0, 4), range(5, 9)], [range(0, 4), range(0, 4)], [range(0, 4), range(2, 5)]):
        for function in (agree, cross_fade):
            with pytest.raises(ValueError, match="must follow each other"):
                function(x, windows)
