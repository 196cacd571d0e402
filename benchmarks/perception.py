"""Cost of the pose detectors: CPU time per frame and person, and memory, of each backend on a video or a rendered theatre clip.

    python benchmarks/perception.py [VIDEO] [--frames 60] [--people 1] [--json out.json]

A backend that cannot run here is listed with the reason. Frames are decoded beforehand and the first is not timed. They are looked at
twice: "growth" is what the second time adds to the peak of memory.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bunraku.errors import BunrakuError
from bunraku.media import VideoReader
from bunraku.perception.detector import DetectorName, create_pose_detector
from bunraku.theatre.scene import render, sample_scene

BACKENDS: tuple[DetectorName, ...] = ("mediapipe", "dwpose")
THEATRE_SCENE = 4  # a puppet that MediaPipe takes for a person: without one there would be less to compute


def measure(backend: DetectorName, frames: np.ndarray, people: int, device: str | None, models: Path | None) -> dict:
    """One row of the table: speed, and the share of frames in which somebody, a face and a hand were found."""
    try:
        detector = create_pose_detector(backend, max_people=people, device=device, models=models)
    except BunrakuError as error:
        return {"backend": backend, "error": str(error)}
    detector(frames[0])
    wall, cpu = time.perf_counter(), time.process_time()
    found = [detector(frame) for frame in frames]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for frame in frames:
        detector(frame)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    detector.close()
    seen = sum(len(people) for people in found)
    return {
        "backend": backend,
        "provider": detector.provider,
        "frames_per_second": len(frames) / wall,
        "cpu_ms_per_frame": 1000 * cpu / len(frames),
        "cpu_ms_per_person": 1000 * cpu / seen if seen else float("nan"),
        "people_per_frame": seen / len(frames),
        "peak_mb": peak / 1024,
        "growth_mb": growth / 1024,
        "faces": float(np.mean([(people.scores[:, 24:92] > 0.3).any() for people in found])),
        "hands": float(np.mean([(people.scores[:, 92:] > 0.3).any() for people in found])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path, help="default: a rendered theatre clip of 512x512")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--device")
    parser.add_argument("--models", type=Path, help="folder of DWPose's weights")
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()

    if args.video:
        frames = np.stack(list(VideoReader(args.video, stop=args.frames)))
    else:
        frames = render(sample_scene(THEATRE_SCENE), args.frames, 512).frames
    rows = [measure(backend, frames, args.people, args.device, args.models) for backend in BACKENDS]

    title = (
        f"{args.video or f'theatre scene {THEATRE_SCENE}'}: {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}"
    )
    table = Table(
        "backend",
        "provider",
        "frames/s",
        "CPU ms/frame",
        "CPU ms/person",
        "people",
        "face",
        "hand",
        "peak MB",
        "growth MB",
        title=title,
    )
    console = Console()
    for row in rows:
        if "error" in row:
            console.print(f"{row['backend']}: {row['error']}")
        else:
            table.add_row(
                row["backend"],
                row["provider"],
                f"{row['frames_per_second']:.1f}",
                f"{row['cpu_ms_per_frame']:.0f}",
                f"{row['cpu_ms_per_person']:.0f}",
                f"{row['people_per_frame']:.2f}",
                f"{row['faces']:.0%}",
                f"{row['hands']:.0%}",
                f"{row['peak_mb']:.0f}",
                f"{row['growth_mb']:.1f}",
            )
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps({"title": title, "people": args.people, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
