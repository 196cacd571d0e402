"""How many frames per second one core renders: `python benchmarks/theatre.py [--json FILE]`."""

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2

from bunraku.theatre import render, sample_scene


def frames_per_second(size: int, scenes: int, frames: int, repeats: int) -> list[float]:
    """Speed of each of `repeats` passes over `scenes` clips of `frames` frames, sampling of the scenes included."""
    speeds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for seed in range(scenes):
            render(sample_scene(seed), frames, size)
        speeds.append(scenes * frames / (time.perf_counter() - start))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--frames", type=int, default=16, help="frames per clip")
    parser.add_argument("--scenes", type=int, default=12, help="clips per pass")
    parser.add_argument("--repeats", type=int, default=5, help="passes; the median counts")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    rows = []
    print(f"{'size':>6} {'frames/s':>10} {'slowest':>10} {'fastest':>10}   (one core, {options.frames}-frame clips)")
    for size in options.sizes:
        speeds = frames_per_second(size, options.scenes, options.frames, options.repeats)
        row = {"size": size, "median": statistics.median(speeds), "slowest": min(speeds), "fastest": max(speeds)}
        rows.append(row)
        print(f"{size:>6} {row['median']:>10.0f} {row['slowest']:>10.0f} {row['fastest']:>10.0f}")
    if options.json:
        record = {
            "frames_per_clip": options.frames,
            "scenes": options.scenes,
            "repeats": options.repeats,
            "speeds": rows,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
