"""The denoiser: SD1.5's UNet with motion modules, and one argument for every condition."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from einops import rearrange
from torch import Tensor, nn

from bunraku.nets.attention import Tokens
from bunraku.nets.blocks import Conditions, MotionModule, norm_over_frames
from bunraku.nets.unet import UNet


class Denoiser(UNet, ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Predicts noise, velocity or sample of F frames at once; parameter names of diffusers' `UNetMotionModel`.

    Config beyond `UNet`'s:
        motion: whether there are motion modules (stage 1 trains without).
        motion_num_attention_heads, motion_norm_num_groups, motion_max_seq_length, motion_per_frame_norm: theirs.
        motion_mid: whether the middle has one (AnimateDiff v2, Moore) or not (AnimateDiff v1 and v3, MagicAnimate, TCAN).
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
    ) -> None:
        super().__init__()
        motion_module = partial(
            MotionModule, heads=motion_num_attention_heads, max_frames=motion_max_seq_length,
            groups=motion_norm_num_groups, per_frame_norm=motion_per_frame_norm,
        )  # fmt: skip
        self.build(
            in_channels, block_out_channels, layers_per_block, attention_levels, num_attention_heads,
            cross_attention_dim, norm_num_groups, spatial_positions, motion_module if motion else None,
            motion_mid=motion_mid, pooled_norms=pooled_norms,
        )  # fmt: skip
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, block_out_channels[0], eps=1e-5)
        self.conv_out = nn.Conv2d(block_out_channels[0], out_channels, 3, padding=1)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor | int,
        image_token: Tensor,
        *,
        add: Tensor | None = None,
        reference: Mapping[str, Tokens] | None = None,
        residuals: Sequence[Tensor] = (),
        temperature: Tensor | None = None,
    ) -> Tensor:
        """Denoise one window of frames.

        Args:
            latents: noisy latents (B, C, F, h, w).
            timestep: one, (B,), or one per frame (B, F).
            image_token: (B, N, D); zeros where unconditional.
            add: sum of the guiders' maps, (B, C0, F, h, w), added after conv_in.
            reference: keys and values from `project_reference`; None: self-attention only.
            residuals: ControlNet's maps (B * F, C, h, w), one per skip and one for the middle.
            temperature: (B, 1, H, W) >= 1, divides the temporal attention's logits.

        Returns:
            prediction (B, C, F, h, w).
        """
        batch, _, frames, _, _ = latents.shape
        time = self.embed_time(timestep, batch, frames)
        conditions = Conditions(time, image_token, frames, reference or {}, temperature)
        hidden = self.conv_in(rearrange(latents, "b c f h w -> (b f) c h w"))
        if add is not None:
            hidden = hidden + rearrange(add, "b c f h w -> (b f) c h w")
        descended = self.descend(hidden, conditions)
        if residuals:
            if len(residuals) != len(descended):
                raise ValueError(f"{len(residuals)} residuals for {len(descended) - 1} skips and the middle")
            descended = [skip + residual for skip, residual in zip(descended, residuals)]
        hidden = self.ascend(descended, conditions)
        pooled = self.config.pooled_norms  # type: ignore[union-attr]
        hidden = norm_over_frames(self.conv_norm_out, hidden, frames) if pooled else self.conv_norm_out(hidden)
        out = self.conv_out(nn.functional.silu(hidden))
        return rearrange(out, "(b f) c h w -> b c f h w", f=frames)

    @apply_forward_hook
    def project_reference(self, tokens: Mapping[str, Tensor]) -> dict[str, Tokens]:
        """Reference tokens {block: (B, h, w, C)} -> keys and values for `forward`: once per clip, not per frame or step."""
        blocks: dict[str, Any] = {name: self.get_submodule(name) for name in tokens}
        return {name: blocks[name].project_reference(t) for name, t in tokens.items()}

    @property
    def motion_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the motion modules by name: what stage 2 trains."""
        return {name: p for name, p in self.named_parameters() if ".motion_modules." in name}


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
    if isinstance(net, Denoiser):
        nn.init.zeros_(net.conv_out.weight)
        nn.init.zeros_(net.conv_out.bias)
