"""Frames per second of reading and writing video: `python benchmarks/media.py [--video FILE] [--json FILE]`.

Without --video, the frames are a drifting gradient with a textured disc in it. Each format is written, then read back.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, VideoWriter

FORMATS = ("a.mp4", "a.webm", "a.gif", "a.webp", "frames")


def scene(count: int, height: int, width: int) -> np.ndarray:
    """uint8 (count, height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    texture = np.random.default_rng(0).integers(0, 255, (height, width, 3))
    frames = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        phase = index / 12
        frames[index] = np.stack([127 + 100 * np.sin(x / 90 + phase), 255 * y / height, 255 * x / width], -1)
        centre = width * (0.5 + 0.3 * np.sin(phase)), height * 0.5
        disc = np.hypot(x - centre[0], y - centre[1]) < height / 5
        frames[index][disc] = texture[disc]
    return frames


def written(path: Path, frames: np.ndarray) -> float:
    start = time.perf_counter()
    with VideoWriter(path, fps=24, size=frames.shape[1:3]) as writer:
        for frame in frames:
            writer.write(frame)
    return len(frames) / (time.perf_counter() - start)


def read(path: Path) -> float | None:
    """None for the formats that VideoReader does not take."""
    start = time.perf_counter()
    try:
        return sum(1 for _ in VideoReader(path)) / (time.perf_counter() - start)
    except BunrakuError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[512, 512], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3, help="passes; the median counts")
    parser.add_argument("--video", type=Path, help="real frames instead; --size is ignored")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()

    shown = VideoReader(options.video, stop=options.frames) if options.video else scene(options.frames, *options.size)
    frames = np.stack(list(shown))
    count, height, width, _ = frames.shape
    print(f"{count} frames of {height}x{width}, {os.cpu_count()} cores; frames/s, median of {options.repeats}")
    print(f"{'format':>8} {'write':>8} {'read':>8} {'KB':>8}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = Path(folder) / name
            write = statistics.median(written(path, frames) for _ in range(options.repeats))
            speeds = [speed for _ in range(options.repeats) if (speed := read(path)) is not None]
            size = sum(f.stat().st_size for f in (path.iterdir() if path.is_dir() else [path])) / 1000
            row = {
                "format": name,
                "write": write,
                "read": statistics.median(speeds) if speeds else None,
                "kilobytes": size,
            }
            rows.append(row)
            shown = f"{row['read']:>8.0f}" if speeds else f"{'-':>8}"
            print(f"{path.suffix or 'png':>8} {write:>8.0f} {shown} {size:>8.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB, of which the frames {frames.nbytes / 2**20:.0f} MiB")
    if options.json:
        record = {"frames": count, "size": [height, width], "peak_mib": peak, "speeds": rows}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
