"""Milliseconds per frame of every metric, on one thread: `python benchmarks/metrics.py [--json FILE]`.

The frames are a held-out theatre clip and a noisy copy of it. The line "all" is one call of `score_clip`, which shares work between
the metrics above it. `--networks` adds the metrics whose weights are on disk, with as many threads as torch takes.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bunraku.evaluation.learned import LearnedMetrics
from bunraku.evaluation.metrics import CLIP_METRICS, METRICS, score_clip
from bunraku.evaluation.people import people_masks
from bunraku.theatre import render, sample_scene


def clip(size: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generated and true frames uint8 (F, size, size, 3) of two people, and who is where, uint8 (F, size, size)."""
    shown = render(sample_scene(0, "test", people=2), range(frames), (size, size))
    noise = np.random.default_rng(0).normal(0, 12, shown.frames.shape)
    return np.clip(shown.frames + noise, 0, 255).astype(np.uint8), shown.frames, shown.instances


def measured(run: Callable[[], object], frames: int, repeats: int) -> float:
    """Median milliseconds per frame; the first run does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds) / frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7, help="runs; the median counts")
    parser.add_argument("--networks", action="store_true", help="also the metrics whose weights are on disk")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    networks = LearnedMetrics() if options.networks else None
    rows: dict[str, dict[int, float]] = {}
    for size in options.sizes:
        generated, truth, instances = clip(size, options.frames)
        for name in (*CLIP_METRICS, "all"):
            names = None if name == "all" else [name]
            run = partial(score_clip, generated, truth, instances=instances, metrics=names)
            rows.setdefault(name, {})[size] = measured(run, len(truth), options.repeats)
        for name in networks.available if networks else ():
            scorer = LearnedMetrics([name]).scorer()
            rows.setdefault(name, {})[size] = measured(
                partial(scorer.update, {"made": generated}, truth, truth[0], people_masks(instances)), len(truth), 1
            )
    print(f"ms per frame, median of {options.repeats}, {options.frames} frames, {os.cpu_count()} cores")
    print(f"{'':>22} " + " ".join(f"{f'{size}x{size}':>10}" for size in options.sizes))
    for name, times in rows.items():
        label = METRICS[name].label if name in METRICS else name
        print(f"{label:>22} " + " ".join(f"{times[size]:>10.3f}" for size in options.sizes))
    if networks:
        for name, reason in networks.unavailable.items():
            print(f"{METRICS[name].label:>22} {reason}")
    if options.json:
        record = {"frames": options.frames, "cores": os.cpu_count(), "milliseconds_per_frame": rows}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
