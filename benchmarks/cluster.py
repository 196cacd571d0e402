"""Clips per minute of `bunraku cluster --local`: without Ray, with one worker, with two; and whether the files are the same.

python benchmarks/cluster.py --model puppet-warp --clips 16 --json cluster.json

Clips are theatre scenes with given poses, each with a character of its own. The clock runs from when the first worker begins its first clip until
the last clip is written: starting Ray and the workers is told apart. The load of the machine is printed, because two workers on two cores
give what the others on the machine leave them.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bunraku.animate import AnimateOptions
from bunraku.animate.batch import animate_jobs
from bunraku.animate.jobs import Job
from bunraku.cluster import ClusterOptions, cluster_runner
from bunraku.theatre import sample_scene
from bunraku.theatre.files import write_scene
from bunraku.work import Outcome, Runner, run_here


def measure(name: str, runner: Runner, clips: list[Path], folder: Path, options: AnimateOptions) -> dict[str, Any]:
    """One run over all clips."""
    jobs = [
        Job(clip.stem, clip.with_suffix(".png"), clip.with_suffix(".cues"), folder / clip.name, options)
        for clip in clips
    ]
    ends: list[tuple[float, float]] = []

    def note(outcome: Outcome) -> None:
        assert outcome.error is None, outcome.error
        ends.append((time.perf_counter(), outcome.seconds))

    began = time.perf_counter()
    animate_jobs(jobs, on_outcome=note, run=runner)
    working = ends[-1][0] - (first := min(end - seconds for end, seconds in ends))
    return {
        "runner": name, "seconds before the first clip": round(first - began, 1), "seconds": round(working, 1),
        "clips per minute": round(60 * len(clips) / working, 2), "seconds per clip in its worker": round(sum(s for _, s in ends) / len(clips), 2),
        "load": [round(each, 1) for each in os.getloadavg()[:2]],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="puppet-warp")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options = AnimateOptions(model=arguments.model)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clips = [root / f"{number:03}.mp4" for number in range(arguments.clips)]
        for number, clip in enumerate(clips):
            write_scene(sample_scene(number, "test"), clip, arguments.frames, (arguments.size, arguments.size))
        rows = [measure("without Ray", run_here, clips, root / "alone", options)]
        for workers in arguments.workers:
            runner = cluster_runner(ClusterOptions(workers=workers))
            rows.append(measure(f"{workers} workers", runner, clips, root / str(workers), options))
            same = all(
                (root / str(workers) / clip.name).read_bytes() == (root / "alone" / clip.name).read_bytes()
                for clip in clips
            )
            rows[-1]["same bytes as without Ray"] = same
    for row in rows[1:]:
        row["times the first of the workers"] = round(row["clips per minute"] / rows[1]["clips per minute"], 2)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"arguments": vars(arguments), "rows": rows}, indent=1, default=str) + "\n"
        )
    table = Table(
        title=f"{arguments.clips} clips of {arguments.frames} frames, {arguments.size} px, {arguments.model}, {os.cpu_count()} cores"
    )
    columns = list(rows[-1])
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
