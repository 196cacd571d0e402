"""Windows over time: clips longer than the motion modules' reach, after MultiDiffusion (Bar-Tal et al. 2023) in time."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bunraku.errors import BunrakuError

Merge = Literal["triangular", "uniform"]


def time_windows(frames: int, size: int, overlap: int, wrap: bool = False) -> list[Sequence[int]]:
    """Windows of `size` frames that cover `frames` frames, neighbours sharing at least `overlap`.

    The last window is shifted left to end with the clip: no frame is padded, and no window wraps around to the first frames.
    A clip of at most `size` frames is one window.

    Args:
        wrap: close the loop as the public Animate Anyone code and its kin do: windows start every `size - overlap` frames up
            to the end, and the last ones go on with the first frames, which are then denoised together with the end. Only
            for equality with their results.

    >>> time_windows(20, 8, 2)
    [range(0, 8), range(6, 14), range(12, 20)]
    >>> time_windows(5, 8, 2)
    [range(0, 5)]
    >>> time_windows(12, 8, 2, wrap=True)[1]
    [6, 7, 8, 9, 10, 11, 0, 1]
    """
    if frames < 1:
        raise BunrakuError("there are no frames to animate")
    if size < 1 or not 0 <= overlap < size:
        raise BunrakuError(f"a window of {size} frames cannot overlap by {overlap}: use 0 <= overlap < window")
    if frames <= size:
        return [range(frames)]
    if wrap:
        return [[(start + i) % frames for i in range(size)] for start in range(0, frames, size - overlap)]
    starts = [*range(0, frames - size, size - overlap), frames - size]
    return [range(start, start + size) for start in starts]


def merge_weights(length: int, merge: Merge) -> Tensor:
    """Weight of each frame of a window, float32 (length,), positive: 1, or a triangle that peaks in the middle."""
    if merge == "uniform":
        return torch.ones(length)
    if merge != "triangular":
        raise BunrakuError(f"windows merge triangular or uniform, not {merge!r}")
    position = (torch.arange(length) + 0.5) * 2 / length
    return torch.minimum(position, 2 - position)
