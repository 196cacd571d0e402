"""Guiders: small convolutional encoders from drawn conditions to the denoiser's first features."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn

from bunraku.nets.blocks import SpatialTransformer

Onto = Literal["features", "noise"]
"""What a guider's map is added to: the denoiser's first features (after conv_in), or the noisy latents before it."""


class PoseGuider(ModelMixin, ConfigMixin):
    """Animate Anyone's pose guider in the ControlNet form that public weights use (METHODS: choice 1).

    3x3 convolutions with SiLU, three of stride 2 (1/8 in all, the latent's resolution), and a zero convolution, so that at
    the start of training it adds nothing. Its output is added after conv_in. Convolutions start from N(0, sqrt(2 / fan_in)).

    Config:
        out_channels: width of the denoiser's conv_in.
        block_out_channels: widths of the stages; each of the last three halves the resolution.
        unshuffle: fold this many pixels a side into channels first (1, 2 or 4; replaces as many strides): much less arithmetic
            for models that start from nothing.
        norm: group norm behind each convolution; without it a guider trained from nothing stays nearly dead.
    """

    onto: ClassVar[Onto] = "features"

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 320,
        block_out_channels: Sequence[int] = (16, 32, 96, 256),
        unshuffle: int = 1,
        norm: bool = False,
    ) -> None:
        super().__init__()
        if unshuffle not in (1, 2, 4) or len(block_out_channels) != 4 - (unshuffle.bit_length() - 1):
            raise ValueError(
                f"unshuffle {unshuffle} (1, 2 or 4) leaves {4 - (unshuffle.bit_length() - 1)} widths, got {tuple(block_out_channels)}"
            )
        self.conv_in, self.blocks = _stages(in_channels * unshuffle**2, block_out_channels)
        self.conv_out = nn.Conv2d(block_out_channels[-1], out_channels, 3, padding=1)
        convolutions = [self.conv_in, *self.blocks]
        self.norms = nn.ModuleList(
            [nn.GroupNorm(min(8, c.out_channels), c.out_channels) for c in convolutions] if norm else []
        )
        initialise_guider(convolutions, self.conv_out)

    def forward(self, images: Tensor) -> Tensor:
        """Drawn conditions (B, 3, F, H, W) in [0, 1] -> (B, out_channels, F, H/8, W/8)."""
        frames = images.shape[2]
        hidden = rearrange(images, "b c f h w -> (b f) c h w")
        hidden = nn.functional.pixel_unshuffle(hidden, self.config.unshuffle)
        for i, convolution in enumerate([self.conv_in, *self.blocks]):
            hidden = convolution(hidden)
            if len(self.norms):
                hidden = self.norms[i](hidden)
            hidden = nn.functional.silu(hidden)
        return rearrange(self.conv_out(hidden), "(b f) c h w -> b c f h w", f=frames)


class GuidanceEncoder(ModelMixin, ConfigMixin):
    """Champ's guidance encoder: the pose guider's convolutions, then self-attention over each frame's map.

    Champ's files hold the weights of seven attentions. Its code uses the one behind the last convolution, which is the one here.

    Config:
        out_channels, block_out_channels: as of `PoseGuider`.
        num_attention_heads, norm_num_groups: of the attention.

    Source: Champ (Zhu et al., ECCV 2024, arXiv 2403.14781), section 3.2, and its public code.
    """

    onto: ClassVar[Onto] = "features"

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 320,
        block_out_channels: Sequence[int] = (16, 32, 96, 256),
        num_attention_heads: int = 8,
        norm_num_groups: int = 32,
    ) -> None:
        super().__init__()
        self.conv_in, self.blocks = _stages(in_channels, block_out_channels)
        self.attention = SpatialTransformer(block_out_channels[-1], num_attention_heads, None, norm_num_groups)
        self.conv_out = nn.Conv2d(block_out_channels[-1], out_channels, 3, padding=1)
        initialise_guider([self.conv_in, *self.blocks], self.conv_out)

    def forward(self, images: Tensor) -> Tensor:
        """Drawn conditions (B, 3, F, H, W) in [0, 1] -> (B, out_channels, F, H/8, W/8)."""
        hidden = rearrange(images, "b c f h w -> (b f) c h w")
        for convolution in (self.conv_in, *self.blocks):
            hidden = nn.functional.silu(convolution(hidden))
        hidden, _ = self.attention(hidden)
        return rearrange(self.conv_out(hidden), "(b f) c h w -> b c f h w", f=images.shape[2])


class LiteralPoseGuider(ModelMixin, ConfigMixin):
    """Animate Anyone's pose guider as printed: 4x4 convolutions with 16, 32, 64, 128 channels, then a zero projection to the
    latent's channels; added to the noisy latents, before conv_in (METHODS: choice 2).

    Four strides of 2 would give H/16 against a latent of H/8; the fourth convolution has stride 1 here (and 3x3, to keep the size).
    """

    onto: ClassVar[Onto] = "noise"

    @register_to_config
    def __init__(
        self, in_channels: int = 3, out_channels: int = 4, block_out_channels: Sequence[int] = (16, 32, 64, 128)
    ) -> None:
        super().__init__()
        widths = [in_channels, *block_out_channels]
        self.blocks = nn.ModuleList(
            [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(widths[:-1])]
        )
        self.blocks.append(nn.Conv2d(widths[3], widths[4], 3, padding=1))
        self.conv_out = nn.Conv2d(widths[4], out_channels, 1)
        initialise_guider(self.blocks, self.conv_out)

    def forward(self, images: Tensor) -> Tensor:
        """Drawn conditions (B, 3, F, H, W) in [0, 1] -> (B, latent channels, F, H/8, W/8)."""
        frames = images.shape[2]
        hidden = rearrange(images, "b c f h w -> (b f) c h w")
        for convolution in self.blocks:
            hidden = nn.functional.silu(convolution(hidden))
        return rearrange(self.conv_out(hidden), "(b f) c h w -> b c f h w", f=frames)


def _stages(in_channels: int, widths: Sequence[int]) -> tuple[nn.Conv2d, nn.ModuleList]:
    """ControlNet's convolutions: one, then for each further width one of stride 1 and one of stride 2."""
    blocks = nn.ModuleList()
    for narrow, wide in itertools.pairwise(widths):
        blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
        blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
    return nn.Conv2d(in_channels, widths[0], 3, padding=1), blocks


def initialise_guider(convolutions: Iterable[Any], zero: nn.Conv2d) -> None:
    """Gaussian start with He's deviation (the paper says Gaussian, not which), zero for the last convolution."""
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    nn.init.zeros_(zero.weight)
    nn.init.zeros_(zero.bias)  # type: ignore[arg-type]
