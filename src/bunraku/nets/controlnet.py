"""ControlNet with motion modules: TCAN's temporal ControlNet, and the still one of the public weights."""

from collections.abc import Sequence

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from einops import rearrange
from torch import Tensor, nn

from bunraku.nets.blocks import Conditions
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.unet import Motion, Trunk, UNet


class ControlNet(UNet, ModelMixin, ConfigMixin):
    """The way down of a UNet over noisy latents and a drawn condition; its maps are added to the denoiser's skips.

    Parameter names are those of diffusers' `ControlNetModel` (whose OpenPose weights load by name), motion modules those of
    `Denoiser`. With TCAN's motion modules (section 3.2, "temporal ControlNet": at 1/4 and 1/8 of the latent's resolution) it
    takes F frames at once; they start as the identity, so that it starts as the frozen still one.

    Config beyond `Trunk`'s:
        conditioning_embedding_out_channels: widths of the embedding of the drawn condition (1/8 of its resolution).
        conditioning_unshuffle, conditioning_norm: see `PoseGuider`.
        motion_levels: levels with motion modules, 0 being the highest resolution; empty: none. TCAN: (2, 3).
        motion_mid: whether the middle has one.
        motion_num_attention_heads, motion_norm_num_groups, motion_max_seq_length, motion_per_frame_norm: of the motion modules.

    Source: Zhang et al., "Adding Conditional Control to Text-to-Image Diffusion Models", ICCV 2023; TCAN (ECCV 2024).
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        attention_levels: Sequence[bool] | None = None,
        num_attention_heads: int | Sequence[int] = 8,
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        spatial_positions: float = 0.0,
        conditioning_embedding_out_channels: Sequence[int] = (16, 32, 96, 256),
        conditioning_unshuffle: int = 1,
        conditioning_norm: bool = False,
        motion_levels: Sequence[int] = (),
        motion_mid: bool = False,
        motion_num_attention_heads: int = 8,
        motion_norm_num_groups: int = 32,
        motion_max_seq_length: int = 32,
        motion_per_frame_norm: bool = True,
        pooled_norms: bool = False,
    ) -> None:
        trunk = Trunk(
            block_out_channels, layers_per_block, attention_levels, num_attention_heads, cross_attention_dim,
            norm_num_groups, spatial_positions, pooled_norms,
        )  # fmt: skip
        modules = Motion(
            motion_num_attention_heads, motion_norm_num_groups, motion_max_seq_length, motion_per_frame_norm, motion_levels,
            motion_mid,
        )  # fmt: skip
        super().__init__(in_channels, trunk, modules, up=False)
        self.controlnet_cond_embedding = PoseGuider(
            out_channels=block_out_channels[0], block_out_channels=conditioning_embedding_out_channels,
            unshuffle=conditioning_unshuffle, norm=conditioning_norm,
        )  # fmt: skip
        self.controlnet_down_blocks = nn.ModuleList([nn.Conv2d(c, c, 1) for c in self.skip_channels])
        self.controlnet_mid_block = nn.Conv2d(block_out_channels[-1], block_out_channels[-1], 1)
        for zero in (*self.controlnet_down_blocks, self.controlnet_mid_block):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    @apply_forward_hook
    def embed(self, images: Tensor) -> Tensor:
        """Drawn conditions (B, 3, F, H, W) in [0, 1] -> maps (B, C0, F, h, w) for `forward`: once per clip, not per step."""
        return self.controlnet_cond_embedding(images)

    def forward(self, latents: Tensor, timestep: Tensor | int, tokens: Tensor, embedded: Tensor) -> list[Tensor]:
        """The denoiser's `residuals` for one window of frames.

        Args:
            latents: the denoiser's noisy latents (B, C, F, h, w).
            timestep: the denoiser's, one, (B,) or (B, F).
            tokens: (B, N, D), context of the cross-attention.
            embedded: from `embed`, (B, C0, F, h, w).

        Returns:
            maps (B * F, C, h, w), one per skip and one for the middle.
        """
        frames = latents.shape[2]
        conditions = Conditions(self.embed_time(timestep, latents, frames), Ports(tokens), frames)
        hidden = self.conv_in(rearrange(latents, "b c f h w -> (b f) c h w"))
        descended = self.descend(hidden + rearrange(embedded, "b c f h w -> (b f) c h w"), conditions)
        zeros = [*self.controlnet_down_blocks, self.controlnet_mid_block]
        return [zero(map_) for zero, map_ in zip(zeros, descended)]
