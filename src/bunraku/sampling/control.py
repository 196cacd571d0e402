"""ControlNet's maps of a whole clip, computed once per frame and step, with bounded memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bunraku.sampling.windows import time_windows


class CachedControl:
    """What a ControlNet says of any frames at one step: computed window by disjoint window, each when it is first asked for.

    TCAN runs its temporal ControlNet so: 16 frames at a time without overlap, and the denoiser's overlapping windows share the
    result frame by frame. A clip's last window is shifted left to be full; frames keep what the window before said of them.

    Args:
        compute: maps (f, C, h, w) of a window's frames.
        frames: of the clip.
        size: frames per window.
        kept: windows that stay in memory; the one that was used longest ago makes room.
    """

    def __init__(
        self, compute: Callable[[Sequence[int]], list[Tensor]], frames: int, size: int = 16, kept: int = 3
    ) -> None:
        self._compute = compute
        self._windows = time_windows(frames, size, 0)
        self._size = size
        self._kept = kept
        self._maps: dict[int, list[Tensor]] = {}

    def __call__(self, frames: Sequence[int]) -> list[Tensor]:
        """Maps (len(frames), C, h, w) in the order of `frames`."""
        places = [(frame // self._size, frame - self._windows[frame // self._size][0]) for frame in frames]
        rows = [[one[place] for one in self._window(number)] for number, place in places]
        return [torch.stack(maps) for maps in zip(*rows)]

    def _window(self, number: int) -> list[Tensor]:
        maps = self._maps.pop(number) if number in self._maps else self._compute(self._windows[number])
        self._maps[number] = maps  # the newest is last
        while len(self._maps) > self._kept:
            del self._maps[next(iter(self._maps))]
        return maps
