"""The worst and best clips of an evaluation, and how a page shows them: panels side by side in a small video."""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bunraku.evaluation.results import Better
from bunraku.media import VideoWriter, resize

HEIGHT, FRAMES, GAP = 224, 96, 2
"""Of films: panels are at most this high (pixels) and this many frames long, and this far apart."""

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
        metric: by which clips are ranked.
        better: "higher" or "lower".
        count: how many of either kind.
    """

    def __init__(self, metric: str, better: Better = "higher", count: int = 3) -> None:
        self.metric, self.count, self.offered = metric, count, 0
        self._sign = -1.0 if better == "lower" else 1.0
        self._low: list[tuple[float, int, ShownClip]] = []
        self._high: list[tuple[float, int, ShownClip]] = []

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
        # equals in one order from both ends: the earlier is the worse, so that no clip is among both
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


@dataclass(frozen=True)
class Film:
    """A clip as a page shows it.

    Attributes:
        video, poster: bytes of an H.264 MP4, and of a JPEG from its middle.
        size: (height, width) in pixels.
        labels, widths: of the panels, left to right; widths in pixels.
        stride: one of so many frames was taken.
    """

    video: bytes
    poster: bytes
    size: tuple[int, int]
    labels: list[str]
    widths: list[int]
    stride: int


def film(panels: Panels, fps: Fraction, path: Path) -> Film:
    """Panels side by side as a small H.264 file, frame by frame.

    Args:
        panels: label -> frames, or a still that is repeated. The film ends with the first that ends. Where all say how
            long they are, long ones are thinned out; mere iterators are cut off.
        fps: frames per second.
        path: of a temporary file (.mp4), removed again.

    Raises:
        BunrakuError: frames cannot be read.
    """
    moving = [frames for frames in panels.values() if not _is_still(frames)]
    lengths = [len(frames) for frames in moving if isinstance(frames, Sized)]
    stride = max(1, math.ceil(min(lengths) / FRAMES)) if len(lengths) == len(moving) > 0 else 1
    stop = min([FRAMES * stride, *lengths]) if moving else 1
    streams = [_repeated(frames) if _is_still(frames) else iter(frames) for frames in panels.values()]
    rows = (side_by_side(row) for row in islice(zip(*streams, strict=False), 0, stop, stride))
    first, widths = next(rows)
    size, poster, middle = (first.shape[0], first.shape[1]), first, stop // stride // 2
    with VideoWriter(path, fps=max(Fraction(1), fps / stride), size=size, crf=20) as writer:
        writer.write(first)
        for number, (frame, _) in enumerate(rows, 1):
            writer.write(frame)
            poster = frame if number == middle else poster
    video = path.read_bytes()
    path.unlink()
    jpeg = BytesIO()
    Image.fromarray(poster).save(jpeg, "JPEG", quality=85)
    return Film(video, jpeg.getvalue(), size, list(panels), widths, stride)


def side_by_side(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """Pictures next to each other in the height of the highest, all sides even; and how wide each has become."""
    height = max(2, min(HEIGHT, max(frame.shape[0] for frame in frames)) // 2 * 2)
    widths = [max(2, round(height * frame.shape[1] / frame.shape[0]) // 2 * 2) for frame in frames]
    gap = np.full((height, GAP, 3), 128, np.uint8)
    parts = [
        part for frame, width in zip(frames, widths, strict=True) for part in (resize(frame, (height, width)), gap)
    ]
    return np.concatenate(parts[:-1], 1), widths


def _is_still(frames: Iterable[np.ndarray] | np.ndarray) -> bool:
    return isinstance(frames, np.ndarray) and frames.ndim == 3


def _repeated(still: Any) -> Iterator[np.ndarray]:
    while True:
        yield still
