"""Ports: everything that enters the denoiser beside noise and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from bunraku.nets.attention import Look, Tokens

SHARED = ("token", "reference", "reference_weight")
"""Ports that are the same for every window of a clip: one row serves all of them."""


@dataclass(frozen=True)
class Ports:
    """The conditions of B clips of F frames as the denoiser takes them; a closed port is None or empty.

    Attributes:
        token: context of the cross-attention (B, N, D), or with B' rows that each serve B / B' consecutive clips; zeros where
            unconditional.
        noise: (B, C, F, h, w), added to the noisy latents: guiders as Animate Anyone prints them.
        latents: (B, C', F, h, w), joined to the noisy latents before conv_in (environment, cut-out).
        add: (B, C0, F, h, w), sum of the guiders' maps, added after conv_in.
        residuals: a ControlNet's maps (B * F, C, h, w), one per skip and one for the middle.
        reference: keys and values of reference tokens by transformer block, B' rows as of `token`.
        reference_weight: how many times as much as usual the reference tokens weigh in the attention (`Attention.forward`).
        blend: features of objects (B * F, C, h, w) by transformer block, blended in behind its spatial attention.
        temperature: (B, 1, H, W) >= 1, divides the temporal attention's logits (TCAN Eq. 5).
        looks: where the blocks take down, by their names, how they look at the reference. None: nobody asks.
        deep: where the denoiser takes down what its deep levels give to the last one; what it finds there it does not compute again. None: it
            computes everything. Through these two something comes out.
    """

    token: Tensor
    noise: Tensor | None = None
    latents: Tensor | None = None
    add: Tensor | None = None
    residuals: tuple[Tensor, ...] = ()
    reference: Mapping[str, Tokens] = field(default_factory=dict)
    reference_weight: float = 1.0
    blend: Mapping[str, Tensor] = field(default_factory=dict)
    temperature: Tensor | None = None
    looks: dict[str, Look] | None = None
    deep: dict[str, Tensor] | None = None


def stack_ports(parts: Sequence[Ports]) -> Ports:
    """The ports of several windows of one clip as one batch; what all windows share is taken from the first."""
    if len(parts) == 1:
        return parts[0]
    stacked = {f.name: _stack([getattr(part, f.name) for part in parts]) for f in fields(Ports) if f.name not in SHARED}
    return Ports(**{name: getattr(parts[0], name) for name in SHARED}, **stacked)


def _stack(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, tuple):
        return tuple(torch.cat(maps) for maps in zip(*values))
    if isinstance(first, Mapping):
        return {name: torch.cat([value[name] for value in values]) for name in first}
    return None
