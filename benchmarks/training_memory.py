"""What a training step of the paper's first stage keeps in memory, counted without computing anything: `python benchmarks/training_memory.py`.

The networks have SD1.5's size and lie on torch's meta device. Counted are parameters, gradients, the optimiser's numbers, and what the step
keeps for the way back (float32; under bf16 half of it), with gradient checkpointing and without.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from bunraku.nets.ports import Ports
from bunraku.recipes import get_recipe

GIB = 2**30


def kept_for_the_way_back(animator: Any, side: int, checkpointing: bool) -> float:
    """GiB of float32 tensors that one picture of side x side pixels leaves behind, each counted once, parameters not."""
    for net in (animator.denoiser, animator.reference_net):
        (net.enable_gradient_checkpointing if checkpointing else net.disable_gradient_checkpointing)()
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            seen[id(tensor.untyped_storage())] = tensor
        return tensor

    h, token, zero = side // 8, torch.zeros(1, 1, 768, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        reference = animator.reference_tokens(torch.zeros(1, 1, 4, h, h, device="meta"), token, zero)
        add = animator.pose_guider(torch.zeros(1, 3, 1, side, side, device="meta"))
        ports = Ports(token, add=add, reference=reference)
        animator.denoiser(torch.zeros(1, 4, 1, h, h, device="meta"), zero, ports)
    return sum(t.numel() * t.element_size() for t in seen.values()) / GIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=[512, 768])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    size = get_recipe("animate-anyone").size("sd15")
    with init_empty_weights(include_buffers=True):
        animator: Any = size.build(False, size.options).to("meta").train()
    animator.image_encoder.requires_grad_(False)
    learning = [p for name in size.stages[1].trains for p in animator.parts()[name].parameters()]
    count = sum(p.numel() for p in learning)
    factored = sum(p.numel() if p.ndim < 2 else p.shape[:-1].numel() + p[..., 0, :].numel() for p in learning)
    found = {
        "parameters M": count / 1e6, "parameters GiB": 4 * count / GIB, "gradients GiB": 4 * count / GIB,
        "their copies in bf16 GiB": 2 * count / GIB, "AdamW GiB": 8 * count / GIB, "Adafactor GiB": 4 * factored / GIB,
        "image encoder GiB": 4 * sum(p.numel() for p in animator.image_encoder.parameters()) / GIB,
    } | {
        f"kept at {side}, {'with' if checkpointing else 'without'} checkpointing GiB": kept_for_the_way_back(animator, side, checkpointing)
        for side in options.sides
        for checkpointing in (True, False)
    }  # fmt: skip
    print(json.dumps({name: round(value, 2) for name, value in found.items()}, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
