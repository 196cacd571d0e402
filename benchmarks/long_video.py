"""Memory over a long clip: one run per length, each in a process of its own, from the first step to the last written frame.

python benchmarks/long_video.py --model mini --lengths 125 250 500 1000 --json long.json --picture long.png

The clip is a theatre scene as long as is asked for; poses are given, frames are encoded into a video as `bunraku animate` does.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bunraku.cues.drawn import draw_conditions
from bunraku.media import VideoWriter
from bunraku.theatre import render, sample_scene
from bunraku.theatre.scene import stage
from bunraku.weights import load_pipeline


def resident() -> float:
    """MiB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def animate(model: str, frames: int, steps: int | None, people: int) -> dict[str, Any]:
    """Animate a clip; seconds and memory at every step and every written chunk."""
    pipeline = load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    size = tuple(pipeline.config.size)
    scene = sample_scene(0, "test", frames=frames, people=people)
    still = render(scene, [0], size)
    poses = stage(scene, torch.arange(frames).numpy() / float(scene.fps), size).pose
    started, curve = time.perf_counter(), []

    def note(what: str) -> None:
        curve.append((round(time.perf_counter() - started, 2), what, round(resident(), 1)))

    def on_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        note("step")
        return tensors

    note("start")
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoWriter(Path(folder) / "out.mp4", fps=scene.fps, size=size) as video,
    ):
        stills, driven = draw_conditions(pipeline, still.frames[0], poses, still.pose)
        sampling = pipeline.sampling.but({"num_inference_steps": steps})
        generator = torch.Generator().manual_seed(0)
        for chunk in pipeline.stream(stills, driven, sampling, generator=generator, callback_on_step_end=on_step):
            for frame in chunk:
                video.write(frame)
            note("write")
    return {"frames": frames, "seconds": curve[-1][0], "peak_mib": max(mib for *_, mib in curve), "curve": curve}


def draw(runs: list[dict[str, Any]], model: str, path: Path) -> None:
    """Memory over time, a line per length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    for run in runs:
        seconds, _, mib = zip(*run["curve"])
        axes.plot(seconds, mib, label=f"{run['frames']} frames")
    axes.set(xlabel="seconds", ylabel="memory of the process (MiB)", title=f"{model}: memory while animating")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--lengths", type=int, nargs="+", default=[125, 250, 500, 1000])
    parser.add_argument(
        "--people", type=int, default=1, help="on the stage, 1 to 3; more than one for models of multi-character"
    )
    parser.add_argument("--steps", type=int, help="default: the model's")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="PNG of memory over time")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(animate(options.model, options.child, options.steps, options.people)))
        return

    runs, table = [], Table("frames", "seconds", "frames per second", "peak memory (MiB)")
    for length in options.lengths:
        command = [
            sys.executable,
            __file__,
            "--model",
            options.model,
            "--child",
            str(length),
            "--people",
            str(options.people),
        ]
        command += ["--steps", str(options.steps)] if options.steps else []
        run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        table.add_row(f"{length}", f"{run['seconds']:.1f}", f"{length / run['seconds']:.2f}", f"{run['peak_mib']:.0f}")
        runs.append(run)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1))
    if options.picture:
        draw(runs, Path(options.model).name, options.picture)


if __name__ == "__main__":
    main()
