"""The trunk that Denoiser, ReferenceNet and ControlNet share: time embedding, levels, the way down and the way up again."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from bunraku.nets.blocks import Conditions, Level, MidLevel, MotionModule, SpatialTransformer, per_frame

REFERENCE_BLOCKS = ("full", "midup")


class UNet(nn.Module):
    """SD1.5's UNet as a sequence of levels; subclasses add their ports. A ControlNet has no way up.

    Config (names as in diffusers where diffusers has them):
        in_channels, out_channels: latent channels.
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
    """

    down_blocks: Any
    mid_block: MidLevel
    up_blocks: Any

    _supports_gradient_checkpointing = True
    _no_split_modules = ("ResnetBlock2D", "SpatialTransformer", "MotionModule")

    def build(
        self,
        in_channels: int,
        block_out_channels: Sequence[int],
        layers_per_block: int,
        attention_levels: Sequence[bool] | None,
        num_attention_heads: int | Sequence[int],
        cross_attention_dim: int,
        norm_num_groups: int,
        spatial_positions: float,
        motion: Callable[[int], MotionModule] | None = None,
        motion_levels: Sequence[int] | None = None,
        motion_mid: bool = True,
        up: bool = True,
        pooled_norms: bool = False,
    ) -> None:
        """Make the layers; beyond the class's configuration:

        Args:
            motion: makes a motion module of a width; None: no motion modules.
            motion_levels: levels that have them, 0 being the highest resolution; None: all.
            motion_mid: whether the middle has one.
            up: whether there is a way up.
        """
        widths = list(block_out_channels)
        depth = len(widths)
        heads = [num_attention_heads] * depth if isinstance(num_attention_heads, int) else list(num_attention_heads)
        attended = [True] * (depth - 1) + [False] if attention_levels is None else list(attention_levels)
        if not len(heads) == len(attended) == depth:
            raise ValueError(
                f"{depth} levels in block_out_channels, but {len(heads)} heads and {len(attended)} attention_levels"
            )
        moving = set(range(depth) if motion_levels is None else motion_levels)
        if not moving <= set(range(depth)):
            raise ValueError(f"motion modules at levels {sorted(moving)} of {depth}, counted from 0")
        time_channels = 4 * widths[0]
        groups = norm_num_groups

        def attention(i: int) -> Callable[[], nn.Module]:
            return lambda: SpatialTransformer(widths[i], heads[i], cross_attention_dim, groups, spatial_positions)

        def level(i: int, inputs: Sequence[int], resample: str | None) -> Level:
            return Level(
                inputs, widths[i], time_channels, groups,
                attention(i) if attended[i] else None,
                (lambda: motion(widths[i])) if motion and i in moving else None,
                resample, pooled_norms,
            )  # fmt: skip

        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], time_channels)
        last = depth - 1
        self.down_blocks = nn.ModuleList()
        self.skip_channels = [widths[0]]
        for i in range(depth):
            before = widths[max(i - 1, 0)]
            self.down_blocks.append(
                level(i, [before] + [widths[i]] * (layers_per_block - 1), "down" if i < last else None)
            )
            self.skip_channels += [widths[i]] * (layers_per_block + (i < last))
        self.mid_block = MidLevel(
            widths[last], time_channels, groups, attention(last),
            (lambda: motion(widths[last])) if motion and motion_mid else None, pooled_norms,
        )  # fmt: skip
        if not up:
            return
        self.up_blocks = nn.ModuleList()
        before, skips = widths[last], list(self.skip_channels)
        for i in reversed(range(depth)):
            inputs = [(before if j == 0 else widths[i]) + skips.pop() for j in range(layers_per_block + 1)]
            self.up_blocks.append(level(i, inputs, "up" if i > 0 else None))
            before = widths[i]

    def embed_time(self, timestep: Tensor | int, batch: int, frames: int = 1) -> Tensor:
        """Timesteps, one, (B,) or one per frame (B, F), -> (B * F, T)."""
        steps = torch.as_tensor(timestep, device=self.conv_in.weight.device)
        own = steps.ndim == 2  # a noise level for each frame
        rows = steps.flatten() if own else steps.reshape(-1).expand(batch)
        embedded = self.time_embedding(self.time_proj(rows).to(self.conv_in.weight.dtype))
        return embedded if own else per_frame(embedded, frames)

    def descend(self, hidden: Tensor, conditions: Conditions, tokens: dict[str, Tensor] | None = None) -> list[Tensor]:
        """Down and through the middle.

        Args:
            hidden: output of conv_in and what was added to it, (B * F, C0, h, w).
            conditions: what the layers look at.
            tokens: collects every layer's reference tokens (B * F, h, w, C) by block name; None: they are let go.

        Returns:
            the skips, highest resolution first, then the output of the middle.
        """
        skips = [hidden]
        for i, block in enumerate(self.down_blocks):
            for j in range(len(block.resnets)):
                hidden = block.layer(j, hidden, conditions, f"down_blocks.{i}", tokens)
                skips.append(hidden)
            if hasattr(block, "downsamplers"):
                hidden = block.downsamplers[0](hidden)
                skips.append(hidden)
        return [*skips, self.mid_block.layer(0, hidden, conditions, "mid_block", tokens)]

    def ascend(
        self, descended: Sequence[Tensor], conditions: Conditions, tokens: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Up again, from what `descend` gave, (maps may have been added to it), to the last hidden state (B * F, C0, h, w)."""
        *skips, hidden = descended
        for i, block in enumerate(self.up_blocks):
            for j in range(len(block.resnets)):
                hidden = torch.cat([hidden, skips.pop()], dim=1)
                hidden = block.layer(j, hidden, conditions, f"up_blocks.{i}", tokens)
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
