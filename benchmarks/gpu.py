"""The paper's size on a GPU with random weights, as it is and compiled: seconds and memory; and mini's frames against the CPU's.

python benchmarks/gpu.py --size 512 --frames 24 --json gpu.json
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sd15 import with_random_weights
from torch.utils.flop_counter import FlopCounterMode

from bunraku.cues.drawn import draw_conditions
from bunraku.pipeline import AnimationPipeline
from bunraku.theatre import render, sample_scene
from bunraku.weights import load_pipeline

MINI = Path(str(files("bunraku") / "assets" / "mini"))


def synchronised() -> float:
    """Seconds, when the GPU has done what it was told."""
    torch.cuda.synchronize()
    return time.perf_counter()


def frames_of(
    pipeline: AnimationPipeline, side: int, frames: int, steps: int, guidance: float, mark: Callable[[], None]
) -> np.ndarray:
    """A theatre clip re-enacted; `mark` is called after every step of sampling."""
    pipeline.set_progress_bar_config(disable=True)
    scene = render(sample_scene(3, "test"), frames + 1, side)
    stills, driven = draw_conditions(pipeline, scene.frames[0], scene.pose[1:])
    sampling = pipeline.sampling.but({"num_inference_steps": steps, "guidance_scale": guidance})

    def on_step(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        mark()
        return tensors

    generator = torch.Generator().manual_seed(0)
    return np.asarray(pipeline(stills, driven, sampling, generator=generator, callback_on_step_end=on_step).frames)


def measured(
    pipeline: AnimationPipeline, side: int, frames: int, steps: int, guidance: float
) -> tuple[dict[str, float], np.ndarray]:
    """Seconds of the first step with all before it, of a further one (the median), and of what follows; GiB at the most."""
    torch.cuda.reset_peak_memory_stats()
    marks = [synchronised()]
    made = frames_of(pipeline, side, frames, steps, guidance, lambda: marks.append(synchronised()))
    ended = synchronised()
    record = {
        "conditions and first step": marks[1] - marks[0],
        "a further step": float(np.median(np.diff(marks[1:]))),
        "decode": ended - marks[-1],
        "peak memory GiB": torch.cuda.max_memory_allocated() / 2**30,
    }
    return record, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    run = options.size, options.frames, options.steps, options.guidance
    record: dict[str, Any] = {
        "settings": vars(options),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }

    def tell(name: str, values: Any) -> None:
        record[name] = values
        print(name, json.dumps(values, default=str), flush=True)
        if options.json:
            options.json.write_text(json.dumps(record, indent=1, default=str))

    made = [
        frames_of(load_pipeline(MINI, dtype=torch.float32, device=device), 128, 16, 8, 1.0, lambda: None)
        for device in ("cpu", "cuda")
    ]
    apart = np.abs(made[0].astype(int) - made[1])
    tell("mini, levels between CPU and GPU", {"largest": int(apart.max()), "mean": float(apart.mean())})

    torch.manual_seed(0)
    pipeline = with_random_weights(options.size, torch.float16, "cuda")
    with FlopCounterMode(display=False) as counter:
        frames_of(pipeline, options.size, options.frames, 1, options.guidance, lambda: None)
    tell("TFLOP of conditions, a step and decoding", counter.get_total_flops() / 1e12)
    measured(pipeline, *run)
    plain, shown = measured(pipeline, *run)
    tell("float16", plain)
    pipeline.denoiser.compile()
    first, _ = measured(pipeline, *run)
    tell("float16, compiled, first clip", first)
    compiled, again = measured(pipeline, *run)
    tell("float16, compiled, second clip", compiled)
    apart = np.abs(shown.astype(int) - again)
    tell("levels between compiled and not", {"largest": int(apart.max()), "mean": float(apart.mean())})
    del pipeline
    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
