"""The paper's size end to end with random weights: that it runs on this machine, how long it takes, and its peak memory.

python benchmarks/sd15.py --size 256 --frames 8 --steps 2 --json sd15.json
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler
from torch import nn

from bunraku.cues.drawn import draw_conditions
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import get_recipe
from bunraku.theatre import render, sample_scene

SD15_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}


def filled(net: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A network from the meta device with random weights, small enough that nothing overflows; norms are 1 and 0."""
    net = nn.Module.to(net.to_empty(device="cpu"), dtype)
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5 * parameter[0].numel() ** -0.5)
        else:
            nn.init.constant_(parameter, float(name.endswith("weight")))
    for name, buffer in net.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1])[None])
    return net.eval()


def peak_gib() -> float:
    """Most resident memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)

    started = time.perf_counter()
    size = get_recipe("animate-anyone").size("sd15")
    with init_empty_weights(include_buffers=True):
        animator, vae = size.build(True, size.options), AutoencoderKL(**SD15_VAE)
    parts = {name: filled(part, dtype) for name, part in animator.parts().items()}
    pipeline = AnimationPipeline(
        vae=filled(vae, dtype), scheduler=DDIMScheduler(**size.scheduler), size=(options.size, options.size),
        defaults=size.sampling.stored(), styles=dict(size.styles), **parts,
    )  # fmt: skip
    seconds = {"build": time.perf_counter() - started}
    parameters = sum(p.numel() for part in (*parts.values(), pipeline.vae) for p in part.parameters())

    scene = render(sample_scene(3, "test"), options.frames + 1, options.size)
    marks: list[float] = []

    def on_step(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        marks.append(time.perf_counter())
        return tensors

    started = time.perf_counter()
    stills, driven = draw_conditions(pipeline, scene.frames[0], scene.pose[1:])
    sampling = pipeline.sampling.but({"num_inference_steps": options.steps, "guidance_scale": options.guidance})
    generator = torch.Generator().manual_seed(0)
    frames = pipeline(stills, driven, sampling, generator=generator, callback_on_step_end=on_step).frames
    ended = time.perf_counter()
    seconds |= {
        "conditions and first step": marks[0] - started,
        "a further step": float(np.mean(np.diff(marks))) if len(marks) > 1 else 0.0,
        "decode": ended - marks[-1],
        "all": ended - started,
    }
    record = {
        "settings": vars(options), "parameters": parameters, "seconds": seconds, "peak memory GiB": peak_gib(),
        "frames": list(frames.shape), "deviation of the frames": float(frames.std()),
    }  # fmt: skip
    print(json.dumps(record, indent=1, default=str))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, default=str))


if __name__ == "__main__":
    main()
