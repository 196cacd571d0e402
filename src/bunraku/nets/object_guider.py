"""Animate Anyone 2's objects: a light encoder of what the character handles, and the blending that puts it into the denoiser."""

import itertools
from collections.abc import Iterable, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class ObjectGuider(ModelMixin, ConfigMixin):
    """Features of objects for every resolution of the denoiser's middle and way up: one 3x3 convolution each, SiLU between them.

    The paper downsamples object latents four times; four strides of 2 would give 1/2 to 1/16 of the latent against 1 to 1/8 in the
    denoiser. So the first stride is 1 by default; with the paper's strides each map is resized to its level. Convolutions start from
    N(0, sqrt(2 / fan_in)); that nothing is disturbed before training is the business of `SpatialBlend`.

    Config:
        in_channels: of the latents.
        block_out_channels: the denoiser's, highest resolution first.
        strides: of the convolutions; None: 1, then 2 for each further level. (2, 2, 2, 2) is the paper's.

    Source: Animate Anyone 2 (arXiv 2502.06145), "Object injection".
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        steps = [1] + [2] * (len(block_out_channels) - 1) if strides is None else list(strides)
        if len(steps) != len(block_out_channels):
            raise ValueError(f"{len(block_out_channels)} levels need as many strides, got {tuple(steps)}")
        widths = itertools.pairwise([in_channels, *block_out_channels])
        self.blocks = nn.ModuleList([nn.Conv2d(a, b, 3, stride=step, padding=1) for (a, b), step in zip(widths, steps)])
        for convolution in self.blocks:
            nn.init.kaiming_normal_(convolution.weight)  # type: ignore[arg-type]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Object latents -> one map per level.

        Args:
            latents: (B, C, F, h, w), of frames that are black outside of the objects.
            mask: (B, 1, F, H, W) in [0, 1], of any size: where objects are. Blending then keeps to it.

        Returns:
            (B F, C_i, h_i, w_i) from the highest resolution to the lowest, each level half of the one before, rounded up. With a mask
            there is one channel more, the last: the mask's maximum over each cell.
        """
        hidden = rearrange(latents, "b c f h w -> (b f) c h w")
        rows = None if mask is None else rearrange(mask, "b c f h w -> (b f) c h w").to(hidden)
        h, w = hidden.shape[-2:]
        features = []
        for level, convolution in enumerate(self.blocks):
            hidden = convolution(hidden if level == 0 else F.silu(hidden))
            size = (-(-h // 2**level), -(-w // 2**level))
            fitted = hidden if hidden.shape[-2:] == size else F.interpolate(hidden, size, mode="bilinear")
            features.append(fitted if rows is None else torch.cat([fitted, F.adaptive_max_pool2d(rows, size)], dim=1))
        return features


def blend_port(features: Sequence[Tensor], blocks: Iterable[str]) -> dict[str, Tensor]:
    """The features that each transformer block of middle and way up is blended with, for the denoiser's port `blend`.

    Args:
        features: from `ObjectGuider`, highest resolution first.
        blocks: names like "mid_block.attentions.0.transformer_blocks.0" and "up_blocks.1.attentions.0.transformer_blocks.0".

    >>> maps = [torch.zeros(1, c, 1, 1) for c in (320, 640, 1281, 1280)]
    >>> [int(t.shape[1]) for t in blend_port(maps, ["mid_block.attentions.0", "up_blocks.1.attentions.2", "up_blocks.3.attentions.0"]).values()]
    [1280, 1281, 320]
    """

    def level(block: str) -> int:
        first, second = block.split(".")[:2]
        return len(features) - 1 - (int(second) if first == "up_blocks" else 0)

    return {block: features[level(block)] for block in blocks}


class SpatialBlend(nn.Module):
    """Spatial blending of the denoiser's features with those of objects, behind a spatial attention.

        alpha = sigmoid(Conv2D(cat(z_noise, z_object)))
        z = alpha z_object + (1 - alpha) z_noise

    The paper starts the convolution from zero, so that alpha is 0.5 and half of what the layer was trained to hand on is lost; the
    default starts with a bias of -4 (alpha 0.018). One channel of alpha and a kernel of 3x3 are choices.

    Args:
        channels: of the features.
        bias: at the start; 0 is the paper's.

    Source: Animate Anyone 2 (arXiv 2502.06145), "Object injection", the two equations of spatial blending.
    """

    def __init__(self, channels: int, bias: float = -4.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, 1, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.constant_(self.conv.bias, bias)  # type: ignore[arg-type]

    def forward(self, hidden: Tensor, features: Tensor) -> Tensor:
        """(B F, C, h, w) and features (B F, C or C + 1, h, w), whose last channel is then a mask that alpha is multiplied with -> as hidden."""
        channels = hidden.shape[1]
        objects, mask = features[:, :channels], features[:, channels:]
        alpha = self.conv(torch.cat([hidden, objects], dim=1)).sigmoid()
        if mask.shape[1]:
            alpha = alpha * mask
        return alpha * objects + (1 - alpha) * hidden
