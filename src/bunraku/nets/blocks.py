"""The blocks of Denoiser, ReferenceNet and ControlNet: spatial transformer, motion module, and a level of the UNet.

Parameter names are diffusers' (`UNet2DConditionModel`, `UNetMotionModel`), so public weights load by name. Unlike there, every
condition is an argument of `forward`: nothing is stored on a module between calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from einops import rearrange, repeat
from torch import Tensor, nn

from bunraku.nets.attention import Attention, Look, Tokens, sinusoid, sinusoid_2d
from bunraku.nets.object_guider import SpatialBlend
from bunraku.nets.ports import Ports
from bunraku.nets.products import the_same_again

WATCHED = 32 * 32
"""Tokens of the largest map whose looks at the reference are taken down: their number grows with the square of it."""


PIECE = 1 << 19
"""Elements of the tokens that a CPU takes together where rows do not depend on each other."""


@dataclass(frozen=True)
class Conditions:
    """What every layer of one forward pass may look at; B clips of `frames` frames are folded into B * frames rows.

    Attributes:
        time: time embedding (B * frames, T).
        ports: see there; of those that enter in the layers, `token`, `reference`, `blend` and `temperature`.
        frames: frames per clip.
    """

    time: Tensor
    ports: Ports
    frames: int = 1
    _heat: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def temperature(self, size: tuple[int, int]) -> Tensor | None:
        """The temperature map resized (nearest) to a layer of `size`, (B * h * w, 1, 1); None: 1 everywhere."""
        if self.ports.temperature is None:
            return None
        if size not in self._heat:  # the layers of one level share it
            resized = nn.functional.interpolate(self.ports.temperature, size)
            self._heat[size] = rearrange(resized, "b 1 h w -> (b h w) 1 1")
        return self._heat[size]


def grid_positions(tokens: Tensor, gain: float) -> Tensor | None:
    """2-D sinusoids for tokens (B, h, w, C), as (h * w, C) of their dtype and device; None for gain 0."""
    _, h, w, c = tokens.shape
    return gain * sinusoid_2d(h, w, c, tokens.device).to(tokens) if gain else None


def in_pieces(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """`function` of tensors whose rows do not depend on each other; on a CPU a piece at a time, so that what lies in between stays
    in the processor's cache. It returns the shape of the first."""
    first = rows[0]
    size = max(1, int(PIECE * first.shape[0] / first.numel()))
    if not first.is_cpu or torch.is_grad_enabled() or size >= len(first):
        return function(*rows)
    out = first.new_empty(first.shape)
    for i in range(0, len(first), size):
        out[i : i + size] = function(*(tensor[i : i + size] for tensor in rows))
    return out


class SpatialTransformerBlock(nn.Module):
    """Self-attention over the map and the reference tokens, cross-attention to the image token, feed-forward.

    Args:
        context_channels: width of the image token; None: no cross-attention.
    """

    def __init__(self, channels: int, heads: int, context_channels: int | None, positions: float) -> None:
        super().__init__()
        self.positions = positions
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels) if context_channels else None
        self.attn2 = Attention(channels, heads, context_channels) if context_channels else None
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def project_reference(self, tokens: Tensor) -> Tokens:
        """Keys and values of reference tokens (B, h, w, C), by this block's own projections."""
        return self.attn1.project(tokens.flatten(1, 2), grid_positions(tokens, self.positions))

    def forward(
        self,
        grid: Tensor,
        image_token: Tensor | None = None,
        reference: Tokens | None = None,
        watch: Callable[[Look], None] | None = None,
        weight: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """(B, h, w, C) -> the same, and the normalised tokens (B, h, w, C) that a ReferenceNet hands out. `watch` is told how they look
        at the reference, where there are at most `WATCHED` of them; `weight` is that of the reference's tokens."""
        normed = self.norm1(grid)
        positions = grid_positions(normed, self.positions)
        hidden = grid.flatten(1, 2)
        if watch is not None and reference is not None and hidden.shape[1] <= WATCHED:
            watch(Look(self.attn1.look(normed.flatten(1, 2), reference[0], positions), (grid.shape[1], grid.shape[2])))
        hidden = hidden + self.attn1(normed.flatten(1, 2), positions=positions, extra=reference, weight=weight)
        if self.norm2 is not None and self.attn2 is not None and image_token is not None:
            if image_token.shape[1] == 1:  # whatever the queries are
                hidden = hidden + self.attn2.constant(image_token, hidden.shape[0])
            else:
                hidden = hidden + self.attn2(self.norm2(hidden), image_token)
        hidden = in_pieces(lambda tokens: tokens + self.ff(self.norm3(tokens)), hidden.flatten(0, 1))
        return hidden.view(grid.shape), normed


class SpatialTransformer(nn.Module):
    """Animate Anyone's "spatial attention" (fig. 2): a transformer over the pixels of one frame.

    The paper concatenates reference and target features along the width, attends, and keeps the target half; the same result
    comes from queries of the target and keys and values of both, which is what is computed here.
    """

    def __init__(
        self, channels: int, heads: int, context_channels: int | None, groups: int, positions: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([SpatialTransformerBlock(channels, heads, context_channels, positions)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(
        self,
        hidden: Tensor,
        image_token: Tensor | None = None,
        reference: Tokens | None = None,
        watch: Callable[[Look], None] | None = None,
        weight: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> the same, and the reference tokens (B, h, w, C); `watch` and `weight` as of the block."""
        grid = rearrange(self.proj_in(self.norm(hidden)), "b c h w -> b h w c")
        grid, tokens = self.transformer_blocks[0](grid, image_token, reference, watch, weight)
        return hidden + self.proj_out(rearrange(grid, "b h w c -> b c h w")), tokens


class ReferenceTail(nn.Module):
    """The last spatial transformer of a ReferenceNet: nothing behind its first norm is ever used, so nothing is kept."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks: Any = nn.ModuleList([nn.ModuleDict({"norm1": nn.LayerNorm(channels)})])

    def forward(self, hidden: Tensor, *more: Any) -> tuple[Tensor, Tensor]:
        grid = rearrange(self.proj_in(self.norm(hidden)), "b c h w -> b h w c")
        return hidden, self.transformer_blocks[0]["norm1"](grid)


class MotionModuleBlock(nn.Module):
    """Two temporal self-attentions, each behind a norm and a sinusoidal position, then a feed-forward."""

    positions: Tensor

    def __init__(self, channels: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.register_buffer("positions", sinusoid(max_frames, channels), persistent=False)
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, activation_fn="geglu")

    def forward(self, hidden: Tensor, temperature: Tensor | None) -> Tensor:
        """(B * h * w, F, C) -> the same."""
        if hidden.shape[1] > len(self.positions):
            raise ValueError(
                f"{hidden.shape[1]} frames in one window, but this motion module knows {len(self.positions)}"
            )
        positions = self.positions[: hidden.shape[1]].to(hidden)
        for norm, attention in ((self.norm1, self.attn1), (self.norm2, self.attn2)):
            # the position travels with the values too: AnimateDiff adds it before all three projections
            hidden = hidden + attention(norm(hidden) + positions, temperature=temperature)
        return hidden + self.ff(self.norm3(hidden))


def norm_over_frames(norm: nn.GroupNorm, hidden: Tensor, frames: int) -> Tensor:
    """Group norm with one mean and one deviation for all frames of a clip, (B * frames, C, h, w) -> the same."""
    return rearrange(norm(rearrange(hidden, "(b f) c h w -> b c f h w", f=frames)), "b c f h w -> (b f) c h w")


class MotionModule(nn.Module):
    """AnimateDiff's motion module: every pixel attends along time. The output projection starts at zero.

    Args:
        per_frame_norm: group norm of each frame by itself (AnimateDiff and all that follow it) instead of over all frames
            (diffusers).
    """

    def __init__(self, channels: int, heads: int, max_frames: int, groups: int, per_frame_norm: bool) -> None:
        super().__init__()
        self.per_frame_norm = per_frame_norm
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([MotionModuleBlock(channels, heads, max_frames)])
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, hidden: Tensor, frames: int, temperature: Tensor | None = None) -> Tensor:
        """(B * frames, C, h, w) -> the same. `temperature` (B * h * w, 1, 1) divides the logits."""
        h, w = hidden.shape[-2:]
        if torch.is_grad_enabled() and not hidden.requires_grad:
            # torch 2.13 on a CPU dies in the backward of a norm that learns from a channels-last input that does not
            hidden = hidden.contiguous()
        normed = self.norm(hidden) if self.per_frame_norm else norm_over_frames(self.norm, hidden, frames)
        tokens = rearrange(normed, "(b f) c h w -> (b h w) f c", f=frames)
        rows = (tokens,) if temperature is None else (tokens, temperature)
        tokens = in_pieces(self._moved, *rows)
        return hidden + rearrange(tokens, "(b h w) f c -> (b f) c h w", h=h, w=w)

    def _moved(self, tokens: Tensor, temperature: Tensor | None = None) -> Tensor:
        return self.proj_out(self.transformer_blocks[0](self.proj_in(tokens), temperature))


def make_resnet(inputs: int, channels: int, time_channels: int, groups: int) -> ResnetBlock2D:
    """diffusers' residual block from `inputs` to `channels` channels."""
    return ResnetBlock2D(
        in_channels=inputs, out_channels=channels, temb_channels=time_channels, groups=groups, eps=1e-5
    )


class Level(nn.Module):
    """One resolution of the UNet: layers of resnet -> spatial transformer -> motion module, then maybe a resampler.

    Args:
        inputs: input channels of each layer's resnet (skips included).
        channels: output channels.
        attention: builds the spatial transformer of a layer, None for a level without.
        motion: builds the motion module of a layer, None for a level without.
        resample: "down", "up" or None.
        pooled_norms: the resnets' norms take mean and deviation over all frames of a clip instead of each frame's own.
        blend_bias: start of the spatial blendings behind the spatial transformers, None for a level without.
    """

    gradient_checkpointing = False

    def __init__(
        self,
        inputs: Sequence[int],
        channels: int,
        time_channels: int,
        groups: int,
        attention: Callable[[], nn.Module] | None = None,
        motion: Callable[[], nn.Module] | None = None,
        resample: Literal["down", "up"] | None = None,
        pooled_norms: bool = False,
        blend_bias: float | None = None,
    ) -> None:
        super().__init__()
        self.pooled_norms = pooled_norms
        self.resnets = nn.ModuleList([make_resnet(width, channels, time_channels, groups) for width in inputs])
        self.attentions = nn.ModuleList([attention() for _ in inputs]) if attention else None
        self.blends: Any = None
        if attention and blend_bias is not None:
            self.blends = nn.ModuleList([SpatialBlend(channels, blend_bias) for _ in inputs])
        self.motion_modules = nn.ModuleList([motion() for _ in inputs]) if motion else None
        if resample == "down":
            self.downsamplers = nn.ModuleList([Downsample2D(channels, use_conv=True, padding=1, name="op")])
        if resample == "up":
            self.upsamplers = nn.ModuleList([Upsample2D(channels, use_conv=True)])

    def layer(
        self,
        index: int,
        hidden: Tensor,
        conditions: Conditions,
        name: str,
        collected: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Layer `index` on (B * F, C, h, w); the reference tokens it could hand out go into `collected` by block name."""
        run = self._checkpointed if self.gradient_checkpointing and torch.is_grad_enabled() else self._layer
        hidden, tokens = run(index, hidden, conditions, name)
        if collected is not None:
            collected |= tokens
        return hidden

    def _checkpointed(self, *args):
        return torch.utils.checkpoint.checkpoint(self._layer, *args, use_reentrant=False, context_fn=the_same_again)

    def _layer(self, index: int, hidden: Tensor, conditions: Conditions, name: str) -> tuple[Tensor, dict[str, Tensor]]:
        hidden = self.resnet(index, hidden, conditions)
        hidden, tokens = self.attend(index, hidden, conditions, name)
        return self.move(index, hidden, conditions), tokens

    def resnet(self, index: int, hidden: Tensor, conditions: Conditions) -> Tensor:
        block: Any = self.resnets[index]
        if not self.pooled_norms:
            return block(hidden, conditions.time)
        silu, frames = nn.functional.silu, conditions.frames
        inner = block.conv1(silu(norm_over_frames(block.norm1, hidden, frames)))
        inner = inner + block.time_emb_proj(silu(conditions.time))[:, :, None, None]
        inner = block.conv2(silu(norm_over_frames(block.norm2, inner, frames)))
        return inner + (hidden if block.conv_shortcut is None else block.conv_shortcut(hidden))

    def attend(self, index: int, hidden: Tensor, conditions: Conditions, name: str) -> tuple[Tensor, dict[str, Tensor]]:
        if self.attentions is None:
            return hidden, {}
        ports = conditions.ports
        block = f"{name}.attentions.{index}.transformer_blocks.0"
        hidden, tokens = self.attentions[index](
            hidden, ports.token, ports.reference.get(block), self._watch(ports, block), ports.reference_weight
        )
        if block in ports.blend:
            hidden = self.blends[index](hidden, ports.blend[block])
        return hidden, {block: tokens}

    @staticmethod
    def _watch(ports: Ports, block: str) -> Callable[[Look], None] | None:
        """What takes down how a block looks at the reference; None: nobody asks."""
        if ports.looks is None:
            return None
        looks = ports.looks
        return lambda look: looks.update({block: look})

    def move(self, index: int, hidden: Tensor, conditions: Conditions) -> Tensor:
        if self.motion_modules is None:
            return hidden
        h, w = hidden.shape[-2:]
        return self.motion_modules[index](hidden, conditions.frames, conditions.temperature((h, w)))


class MidLevel(Level):
    """The lowest level: resnet, spatial transformer, motion module, resnet."""

    def __init__(
        self,
        channels: int,
        time_channels: int,
        groups: int,
        attention: Callable[[], nn.Module],
        motion: Callable[[], nn.Module] | None = None,
        pooled_norms: bool = False,
        blend_bias: float | None = None,
    ) -> None:
        super().__init__(
            [channels], channels, time_channels, groups, attention, motion, pooled_norms=pooled_norms, blend_bias=blend_bias
        )  # fmt: skip
        self.resnets.append(make_resnet(channels, channels, time_channels, groups))

    def _layer(self, index: int, hidden: Tensor, conditions: Conditions, name: str) -> tuple[Tensor, dict[str, Tensor]]:
        hidden, tokens = self.attend(index, self.resnet(index, hidden, conditions), conditions, name)
        return self.resnet(index + 1, self.move(index, hidden, conditions), conditions), tokens


def per_frame(rows: Tensor, frames: int) -> Tensor:
    """(B, ...) -> (B * frames, ...)."""
    return rows if frames == 1 else repeat(rows, "b ... -> (b f) ...", f=frames)
