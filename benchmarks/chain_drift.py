"""Drift over a long clip: windows that are denoised together against a chain of windows, beside the truth of the theatre.

python benchmarks/chain_drift.py --model mini --frames 600 --json drift.json --picture drift.png

One theatre scene as long as is asked for, its first frame the still, its poses given. Frames are scored as they come, so that memory shows what
the model keeps. Each way runs in a process of its own. Drift is the slope of a score over time, with the 95 % interval of a bootstrap
over stretches of 25 frames.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bunraku.cues.drawn import draw_conditions
from bunraku.evaluation.metrics import psnr
from bunraku.theatre import render, sample_scene
from bunraku.theatre.scene import stage
from bunraku.weights import load_pipeline

WAYS = {"windows": {"chain": 0}, "chain": {"chain": 1}}
STRETCH = 25
SEED = 3


def resident() -> float:
    """MiB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def animate(model: str, way: str, frames: int, steps: int | None) -> dict[str, Any]:
    """Scores of every frame, and memory at every step."""
    pipeline = load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    size = tuple(pipeline.config.size)
    scene = sample_scene(SEED, "test")
    still = render(scene, [0], size)
    poses = stage(scene, np.arange(frames) / float(scene.fps), size).pose
    stills, driven = draw_conditions(pipeline, still.frames[0], poses, still.pose)
    sampling = pipeline.sampling.but({"num_inference_steps": steps, **WAYS[way]})
    started, memory = time.process_time(), []

    def on_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        memory.append(round(resident(), 1))
        return tensors

    generator = torch.Generator().manual_seed(0)
    scores: dict[str, list[float]] = {"psnr": [], "psnr_character": [], "psnr_background": [], "colour": []}
    chunks = pipeline.stream(stills, driven, sampling, generator=generator, callback_on_step_end=on_step)
    for made in chunks:
        numbers = range(len(scores["psnr"]), len(scores["psnr"]) + len(made))
        truth = render(scene, list(numbers), size)
        who = truth.character_mask
        scores["psnr"] += psnr(made, truth.frames).tolist()
        scores["psnr_character"] += psnr(made, truth.frames, who).tolist()
        scores["psnr_background"] += psnr(made, truth.frames, ~who).tolist()
        shift = [np.abs((a.astype(float) - b)[m].mean(0)).mean() for a, b, m in zip(made, truth.frames, who)]
        scores["colour"] += [float(value) for value in shift]
    return {"way": way, "frames": frames, "cpu_seconds": round(time.process_time() - started, 1), "scores": scores, "memory": memory}  # fmt: skip


def slope(values: list[float]) -> tuple[float, float, float]:
    """Change per 100 frames, and its 95 % interval."""
    stretches = np.array([np.nanmean(values[i : i + STRETCH]) for i in range(0, len(values) - STRETCH + 1, STRETCH)])
    at = np.arange(len(stretches)) * STRETCH / 100
    rng = np.random.default_rng(0)

    def fitted(chosen: np.ndarray) -> float:
        return float(np.polyfit(at[chosen], stretches[chosen], 1)[0])

    drawn = [chosen for chosen in rng.integers(0, len(at), (2000, len(at))) if len(np.unique(chosen)) > 2]
    low, high = np.percentile([fitted(chosen) for chosen in drawn], (2.5, 97.5))
    return fitted(np.arange(len(at))), float(low), float(high)


def rows(run: dict[str, Any]) -> list[str]:
    """A row of the table."""
    made = [run["way"]]
    for name in ("psnr", "psnr_character", "psnr_background", "colour"):
        values = run["scores"][name]
        change, low, high = slope(values)
        first, last = np.nanmean(values[:100]), np.nanmean(values[-100:])
        made.append(f"{first:.2f} → {last:.2f}; {change:+.3f} ({low:+.3f} to {high:+.3f})")
    memory = run["memory"]
    half = len(memory) // 2
    return [*made, f"{max(memory[:half]):.0f}, {max(memory[half:]):.0f}", f"{run['cpu_seconds']:.0f}"]


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """PSNR of the character and memory over time, a line per way."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(8, 5), layout="constrained")
    for run in runs:
        values = np.array(run["scores"]["psnr_character"])
        above.plot(np.convolve(values, np.ones(STRETCH) / STRETCH, "valid"), label=run["way"])
        below.plot(np.linspace(0, 1, len(run["memory"])), run["memory"], label=run["way"])
    above.set(xlabel="frame", ylabel="PSNR of the character (dB)")
    below.set(xlabel="share of the steps", ylabel="memory of the process (MiB)", ylim=(0, None))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--steps", type=int, help="default: the model's")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="PNG of quality and memory over time")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(animate(options.model, options.child, options.frames, options.steps)))
        return

    runs = []
    table = Table(
        "way", "PSNR (dB): first and last 100 frames; per 100 frames", "of the character", "of the background",
        "colour error of the character", "memory of the halves (MiB)", "CPU seconds",
    )  # fmt: skip
    for way in WAYS:
        command = [sys.executable, __file__, "--model", options.model, "--frames", str(options.frames), "--child", way]
        command += ["--steps", str(options.steps)] if options.steps else []
        runs.append(
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        )
        table.add_row(*rows(runs[-1]))
        if options.json:
            options.json.write_text(json.dumps(runs))
    Console(width=200).print(table)
    if options.picture:
        draw(runs, options.picture)


if __name__ == "__main__":
    main()
