"""The trunk that Denoiser, ReferenceNet and ControlNet share: time embedding, levels, the way down and the way up again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from bunraku.nets.blocks import Conditions, Level, MidLevel, MotionModule, SpatialTransformer, per_frame

REFERENCE_BLOCKS = ("full", "midup")


@dataclass(frozen=True)
class Trunk:
    """What the UNets of one model have in common (names as in diffusers where diffusers has them).

    Attributes:
        block_out_channels: width of each level, highest resolution first.
        layers_per_block: layers per level on the way down; one more on the way up.
        attention_levels: which levels have spatial transformers; None: all but the lowest (SD1.5).
        num_attention_heads: heads per spatial attention, one number or one per level.
        cross_attention_dim: width of the image token.
        norm_num_groups: groups of every group norm.
        spatial_positions: gain of the 2-D sinusoids added to queries and keys of spatial self- and reference attention
            (models that start from nothing learn correspondences faster with them); 0: none (SD1.5).
        pooled_norms: the group norms of resnets and output take mean and deviation over all frames of a clip (AnimateDiff v1
            and what was built on it: MagicAnimate, TCAN) instead of each frame's own (v2 and later, Animate Anyone).

    Raises:
        ValueError: lists of different lengths.
    """

    block_out_channels: Sequence[int] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_levels: Sequence[bool] | None = None
    num_attention_heads: int | Sequence[int] = 8
    cross_attention_dim: int = 768
    norm_num_groups: int = 32
    spatial_positions: float = 0.0
    pooled_norms: bool = False

    def __post_init__(self) -> None:
        if not len(self.heads) == len(self.attended) == self.levels:
            raise ValueError(
                f"{self.levels} levels in block_out_channels, but {len(self.heads)} heads and {len(self.attended)} attention_levels"
            )

    @property
    def levels(self) -> int:
        return len(self.block_out_channels)

    @property
    def heads(self) -> list[int]:
        """Of each level."""
        heads = self.num_attention_heads
        return [heads] * self.levels if isinstance(heads, int) else list(heads)

    @property
    def attended(self) -> list[bool]:
        """Whether each level has spatial transformers."""
        return [True] * (self.levels - 1) + [False] if self.attention_levels is None else list(self.attention_levels)

    @property
    def time_channels(self) -> int:
        return 4 * self.block_out_channels[0]


@dataclass(frozen=True)
class Motion:
    """Where a UNet has motion modules, and which.

    Attributes:
        heads, groups, max_frames, per_frame_norm: see `MotionModule`.
        levels: those that have them, 0 being the highest resolution; None: all.
        mid: whether the middle has one (AnimateDiff v2, Moore) or not (AnimateDiff v1 and v3, MagicAnimate, TCAN).
    """

    heads: int = 8
    groups: int = 32
    max_frames: int = 32
    per_frame_norm: bool = True
    levels: Sequence[int] | None = None
    mid: bool = True

    def module(self, channels: int) -> MotionModule:
        return MotionModule(channels, self.heads, self.max_frames, self.groups, self.per_frame_norm)


class UNet(nn.Module):
    """SD1.5's UNet as a sequence of levels; subclasses add their ports.

    Args:
        in_channels: of conv_in.
        motion: None: no motion modules.
        up: whether there is a way up; a ControlNet has none.
        blend_bias: start of the spatial blendings in middle and up; None: none.

    Raises:
        ValueError: motion modules at levels that do not exist.
    """

    down_blocks: Any
    mid_block: MidLevel
    up_blocks: Any

    _supports_gradient_checkpointing = True
    _no_split_modules = ("ResnetBlock2D", "SpatialTransformer", "MotionModule")

    def __init__(
        self,
        in_channels: int,
        trunk: Trunk,
        motion: Motion | None = None,
        up: bool = True,
        blend_bias: float | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        widths, last = list(trunk.block_out_channels), trunk.levels - 1
        moving = _moving_levels(motion, trunk.levels)
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], trunk.time_channels)
        self.down_blocks = nn.ModuleList()
        self.skip_channels = [widths[0]]
        for i, width in enumerate(widths):
            inputs = [widths[max(i - 1, 0)]] + [width] * (trunk.layers_per_block - 1)
            level = Level(
                inputs, width, trunk.time_channels, trunk.norm_num_groups,
                self._attention(i) if trunk.attended[i] else None, _motion(motion, width) if i in moving else None,
                "down" if i < last else None, trunk.pooled_norms,
            )  # fmt: skip
            self.down_blocks.append(level)
            self.skip_channels += [width] * (trunk.layers_per_block + (i < last))
        self.mid_block = MidLevel(
            widths[last], trunk.time_channels, trunk.norm_num_groups, self._attention(last),
            _motion(motion, widths[last]) if motion and motion.mid else None, trunk.pooled_norms, blend_bias,
        )  # fmt: skip
        if not up:
            return
        self.up_blocks = nn.ModuleList()
        before, skips = widths[last], list(self.skip_channels)
        for i in reversed(range(trunk.levels)):
            inputs = [(before if j == 0 else widths[i]) + skips.pop() for j in range(trunk.layers_per_block + 1)]
            level = Level(
                inputs, widths[i], trunk.time_channels, trunk.norm_num_groups,
                self._attention(i) if trunk.attended[i] else None, _motion(motion, widths[i]) if i in moving else None,
                "up" if i > 0 else None, trunk.pooled_norms, blend_bias,
            )  # fmt: skip
            self.up_blocks.append(level)
            before = widths[i]

    def _attention(self, level: int) -> Callable[[], nn.Module]:
        trunk = self.trunk
        return lambda: SpatialTransformer(
            trunk.block_out_channels[level], trunk.heads[level], trunk.cross_attention_dim, trunk.norm_num_groups,
            trunk.spatial_positions,
        )  # fmt: skip

    def embed_time(self, timestep: Tensor | int, like: Tensor, frames: int = 1) -> Tensor:
        """Timesteps, one, (B,) or one per frame (B, F), -> (B * F, T), for latents `like` of B rows."""
        steps = torch.as_tensor(timestep, device=like.device)
        own = steps.ndim == 2  # a noise level for each frame
        rows = steps.flatten() if own else steps.reshape(-1).expand(like.shape[0])
        embedded = self.time_embedding(self.time_proj(rows).to(like.dtype))
        return embedded if own else per_frame(embedded, frames)

    def descend(self, hidden: Tensor, conditions: Conditions, tokens: dict[str, Tensor] | None = None) -> list[Tensor]:
        """Down and through the middle.

        Args:
            hidden: output of conv_in and what was added to it, (B * F, C0, h, w).
            conditions: what the layers look at.
            tokens: collects every layer's reference tokens (B * F, h, w, C) by block name; None: nobody wants them.

        Returns:
            the skips, highest resolution first, then the output of the middle.
        """
        skips = [hidden]
        for i, block in enumerate(self.down_blocks):
            skips += self._down(i, skips[-1], conditions, tokens)
            if hasattr(block, "downsamplers"):
                skips.append(block.downsamplers[0](skips[-1]))
        return [*skips, self.mid_block.layer(0, skips[-1], conditions, "mid_block", tokens)]

    def shallow(self, hidden: Tensor, conditions: Conditions) -> list[Tensor]:
        """The skips of the highest resolution alone: what the last level up needs beside `deep`."""
        return [hidden, *self._down(0, hidden, conditions)]

    def _down(
        self, level: int, hidden: Tensor, conditions: Conditions, tokens: dict[str, Tensor] | None = None
    ) -> list[Tensor]:
        """What each layer of a level gives."""
        block, made = self.down_blocks[level], [hidden]
        for j in range(len(block.resnets)):
            made.append(block.layer(j, made[-1], conditions, f"down_blocks.{level}", tokens))
        return made[1:]

    def ascend(
        self, descended: Sequence[Tensor], conditions: Conditions, tokens: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Up again, from what `descend` gave, (maps may have been added to it), to the last hidden state (B * F, C0, h, w)."""
        return self.finish(*self.rise(descended, conditions, tokens), conditions, tokens)

    def rise(
        self, descended: Sequence[Tensor], conditions: Conditions, tokens: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Up to below the last level: the hidden state there, and the skips that are left."""
        *skips, hidden = descended
        for i in range(len(self.up_blocks) - 1):
            hidden = self._up(i, hidden, skips, conditions, tokens)
        return hidden, skips

    def finish(
        self,
        hidden: Tensor,
        skips: Sequence[Tensor],
        conditions: Conditions,
        tokens: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """The last level up."""
        return self._up(len(self.up_blocks) - 1, hidden, list(skips), conditions, tokens)

    def _up(
        self,
        level: int,
        hidden: Tensor,
        skips: list[Tensor],
        conditions: Conditions,
        tokens: dict[str, Tensor] | None,
    ) -> Tensor:
        """One level up; takes its skips from the end of the list."""
        block = self.up_blocks[level]
        for j in range(len(block.resnets)):
            hidden = torch.cat([hidden, skips.pop()], dim=1)
            hidden = block.layer(j, hidden, conditions, f"up_blocks.{level}", tokens)
        if hasattr(block, "upsamplers"):
            # to the size of the next skip, not times two: odd sizes come out right
            hidden = block.upsamplers[0](hidden, output_size=skips[-1].shape[-2:])
        return hidden

    def reference_block_names(self, blocks: str = "full") -> list[str]:
        """Names of the spatial transformer blocks that take part in reference attention, in order of execution."""
        if blocks not in REFERENCE_BLOCKS:
            raise ValueError(f"reference blocks are one of {REFERENCE_BLOCKS}, not {blocks!r}")
        levels = [] if blocks == "midup" else [(f"down_blocks.{i}", b) for i, b in enumerate(self.down_blocks)]
        levels += [("mid_block", self.mid_block)] + [(f"up_blocks.{i}", b) for i, b in enumerate(self.up_blocks)]
        return [
            f"{name}.attentions.{j}.transformer_blocks.0"
            for name, level in levels
            for j in range(len(level.attentions if level.attentions is not None else []))
        ]

    @property
    def motion_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the motion modules by name: what a second stage trains."""
        return {name: p for name, p in self.named_parameters() if ".motion_modules." in name}


def _moving_levels(motion: Motion | None, levels: int) -> set[int]:
    """The levels with motion modules."""
    if motion is None:
        return set()
    moving = set(range(levels) if motion.levels is None else motion.levels)
    if not moving <= set(range(levels)):
        raise ValueError(f"motion modules at levels {sorted(moving)} of {levels}, counted from 0")
    return moving


def _motion(motion: Motion | None, width: int) -> Callable[[], nn.Module] | None:
    return (lambda: motion.module(width)) if motion else None
