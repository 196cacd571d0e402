"""CachedControl: any frames in any order, each computed in its own window, few windows in memory."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from bunraku.sampling.control import CachedControl


@given(st.integers(1, 60), st.integers(1, 17), st.integers(1, 4), st.data())
def test_frames_come_from_their_own_window(frames, size, kept, data):
    calls: list[list[int]] = []

    def compute(window):
        calls.append(list(window))
        return [
            torch.tensor([[f, window[0]] for f in window], dtype=torch.float32),
            torch.tensor([[-f] for f in window]),
        ]

    control = CachedControl(compute, frames, size, kept)
    wanted = data.draw(st.lists(st.integers(0, frames - 1), min_size=1, max_size=40))
    both, negative = control(wanted)
    assert both[:, 0].tolist() == wanted
    assert negative[:, 0].tolist() == [-f for f in wanted]
    assert both[:, 1].tolist() == [max(0, min(f // size * size, frames - size)) for f in wanted]
    assert all(len(c) == min(size, frames) for c in calls)


def test_walking_through_a_clip_computes_every_window_once():
    calls: list[int] = []
    control = CachedControl(lambda w: (calls.append(w[0]), [torch.zeros(len(w), 1)])[1], 100, 16, kept=3)
    for start in (0, 20, 40, 60, 76):
        control(range(start, start + 24))
        assert len(control._maps) <= 3
    assert calls == [0, 16, 32, 48, 64, 80, 84]
