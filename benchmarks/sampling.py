"""Speed and memory of the pipeline: frames per second of a short clip, seconds per part, peak memory by clip length.

python benchmarks/sampling.py --frames 16 --steps 20 --lengths 64 300 --json sampling.json
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bunraku.cues.drawn import draw_conditions
from bunraku.recipes.recipe import with_options
from bunraku.theatre import render, sample_scene
from bunraku.weights import load_pipeline


def animate(model: str, frames: int, steps: int, repeats: int, reference_timestep: str | None = None) -> list[float]:
    """Seconds of each run (after one that is not counted); frames are dropped as they come."""
    pipeline = load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    shown = render(sample_scene(0, "test"), range(frames), tuple(pipeline.config.size))
    if reference_timestep:
        pipeline.animator.options = with_options(pipeline.animator.options, {"reference_timestep": reference_timestep})
    stills, driven = draw_conditions(pipeline, shown.frames[0], shown.pose, shown.pose[:1])
    sampling = pipeline.sampling.but({"num_inference_steps": steps})
    seconds = []
    for _ in range(repeats + (repeats > 1)):
        started = time.perf_counter()
        for _part in pipeline.stream(stills, driven, sampling, generator=torch.Generator().manual_seed(0)):
            pass
        seconds.append(time.perf_counter() - started)
    return seconds[1:] if repeats > 1 else seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--lengths", type=int, nargs="*", default=[64, 300], help="clip lengths whose peak memory is measured"
    )
    parser.add_argument("--memory-steps", type=int, default=2)
    parser.add_argument(
        "--timesteps", action="store_true", help="compare ReferenceNet at every timestep with once at 0 (TCAN)"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:  # a process of its own: its peak memory is this length's alone
        animate(options.model, options.child, options.memory_steps, 1)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return

    seconds = animate(options.model, options.frames, options.steps, options.repeats)
    median = statistics.median(seconds)
    result = {
        "seconds": seconds,
        "median": median,
        "frames_per_second": options.frames / median,
        "threads": torch.get_num_threads(),
    }
    table = Table("measure", "value")
    table.add_row(f"{options.frames} frames, {options.steps} steps, median of {options.repeats}", f"{median:.2f} s")
    table.add_row("frames per second", f"{options.frames / median:.2f}")
    if options.timesteps:
        rounds: dict[str, list[float]] = {"zero": [], "every": []}
        for _ in range(options.repeats):  # in turns: the machine's load changes over a run
            for told, times in rounds.items():
                times += animate(options.model, options.frames, options.steps, 1, reference_timestep=told)
        result |= {f"reference_{told}": times for told, times in rounds.items()}
        ratio = statistics.median(b / a for a, b in zip(rounds["zero"], rounds["every"], strict=True))
        for told, times in rounds.items():
            table.add_row(f"ReferenceNet's timestep: {told}", f"{statistics.median(times):.2f} s")
        table.add_row("every timestep over once", f"{ratio:.3f}")
    for length in options.lengths:
        command = [
            sys.executable,
            __file__,
            "--model",
            options.model,
            "--child",
            str(length),
            "--memory-steps",
            str(options.memory_steps),
        ]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) / 1024
        result[f"peak_mib_{length}"] = peak
        table.add_row(f"peak memory, {length} frames", f"{peak:.0f} MiB")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
