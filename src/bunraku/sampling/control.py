"""ControlNet's maps of a whole clip, computed once per frame and step, with bounded memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bunraku.sampling.windows import time_windows


class CachedControl:
    """A ControlNet's maps for any frames at one step, computed window by disjoint window, each when it is first asked for.

    TCAN runs its temporal ControlNet so: 16 frames at a time without overlap, and the denoiser's overlapping windows share the
    result frame by frame. A clip's last window is shifted left to be full; frames keep the maps of the window before.

    Args:
        compute: a list of maps (B * f, C, h, w) of a window's f frames.
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

    def __call__(self, frames: Sequence[int]) -> tuple[Tensor, ...]:
        """Maps (B * len(frames), C, h, w) in the order of `frames`."""
        pieces = [
            [maps[:, places.start : places.stop] for maps in self._window(number)]
            for number, places in self._runs(frames)
        ]
        return tuple((torch.cat(maps, 1) if len(maps) > 1 else maps[0]).flatten(0, 1) for maps in zip(*pieces))

    def _runs(self, frames: Sequence[int]) -> list[tuple[int, range]]:
        """The frames as runs of consecutive places in windows."""
        runs: list[tuple[int, range]] = []
        for frame in frames:
            number = frame // self._size
            place = frame - self._windows[number][0]
            if runs and runs[-1][0] == number and runs[-1][1].stop == place:
                runs[-1] = number, range(runs[-1][1].start, place + 1)
            else:
                runs.append((number, range(place, place + 1)))
        return runs

    def _window(self, number: int) -> list[Tensor]:
        """Maps (B, f, C, h, w) of a window."""
        window = self._windows[number]
        if number in self._maps:
            maps = self._maps.pop(number)
        else:
            maps = [one.unflatten(0, (-1, len(window))) for one in self._compute(window)]
        self._maps[number] = maps  # the newest is last
        while len(self._maps) > self._kept:
            del self._maps[next(iter(self._maps))]
        return maps
