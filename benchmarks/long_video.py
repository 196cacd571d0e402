"""Memory over a long clip: one run per length, each in a process of its own, from the first step to the last written frame.

python benchmarks/long_video.py --model mini --lengths 125 250 500 1000 --json long.json --picture long.png

The clip is a theatre scene as long as is asked for; poses are given, frames are encoded into a video as `bunraku animate` does. With --halves each
clip is made once more by two processes, the second going on from the state that the first one left at half of the steps (with --chain: at half of
the clip), and the frames are compared.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bunraku.cues.drawn import draw_conditions
from bunraku.media import VideoWriter
from bunraku.sampling import state
from bunraku.theatre import render, sample_scene
from bunraku.theatre.scene import stage
from bunraku.weights import load_pipeline


def resident() -> float:
    """MiB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def animate(frames: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Animate a clip; seconds and memory at every step and every written chunk."""
    pipeline, people = load_pipeline(asked.model), asked.people
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
        if asked.until and step >= asked.until:
            raise KeyboardInterrupt
        return tensors

    note("start")
    digest = hashlib.blake2b(digest_size=16)
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as folder,
        VideoWriter(Path(folder) / "out.mp4", fps=scene.fps, size=size) as video,
    ):
        stills, driven = draw_conditions(pipeline, still.frames[0], poses, still.pose)
        sampling = pipeline.sampling.but({"num_inference_steps": asked.steps, "chain": asked.chain})
        generator = torch.Generator().manual_seed(0)
        chunks = pipeline.stream(
            stills, driven, sampling, generator=generator, callback_on_step_end=on_step, state=asked.state
        )
        for chunk in chunks:
            digest.update(chunk.tobytes())
            for frame in chunk:
                video.write(frame)
            note("write")
    steps = sum(what == "step" for _, what, _ in curve)
    return {
        "frames": frames, "seconds": curve[-1][0], "peak_mib": max(mib for *_, mib in curve), "steps": steps, "digest": digest.hexdigest(),
        "curve": curve,
    }  # fmt: skip


def child(length: int, asked: argparse.Namespace, *more: str) -> dict[str, Any]:
    """`animate` in a process of its own."""
    command = [sys.executable, __file__, "--model", asked.model, "--child", str(length), "--people", str(asked.people)]
    for name in ("steps", "chain"):
        command += [f"--{name}", str(getattr(asked, name))] if getattr(asked, name) is not None else []
    made = subprocess.run([*command, *more], check=True, capture_output=True, text=True)
    return json.loads(made.stdout.splitlines()[-1])


def in_halves(whole: dict[str, Any], asked: argparse.Namespace) -> str:
    """Whether the same clip in two halves is the same, and what each of them made."""
    with tempfile.TemporaryDirectory() as folder:
        kept = ["--state", f"{folder}/run.state"]
        first = child(whole["frames"], asked, *kept, "--until", str(whole["steps"] // 2))
        second = child(whole["frames"], asked, *kept)
    return f"{'the same' if second['digest'] == whole['digest'] else 'DIFFERENT'} ({first['steps'] - 1} + {second['steps']} steps)"


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
    parser.add_argument("--chain", type=int, help="frames that a window of a chain starts with; default: no chain")
    parser.add_argument("--halves", action="store_true", help="make each clip once more in two halves, and compare")
    for name, kind in (("child", int), ("until", int), ("state", Path)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        if options.until:
            state.SAVED_EVERY = 0
        print(json.dumps(animate(options.child, options)))
        return

    runs, table = [], Table("frames", "seconds", "frames per second", "peak memory (MiB)", "in two halves")
    for length in options.lengths:
        run = child(length, options)
        halves = in_halves(run, options) if options.halves else ""
        table.add_row(
            f"{length}", f"{run['seconds']:.1f}", f"{length / run['seconds']:.2f}", f"{run['peak_mib']:.0f}", halves
        )
        runs.append(run)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1))
    if options.picture:
        draw(runs, Path(options.model).name, options.picture)


if __name__ == "__main__":
    main()
