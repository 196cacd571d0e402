"""How many frames per second one core renders, and whether the benchmark's clips are what they should be.

python benchmarks/theatre.py [--json FILE]              speed of single characters by size, and of every split of theatre-1
python benchmarks/theatre.py --verify [--clips 8]       compare clips with their recorded hashes; exit code 1 if one differs
python benchmarks/theatre.py --record FILE              hash all clips, for a new version
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import cv2

from bunraku.evaluation.theatre_benchmark import (
    CLIPS,
    SIZES,
    SPLITS,
    VERSION,
    benchmark_clip,
    clip_hash,
    recorded_hashes,
)
from bunraku.theatre import render, sample_scene


def scene_speeds(size: int, scenes: int, frames: int, repeats: int) -> list[float]:
    """Frames per processor second of `repeats` passes over `scenes` clips of one character, sampling of the scenes included."""
    speeds = []
    for _ in range(repeats):
        start = time.process_time()
        for seed in range(scenes):
            render(sample_scene(seed), frames, size)
        speeds.append(scenes * frames / (time.process_time() - start))
    return speeds


def split_speeds(split: str, size: int, clips: int, repeats: int) -> list[float]:
    """Driven frames per processor second of `repeats` passes over `clips` benchmark clips; reference and driver are rendered as well."""
    speeds = []
    for _ in range(repeats):
        start = time.process_time()
        frames = sum(len(benchmark_clip(split, index, size).truth) for index in range(clips))
        speeds.append(frames / (time.process_time() - start))
    return speeds


def report(name: str, size: int, speeds: list[float]) -> dict[str, object]:
    row = {
        "name": name,
        "size": size,
        "median": statistics.median(speeds),
        "slowest": min(speeds),
        "fastest": max(speeds),
    }
    print(f"{name:<14} {size:>5} {row['median']:>10.0f} {row['slowest']:>10.0f} {row['fastest']:>10.0f}", flush=True)
    return row


def hashes(clips: int) -> dict[str, dict[str, list[str]]]:
    return {
        split: {str(size): [clip_hash(benchmark_clip(split, index, size)) for index in range(clips)] for size in SIZES}
        for split in SPLITS
    }


def verify(clips: int) -> int:
    """Print the clips whose hash is another than the recorded; how many."""
    wrong = []
    for split, sizes in hashes(clips).items():
        for size, found in sizes.items():
            recorded = recorded_hashes(split, int(size))
            wrong += [f"{split}/{i:03d} at {size}" for i, name in enumerate(found) if name != recorded[i]]
    print(f"{VERSION}: {len(SPLITS) * len(SIZES) * clips} clips, {len(wrong)} differ", *wrong, sep="\n  ")
    return len(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512], help="of single characters")
    parser.add_argument("--frames", type=int, default=16, help="frames per clip of single characters")
    parser.add_argument("--scenes", type=int, default=12, help="clips of single characters per pass")
    parser.add_argument("--repeats", type=int, default=5, help="passes; the median counts")
    parser.add_argument("--clips", type=int, help="clips per split (speed: 6, verify: all)")
    parser.add_argument("--verify", action="store_true", help="compare clips with their recorded hashes")
    parser.add_argument("--record", type=Path, help="write the hashes of all clips to this file")
    parser.add_argument("--json", type=Path, help="also write the speeds to this file")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    if options.verify:
        sys.exit(1 if verify(options.clips or CLIPS) else 0)
    if options.record:
        lines = [
            f'"{split}": {{\n' + ",\n".join(f' "{size}": {json.dumps(found)}' for size, found in sizes.items()) + "\n}"
            for split, sizes in hashes(CLIPS).items()
        ]
        options.record.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    print(f"{'frames/s, one core':<14} {'size':>1} {'median':>10} {'slowest':>10} {'fastest':>10}")
    rows = [
        report("one character", size, scene_speeds(size, options.scenes, options.frames, options.repeats))
        for size in options.sizes
    ]
    rows += [
        report(split, size, split_speeds(split, size, options.clips or 6, options.repeats))
        for split in SPLITS
        for size in SIZES
    ]
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
