"""Runs of an evaluation: clips through systems, scores into `Results`.

Clips are opened (rendered, decoded) and scored in threads while the model works on the clip in between; a few clips are in memory
at a time, however many there are.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.evaluation.benchmarks import Benchmark
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.extremes import Extremes
from bunraku.evaluation.metrics import METRICS
from bunraku.evaluation.results import Results, installed_versions
from bunraku.evaluation.scoring import Scorer
from bunraku.evaluation.systems import System
from bunraku.progress import Progress

logger = logging.getLogger(__name__)

"""Called with what is counted, how much is done, and how much there is."""

WORKERS = 2
RANKED_BY = ("psnr_character", "psnr")
"""The page shows the clips that are worst and best by the first of these that clips have, else by the first metric that they have."""


def evaluate(
    systems: Sequence[System],
    benchmark: Benchmark,
    scorer: Scorer,
    *,
    settings: Mapping[str, Any] | None = None,
    command: str = "",
    workers: int = WORKERS,
    on_progress: Progress | None = None,
    made: Iterable[tuple[str, "Made | BunrakuError"]] | None = None,
) -> tuple[Results, Extremes]:
    """Score systems on the clips of a benchmark.

    A clip that cannot be opened, or that a system cannot do, is named in `Results.failed`, and the others are scored.

    Args:
        systems: the one that reports are about first.
        benchmark: where the clips come from.
        scorer: which metrics.
        settings: of the systems, for the record.
        command: as typed, for the record.
        workers: threads that open and score clips.
        on_progress: called after every clip.
        made: of every clip, in the order of the benchmark, its name and what the systems made of it, or why they did not; None: they make it
            here.

    Raises:
        BunrakuError: no clip could be scored; says why the first could not.
    """
    started = time.perf_counter()
    seconds: dict[str, float] = dict.fromkeys([system.name for system in systems], 0.0)
    results = Results(
        benchmark.name, benchmark.size, dict(benchmark.protocol) | scorer.protocol, {},
        settings=dict(settings or {}), command=command, versions=installed_versions(), weights=scorer.weights,
    )  # fmt: skip
    extremes = Extremes()
    pending: deque[tuple[BenchmarkClip, dict[str, np.ndarray], Future]] = deque()

    def fail(clip: str, error: BunrakuError) -> None:
        logger.warning("%s could not be evaluated: %s", clip, error)
        results.failed[clip] = str(error)

    def enter(clip: BenchmarkClip, frames: dict[str, np.ndarray], scores: Future) -> None:
        try:
            found = scores.result()
        except BunrakuError as error:
            return fail(clip.name, error)
        for name, of_system in found.items():
            results.add(name, clip.name, of_system)
        results.tags[clip.name] = dict(clip.tags)
        own = found[systems[0].name]
        if extremes.metric is None and (metric := ranking(own)):
            extremes.rank_by(metric, METRICS[metric].better)
        extremes.offer(clip.name, own.get(extremes.metric or ""), lambda: panels_of(clip, frames), clip.fps)

    with ThreadPoolExecutor(workers) as pool:
        source = made if made is not None else _made_here(systems, benchmark, pool, workers)
        for done, (name, one) in enumerate(source, 1):
            if isinstance(one, BunrakuError):
                fail(name, one)
            else:
                for which, took in one.seconds.items():
                    seconds[which] += took
                pending.append((one.clip, one.frames, pool.submit(scorer.score, one.clip, one.frames)))
            while len(pending) > workers:
                enter(*pending.popleft())
            if on_progress:
                on_progress("clips", done, len(benchmark.names))
        while pending:
            enter(*pending.popleft())
    if not results.systems:
        name, reason = next(iter(results.failed.items()))
        raise BunrakuError(f"none of the {len(results.failed)} clips could be evaluated; {name}: {reason}")
    results.metrics = {name: METRICS[name] for name in scorer.reported}
    for system in systems:
        entry = results.systems[system.name]
        entry.role, entry.description = system.role, system.description
        whole = scorer.finish(system.name)
        entry.set, entry.unavailable, entry.notes = dict(whole.scores), whole.unavailable, whole.notes
    results.seconds = {name: round(value, 2) for name, value in seconds.items()} | {
        "all": round(time.perf_counter() - started, 2)
    }
    return results, extremes


class Made(NamedTuple):
    """A clip, and of every system its frames and the seconds that it took."""

    clip: BenchmarkClip
    frames: dict[str, np.ndarray]
    seconds: dict[str, float]


def make(systems: Sequence[System], clip: BenchmarkClip) -> Made:
    """What the systems make of a clip.

    Raises:
        BunrakuError: one of them cannot.
    """
    frames, seconds = {}, {}
    for system in systems:
        began = time.perf_counter()
        frames[system.name] = system(clip)
        seconds[system.name] = time.perf_counter() - began
    return Made(clip, frames, seconds)


def _made_here(
    systems: Sequence[System], benchmark: Benchmark, pool: ThreadPoolExecutor, workers: int
) -> Iterator[tuple[str, Made | BunrakuError]]:
    """Clips are opened in the pool while the systems work on the one before."""
    for name, opened in zip(benchmark.names, _ahead(pool, benchmark.clip, range(len(benchmark.names)), workers)):
        try:
            yield name, make(systems, opened.result())
        except BunrakuError as error:
            yield name, error


def _ahead(
    pool: ThreadPoolExecutor, call: Callable[[int], Any], arguments: Iterable[int], count: int
) -> Iterator[Future]:
    """Futures of the calls in order, `count` of them running ahead of the one that is waited for."""
    running: deque[Future] = deque()
    for argument in arguments:
        running.append(pool.submit(call, argument))
        if len(running) > count:
            yield running.popleft()
    yield from running


def ranking(scores: Mapping[str, float]) -> str | None:
    """The metric by which clips are ranked, given what the first of them has."""
    names = (name for name in (*RANKED_BY, *scores) if name in scores)
    return next((name for name in names if METRICS[name].better != "neither"), None)


def panels_of(clip: BenchmarkClip, frames: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the page shows of a clip, side by side."""
    driving = {"driving pose": draw_skeleton(clip.driving)} if clip.driving.people else {}
    return (
        {"reference": clip.reference}
        | driving
        | {name: np.asarray(made) for name, made in frames.items()}
        | {"truth": clip.truth}
    )
