"""The denoiser: SD1.5's UNet with motion modules, and one port for every condition."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from einops import rearrange
from torch import Tensor, nn

from bunraku.nets.attention import Tokens
from bunraku.nets.blocks import Conditions, norm_over_frames
from bunraku.nets.ports import Ports
from bunraku.nets.unet import Motion, Trunk, UNet

DEEP = "deep"
"""What the port `deep` calls the hidden state below the last level up."""


class Denoiser(UNet, ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Predicts noise, velocity or sample of F frames at once; parameter names of diffusers' `UNetMotionModel`.

    Config beyond `Trunk`'s:
        in_channels: of the noisy latents.
        joined_channels: of what is joined to them (the port `latents`); their weights start from zero.
        out_channels: of the prediction.
        blend_bias: start of the spatial blendings with objects, see `SpatialBlend`; None: none (the port `blend` stays closed).
        motion: whether there are motion modules (stage 1 trains without).
        motion_num_attention_heads, motion_norm_num_groups, motion_max_seq_length, motion_per_frame_norm, motion_mid: see `Motion`.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        attention_levels: Sequence[bool] | None = None,
        num_attention_heads: int | Sequence[int] = 8,
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        spatial_positions: float = 0.0,
        motion: bool = True,
        motion_num_attention_heads: int = 8,
        motion_norm_num_groups: int = 32,
        motion_max_seq_length: int = 32,
        motion_per_frame_norm: bool = True,
        motion_mid: bool = True,
        pooled_norms: bool = False,
        joined_channels: int = 0,
        blend_bias: float | None = None,
    ) -> None:
        trunk = Trunk(
            block_out_channels, layers_per_block, attention_levels, num_attention_heads, cross_attention_dim,
            norm_num_groups, spatial_positions, pooled_norms,
        )  # fmt: skip
        modules = Motion(
            motion_num_attention_heads, motion_norm_num_groups, motion_max_seq_length, motion_per_frame_norm, mid=motion_mid
        )  # fmt: skip
        super().__init__(in_channels + joined_channels, trunk, modules if motion else None, blend_bias=blend_bias)
        self.joined_channels = joined_channels
        nn.init.zeros_(self.conv_in.weight[:, in_channels:])
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, block_out_channels[0], eps=1e-5)
        self.conv_out = nn.Conv2d(block_out_channels[0], out_channels, 3, padding=1)

    def forward(self, noisy: Tensor, timestep: Tensor | int, ports: Ports) -> Tensor:
        """Denoise one window of frames.

        Args:
            noisy: noisy latents (B, C, F, h, w).
            timestep: one, (B,), or one per frame (B, F).
            ports: the conditions.

        Returns:
            prediction (B, out_channels, F, h, w).

        Raises:
            ValueError: ports that this denoiser does not have, or another number of residuals than it has skips.
        """
        frames = noisy.shape[2]
        conditions = Conditions(self.embed_time(timestep, noisy, frames), ports, frames)
        hidden = self.conv_in(_fold(self._join(noisy, ports)))
        if ports.add is not None:
            hidden = hidden + _fold(ports.add)
        if ports.deep:
            skips = _plus(self.shallow(hidden, conditions), ports.residuals)
            hidden = self.finish(ports.deep[DEEP], skips, conditions)
        else:
            descended = self.descend(hidden, conditions)
            if ports.residuals and len(ports.residuals) != len(descended):
                raise ValueError(f"{len(ports.residuals)} residuals for {len(descended) - 1} skips and the middle")
            hidden, skips = self.rise(_plus(descended, ports.residuals), conditions)
            if ports.deep is not None:
                ports.deep[DEEP] = hidden
            hidden = self.finish(hidden, skips, conditions)
        pooled = self.trunk.pooled_norms
        hidden = norm_over_frames(self.conv_norm_out, hidden, frames) if pooled else self.conv_norm_out(hidden)
        out = self.conv_out(nn.functional.silu(hidden))
        return rearrange(out, "(b f) c h w -> b c f h w", f=frames)

    def _join(self, noisy: Tensor, ports: Ports) -> Tensor:
        """What conv_in sees: the noisy latents, what is added to them, and what is joined to them; nothing joined is zeros."""
        if ports.noise is not None:
            noisy = noisy + ports.noise
        joined = 0 if ports.latents is None else ports.latents.shape[1]
        if joined not in (0, self.joined_channels):
            raise ValueError(
                f"{joined} channels of latents to join, but this denoiser has room for {self.joined_channels}"
            )
        if not self.joined_channels:
            return noisy
        b, _, f, h, w = noisy.shape
        latents = noisy.new_zeros(b, self.joined_channels, f, h, w) if ports.latents is None else ports.latents
        return torch.cat([noisy, latents], dim=1)

    @apply_forward_hook
    def project_reference(self, tokens: Mapping[str, Tensor]) -> dict[str, Tokens]:
        """Reference tokens {block: (B, h, w, C)} -> keys and values for `forward`: once per clip, not per frame or step."""
        blocks: dict[str, Any] = {name: self.get_submodule(name) for name in tokens}
        return {name: blocks[name].project_reference(t) for name, t in tokens.items()}


def _plus(skips: Sequence[Tensor], residuals: Sequence[Tensor]) -> list[Tensor]:
    """Skips and what is added to the first of them; nothing is added where there are no residuals."""
    return [skip + residual for skip, residual in zip(skips, residuals)] if residuals else list(skips)


def _fold(maps: Tensor) -> Tensor:
    return rearrange(maps, "b c f h w -> (b f) c h w")


def initialise_from_scratch(net: UNet, generator: torch.Generator | None = None) -> None:
    """Start values for a UNet that loads no pre-trained weights (the mini size), in place.

    Queries and keys start equal and orthogonal, so a token looks first at tokens like itself (its counterpart in the
    reference); values and outputs orthogonal, so what it finds passes through; the prediction starts at zero.
    """
    for name, module in net.named_modules():
        if name.endswith(("attn1", "attn2")) and ".motion_modules." not in name:
            for linear in (module.to_k, module.to_v, module.to_out[0]):
                nn.init.orthogonal_(linear.weight, generator=generator)
            module.to_k.weight.data.mul_(0.5)
            if name.endswith("attn1"):
                module.to_q.weight.data.copy_(module.to_k.weight)
    if (last := getattr(net, "conv_out", None)) is not None:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
