"""How far the options with fewer evaluations lead away from all of them at the paper's size, and what they save; random weights.

All start from the same noise. Random weights make no pictures, so this says how far latents move and not how they look: the price in
quality is measured with `bunraku evaluate` on weights that were trained (docs/speed.md).

OMP_NUM_THREADS=1 python benchmarks/fewer_evaluations.py --steps 10 --json fewer.json
"""

import argparse
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from sd15 import with_random_weights

from bunraku.cues.drawn import draw_conditions
from bunraku.machine import keep_freed_memory
from bunraku.theatre import render, sample_scene

OPTIONS: dict[str, dict[str, Any]] = {
    "--guidance-interval 0:0.6": {"guidance_interval": (0.0, 0.6)},
    "--deep-cache 2": {"deep_cache": 2},
    "--quality balanced": {"quality": "balanced"},
    "--quality fast": {"quality": "fast"},
}
FEWER = "--scheduler dpm++ --steps"
"""Half of the steps, by a solver that needs fewer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    pipeline = with_random_weights(options.size, torch.float32)
    best = pipeline.sampling.but({"num_inference_steps": options.steps, "guidance_scale": options.guidance})
    scene = render(sample_scene(3, "test"), options.frames + 1, options.size)
    stills, driven = draw_conditions(pipeline, scene.frames[0], scene.pose[1:])

    def latents(asked: dict[str, Any]) -> tuple[torch.Tensor, float]:
        """The last latents, and processor seconds of the steps behind the first, which also encodes the conditions."""
        seen: list[tuple[float, torch.Tensor]] = []

        def on_step(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            seen.append((time.process_time(), tensors["latents"]))
            if len(seen) == steps:
                raise Enough
            return tensors

        sampling = best.asked(**asked)
        steps = sampling.num_inference_steps
        with suppress(Enough):
            pipeline(stills, driven, sampling, generator=torch.Generator().manual_seed(0), callback_on_step_end=on_step)
        return seen[-1][1].float(), (seen[-1][0] - seen[0][0]) / max(1, steps - 1) * steps

    truth, whole = latents({})
    rows = [compared("all", truth, truth, whole, whole)]
    for name, asked in OPTIONS.items():
        made, seconds = latents(asked)
        rows.append(compared(name, made, truth, seconds, whole))
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    made, seconds = latents({"steps": options.steps // 2})
    rows.append(compared(f"{FEWER} {options.steps // 2}", made, truth, seconds, whole))
    if options.json:
        options.json.write_text(json.dumps({"settings": vars(options), "rows": rows}, indent=1, default=str))


class Enough(Exception):
    """The last step is done; its latents need not be decoded."""


def compared(name: str, made: torch.Tensor, truth: torch.Tensor, seconds: float, whole: float) -> dict[str, Any]:
    row = {
        "name": name, "processor seconds": seconds, "share": seconds / whole, "largest difference": float((made - truth).abs().max()),
        "difference / spread": float((made - truth).std() / truth.std()), "largest": float(truth.abs().max()),
    }  # fmt: skip
    print(
        f"{name:<28} {seconds:7.1f} s {row['share']:5.2f}  largest difference {row['largest difference']:.3g} of {row['largest']:.3g}, "
        f"{row['difference / spread']:.3g} of the spread", flush=True,
    )  # fmt: skip
    return row


if __name__ == "__main__":
    main()
