"""Attention: one module for self, reference and cross-attention in space, and self-attention in time."""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

Tokens = tuple[Tensor, Tensor]
"""Projected keys and values, each (B, heads, N, head_dim)."""


class Look(NamedTuple):
    """How the tokens of one block look at the reference's.

    Attributes:
        logits: (B, heads, N, M).
        grid: (h, w) of the N tokens, and of the reference's M, which are those of one or several pictures.
    """

    logits: Tensor
    grid: tuple[int, int]


EXPLICIT_LOGITS = 1 << 18
"""Up to this many logits per head a plain softmax beats the fused CPU kernels where there are gradients."""


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(Q Kᵀ / sqrt(d) + bias) V, shapes (B, heads, N, d), (B, heads, M, d) -> (B, heads, N, d); bias (M,)."""
    if query.is_cpu and torch.is_grad_enabled() and query.shape[-2] * key.shape[-2] <= EXPLICIT_LOGITS:
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return (logits if bias is None else logits + bias).softmax(-1) @ value
    mask = None if bias is None else bias.expand(1, 1, query.shape[-2], -1)
    return F.scaled_dot_product_attention(query, key, value, mask)


class Attention(nn.Module):
    """Multi-head attention with diffusers' parameter names (`to_q`, `to_k`, `to_v` without bias, `to_out.0`).

    Args:
        channels: width of the queries and of the output.
        heads: number of heads; divides `channels`.
        context_channels: width of keys and values, `channels` if None.
    """

    def __init__(self, channels: int, heads: int, context_channels: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels or channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels or channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def constant(self, context: Tensor, batch: int) -> Tensor:
        """What any query gets from one context token (B', 1, D), whose softmax weight is 1: (batch, 1, C)."""
        return _spread(self.to_out[0](self.to_v(context)), batch)

    def split(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, "b n (h d) -> b h n d", h=self.heads)

    def project(self, tokens: Tensor, positions: Tensor | None = None) -> Tokens:
        """Keys and values of `tokens` (B, N, C); `positions` (N, C) are added for the keys only."""
        keyed = tokens if positions is None else tokens + positions
        return self.split(self.to_k(keyed)), self.split(self.to_v(tokens))

    def forward(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        extra: Tokens | None = None,
        weight: float = 1.0,
        temperature: Tensor | None = None,
    ) -> Tensor:
        """Attend from `tokens` to `context`, or to themselves and `extra`.

        Args:
            tokens: (B, N, C).
            context: (B', M, D) with B' dividing B (each serves B / B' consecutive rows), or None for self-attention.
                One context token is a constant, see `constant`.
            positions: (N, C), added to queries and keys, not to values.
            extra: further keys and values, B' rows as above. R times as many as there are tokens (the reference in R pictures) weigh as
                much as N together, so that the same picture given twice is as if it were given once (a choice).
            weight: how many times as much as that they weigh; 0: not at all, 2: as if each were there twice.
            temperature: (B, 1, 1), divides the logits (TCAN Eq. 5; done on the queries so that fused kernels still run).

        Returns:
            (B, N, C); (B, 1, C) for a single context token.
        """
        if context is not None and context.shape[1] == 1:
            return self.constant(context, tokens.shape[0])
        queries = self.queries(tokens, positions)
        if temperature is not None:
            queries = queries / temperature[..., None]
        key, value = self.project(tokens, positions) if context is None else self.project(context)
        if context is not None:
            key, value = _spread(key, tokens.shape[0]), _spread(value, tokens.shape[0])
        bias = None
        if extra is not None and weight > 0:
            bias = _together(key, extra[0], weight)
            key, value = _beside(key, extra[0]), _beside(value, extra[1])
        return self.to_out[0](rearrange(attend(queries, key, value, bias), "b h n d -> b n (h d)"))

    def queries(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Queries (B, heads, N, d) of tokens (B, N, C)."""
        return self.split(self.to_q(tokens if positions is None else tokens + positions))

    def look(self, tokens: Tensor, further: Tensor, positions: Tensor | None = None) -> Tensor:
        """The logits (B, heads, N, M) of tokens (B, N, C) for further keys, B' rows as of `forward`'s `extra`."""
        queries = self.queries(tokens, positions)
        return (queries * queries.shape[-1] ** -0.5) @ _spread(further, queries.shape[0]).transpose(-1, -2)


def _spread(tensor: Tensor, batch: int) -> Tensor:
    """(B', ...) -> (B, ...): every row serves its B / B' consecutive rows of the batch (the frames of one clip)."""
    return tensor if tensor.shape[0] == batch else repeat(tensor, "b ... -> (b f) ...", f=batch // tensor.shape[0])


def _together(own: Tensor, further: Tensor, weight: float) -> Tensor | None:
    """What the logits of all keys have added, (N + M,), so that M = R N further ones weigh `weight` times as much as N; None: nothing."""
    pictures = max(1, further.shape[-2] // own.shape[-2])
    if pictures == weight:
        return None
    bias = own.new_zeros(own.shape[-2] + further.shape[-2])
    bias[own.shape[-2] :] = math.log(weight / pictures)
    return bias


def _beside(own: Tensor, further: Tensor) -> Tensor:
    """(B, heads, N, d) and (B', heads, M, d) -> (B, heads, N + M, d), written once; rows of B' serve as in `_spread`."""
    rows = own.reshape(further.shape[0], -1, *own.shape[1:])
    spread = further[:, None].expand(-1, rows.shape[1], -1, -1, -1)
    return torch.cat([rows, spread], dim=-2).flatten(0, 1)


def sinusoid(length: int, channels: int) -> Tensor:
    """Sine and cosine of position k at channels (2i, 2i+1): k / 10000^(2i / channels). float32 (length, channels)."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    frequency = torch.exp(torch.arange(0, channels, 2, dtype=torch.float64) * (-math.log(10000.0) / channels))
    table = torch.zeros(length, channels, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)[:, : channels // 2]
    return table.float()


@lru_cache(maxsize=64)
def sinusoid_2d(height: int, width: int, channels: int, device: torch.device | str = "cpu") -> Tensor:
    """Positions of a map: half of the channels tell the row, half the column. float32 (height * width, channels)."""

    def axis(length: int) -> Tensor:
        # wavelengths from 2 to 4 map lengths: the finest tells neighbours apart, the coarsest one end from the other
        count = channels // 4
        wavelength = torch.logspace(1, math.log2(4 * max(length, 2)), count, base=2, dtype=torch.float64)
        phase = torch.arange(length, dtype=torch.float64)[:, None] * (2 * math.pi / wavelength)
        return torch.cat([phase.sin(), phase.cos()], dim=1).float()

    table = torch.zeros(height, width, channels)
    half = 2 * (channels // 4)
    table[..., :half] = axis(height)[:, None]
    table[..., half : 2 * half] = axis(width)[None]
    return table.reshape(height * width, channels).to(device)
