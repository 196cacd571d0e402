"""The worst and best clips are those of the sorted list, and nothing else stays in memory."""

import gc
import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bunraku.evaluation.extremes import Extremes


def panels() -> dict[str, np.ndarray]:
    return {}


@given(st.lists(st.floats(-50, 50), max_size=30), st.integers(1, 4), st.sampled_from(["higher", "lower"]))
def test_the_worst_and_best_are_those_of_the_sorted_list(scores: list[float], count: int, better: str) -> None:
    extremes = Extremes("psnr", better, count)  # type: ignore[arg-type]
    for number, score in enumerate(scores):
        extremes.offer(str(number), score, panels)
    ordered = sorted(scores, reverse=better == "lower")
    worst, best = [c.score for c in extremes.worst()], [c.score for c in extremes.best()]
    assert worst == ordered[: min(count, len(scores) // 2)]
    assert best == ordered[::-1][: min(count, (len(scores) + 1) // 2)]
    shown = [clip.clip for clip in extremes.worst() + extremes.best()]
    assert len(set(shown)) == len(shown), "no clip is shown twice"


def test_equals_keep_their_order_and_clips_without_a_score_are_left_out() -> None:
    extremes = Extremes("psnr", count=2)
    for name, score in [("a", 1.0), ("none", None), ("b", 1.0), ("nan", float("nan")), ("c", 1.0), ("d", 1.0)]:
        extremes.offer(name, score, panels)
    assert extremes.offered == 4
    assert [clip.clip for clip in extremes.worst()] == ["a", "b"]


def test_memory_holds_the_extremes_alone() -> None:
    class Frames:
        pass

    extremes, alive = Extremes("psnr", count=2), []
    for number in range(20):
        frames = Frames()
        alive.append(weakref.ref(frames))
        extremes.offer(str(number), number * 7 % 20, lambda frames=frames: {"truth": frames})  # type: ignore[misc]
    del frames
    gc.collect()
    assert sum(reference() is not None for reference in alive) <= 2 * 2 + 1  # and the last closure's
