"""The worst and the best clips of an evaluation, kept while all of them pass by."""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bunraku.evaluation.metrics import Better

Panels = Mapping[str, Iterable[np.ndarray] | np.ndarray]
"""Label -> frames of one clip, uint8 (H, W, 3) one by one, or a still (H, W, 3)."""


@dataclass(frozen=True)
class ShownClip:
    """A clip to be shown.

    Attributes:
        clip: name.
        score: by which it was chosen.
        panels: opens its frames.
        fps: of the frames.
    """

    clip: str
    score: float
    panels: Callable[[], Panels]
    fps: Fraction


class Extremes:
    """The worst and the best clips so far. Of all clips offered, it holds on to those alone.

    Args:
        metric: by which clips are ranked; None: not known yet, see `rank_by`.
        better: which direction of the metric is good.
        count: how many of either kind.
    """

    def __init__(self, metric: str | None = None, better: Better = "higher", count: int = 3) -> None:
        self.count, self.offered = count, 0
        self.rank_by(metric, better)
        self._low: list[tuple[float, int, ShownClip]] = []
        self._high: list[tuple[float, int, ShownClip]] = []

    def rank_by(self, metric: str | None, better: Better) -> None:
        """Says what the scores are, before the first clip that has one is offered."""
        self.metric = metric
        self._sign = -1.0 if better == "lower" else 1.0

    def offer(
        self, clip: str, score: float | None, panels: Callable[[], Panels], fps: Fraction = Fraction(25)
    ) -> None:  # fmt: skip
        """Keep the clip if it is among the worst or best.

        Args:
            clip: name.
            score: None or NaN: the clip is not ranked.
            panels: called when the page is written; whatever it refers to stays in memory meanwhile.
            fps: frames per second.
        """
        if score is None or math.isnan(score):
            return
        shown, rank, self.offered = ShownClip(clip, score, panels, fps), self._sign * score, self.offered + 1
        # of clips with equal scores the earlier counts as the worse one, so that no clip is both among the worst and the best
        for heap, entry in ((self._low, (-rank, -self.offered, shown)), (self._high, (rank, self.offered, shown))):
            heapq.heappush(heap, entry)
            if len(heap) > self.count:
                heapq.heappop(heap)

    def worst(self) -> list[ShownClip]:
        """The worst first; at most half of the clips."""
        return [entry[2] for entry in sorted(self._low, reverse=True)][: self.offered // 2]

    def best(self) -> list[ShownClip]:
        """The best first; at most half of the clips, rounded up: none is among the worst as well."""
        return [entry[2] for entry in sorted(self._high, reverse=True)][: (self.offered + 1) // 2]
