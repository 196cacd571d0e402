"""The paper's size end to end with random weights: processor seconds beside the floor of its arithmetic, and peak memory.

The floor of a step is its floating-point operations divided by the rate of a large matrix product that is measured beside it. The last
step is counted and not timed.

OMP_NUM_THREADS=1 python benchmarks/sd15.py --size 256 --frames 8 --steps 3 --json sd15.json
OMP_NUM_THREADS=1 python benchmarks/sd15.py --write runs/sd15     # 10 GiB
OMP_NUM_THREADS=1 python benchmarks/sd15.py --model runs/sd15 --low-memory
"""

import argparse
import json
import math
import resource
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from bunraku.cues.drawn import draw_conditions
from bunraku.machine import keep_freed_memory
from bunraku.nets.attention import sinusoid
from bunraku.nets.products import fast_products
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import get_recipe
from bunraku.theatre import render, sample_scene
from bunraku.weights import load_pipeline
from bunraku.weights.export import save_pipeline

SD15_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}


def filled(net: nn.Module, dtype: torch.dtype, device: str = "cpu") -> nn.Module:
    """A network from the meta device with random weights, small enough that nothing overflows; norms are 1 and 0."""
    net = nn.Module.to(net.to_empty(device=device), dtype)
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5 * parameter[0].numel() ** -0.5)
        else:
            nn.init.constant_(parameter, float(name.endswith("weight")))
    for name, buffer in net.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1])[None])
        elif name.endswith("positions"):
            buffer.copy_(sinusoid(*buffer.shape))
    return net.eval()


def fused_attention(query: Any, key: Any, value: Any, *more: Any, **named: Any) -> int:
    """Operations of the CPU's fused attention, which torch's counter does not know."""
    return sdpa_flop_count(query, key, value)


def linear_layer(rows: Any, weight: Any, *more: Any, **named: Any) -> int:
    """Operations of a linear layer that oneDNN computes, from the shapes (..., K) and (N, K)."""
    return 2 * math.prod(rows) * int(weight[0])


COUNTED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: fused_attention,
    torch.ops.mkldnn._linear_pointwise: linear_layer,
}


def gemm_rate(dtype: torch.dtype, side: int = 2048, turns: int = 3) -> float:
    """Operations a processor second of a square matrix product by the faster of the libraries, the best of some turns."""
    a = torch.randn(side, side).to(dtype)
    seconds = []
    with torch.no_grad(), fast_products():
        for _ in range(turns + 1):
            started = time.process_time()
            nn.functional.linear(a, a)
            seconds.append(time.process_time() - started)
    return 2 * side**3 / min(seconds[1:])


def peak_gib() -> float:
    """Most resident memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def with_random_weights(side: int, dtype: torch.dtype, device: str = "cpu") -> AnimationPipeline:
    """Animate Anyone at the paper's size."""
    size = get_recipe("animate-anyone").size("sd15")
    with init_empty_weights(include_buffers=True):
        animator, vae = size.build(True, size.options), AutoencoderKL(**SD15_VAE)
    parts: dict[str, Any] = {name: filled(part, dtype, device) for name, part in animator.parts().items()}
    return AnimationPipeline(
        vae=filled(vae, dtype, device), scheduler=DDIMScheduler(**size.scheduler), size=(side, side),
        defaults=size.sampling.stored(), styles=dict(size.styles), **parts,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument(
        "--steps", type=int, default=3, help="at least 3: the first has the conditions, the last is counted"
    )
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--model", type=Path, help="open this folder instead of making random weights")
    parser.add_argument("--low-memory", action="store_true", help="leave the weights of --model on disk")
    parser.add_argument("--write", type=Path, help="write the model to this folder, and do nothing else")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.steps < 3:
        parser.error("--steps must be at least 3")
    if not options.low_memory:
        keep_freed_memory()
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    started = time.process_time()
    pipeline = (
        load_pipeline(options.model, dtype=dtype, device="cpu", low_memory=options.low_memory)
        if options.model
        else with_random_weights(options.size, dtype)
    )
    if options.write:
        save_pipeline(pipeline, options.write, dtype=dtype)
        return
    seconds = {"build": time.process_time() - started}
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    parameters = sum(p.numel() for part in networks for p in part.parameters())

    scene = render(sample_scene(3, "test"), options.frames + 1, options.size)
    marks: list[tuple[float, float]] = []
    rates: list[float] = []
    counter = FlopCounterMode(display=False, custom_mapping=COUNTED)

    def on_step(_pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        ended = time.process_time()
        if step == options.steps - 1:
            counter.__exit__(None, None, None)
        else:
            rates.append(gemm_rate(dtype))
        if step == options.steps - 2:
            counter.__enter__()
        marks.append((ended, time.process_time()))
        return tensors

    wall = time.perf_counter()
    started = time.process_time()
    stills, driven = draw_conditions(pipeline, scene.frames[0], scene.pose[1:])
    sampling = pipeline.sampling.but({"num_inference_steps": options.steps, "guidance_scale": options.guidance})
    generator = torch.Generator().manual_seed(0)
    frames = pipeline(stills, driven, sampling, generator=generator, callback_on_step_end=on_step).frames
    ended = time.process_time()
    timed = [after[0] - before[1] for before, after in pairwise(marks[:-1])]
    step, operations = float(np.median(timed)), counter.get_total_flops()
    floor = operations / float(np.median(rates))
    seconds |= {
        "conditions and first step": marks[0][0] - started,
        "a further step": step,
        "floor of a step": floor,
        "decode": ended - marks[-1][1],
    }
    record = {
        "settings": vars(options), "processor": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
        "parameters": parameters, "processor seconds": seconds, "wall seconds": time.perf_counter() - wall,
        "operations of a step": operations, "matrix product, operations per second": rates, "floor / step": floor / step,
        "peak memory GiB": peak_gib(), "frames": list(frames.shape), "deviation of the frames": float(frames.std()),
    }  # fmt: skip
    print(json.dumps(record, indent=1, default=str))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, default=str))


if __name__ == "__main__":
    main()
