"""PictureCodec: the shipped model's autoencoder, with the calls of diffusers' AutoencoderKL."""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the second starts at zero. No normalisation: what a place decodes to depends on
    its neighbourhood alone, at any size of the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        zero(self.second)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.second(torch.relu(self.first(hidden)))


class PictureCodec(ModelMixin, ConfigMixin):
    """Pictures to latents of an eighth of the resolution and back.

        encode(x) = patches(x) + network(x),        decode(z) = patches^T(z) + network(z)

    The linear parts start as principal components of 8x8 patches (`fit_patches`), the networks at zero; all learn together.
    Latents have mean square 1 over all channels. A channel's variance is what it is worth: under noise of one strength on
    every channel, the square root of its components' variance is the best a linear code can do.

    Config:
        latent_channels: of the latents.
        encoder_channels, encoder_layers: widths and residual blocks at 1/4 and 1/8 of the resolution.
        decoder_channels, decoder_layers: widths and residual blocks at 1/8, 1/4 and 1/2.
        scaling_factor: multiplies latents before diffusion, as in diffusers.
    """

    patch = 8

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 48,
        encoder_channels: Sequence[int] = (64, 128),
        encoder_layers: Sequence[int] = (1, 2),
        decoder_channels: Sequence[int] = (160, 80, 32),
        decoder_layers: Sequence[int] = (2, 2, 1),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        fine, coarse = encoder_channels
        self.to_latents = nn.Conv2d(3, latent_channels, self.patch, stride=self.patch)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            *(Residual(fine) for _ in range(encoder_layers[0])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, coarse, 1),
            *(Residual(coarse) for _ in range(encoder_layers[1])),
            nn.Conv2d(coarse, latent_channels, 3, padding=1),
        )
        eighth, quarter, half = decoder_channels
        self.to_pixels = nn.ConvTranspose2d(latent_channels, 3, self.patch, stride=self.patch)
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, eighth, 3, padding=1),
            *(Residual(eighth) for _ in range(decoder_layers[0])),
            nn.Conv2d(eighth, 4 * quarter, 1),
            nn.PixelShuffle(2),
            *(Residual(quarter) for _ in range(decoder_layers[1])),
            nn.Conv2d(quarter, 4 * half, 1),
            nn.PixelShuffle(2),
            *(Residual(half) for _ in range(decoder_layers[2])),
            nn.Conv2d(half, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        zero(self.encoder[-1])
        zero(self.decoder[-2])

    def to_mean(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1], sides multiples of 8 -> latents (B, C, H/8, W/8)."""
        return self.to_latents(images) + self.encoder(images)

    def to_images(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> images (B, 3, 8h, 8w), about [-1, 1]."""
        return self.to_pixels(latents) + self.decoder(latents)

    @apply_forward_hook
    def encode(self, images: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        """Images as of `to_mean` -> a distribution of latents without variance."""
        mean = self.to_mean(images)
        moments = torch.cat([mean, torch.full_like(mean, -60.0)], dim=1)
        posterior = DiagonalGaussianDistribution(moments, deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    @apply_forward_hook
    def decode(self, latents: Tensor, return_dict: bool = True) -> DecoderOutput | tuple:
        """Latents -> images as of `to_images`."""
        images = self.to_images(latents)
        return DecoderOutput(sample=images) if return_dict else (images,)


def zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


@torch.no_grad()
def fit_patches(codec: PictureCodec, images: Tensor) -> float:
    """Set the linear parts to the leading principal components of the 8x8 patches of `images` (N, 3, H, W), in place.

    Each component is divided by the square root of its deviation, and all by one number that makes their mean square 1.

    Returns:
        share of the variance that the components carry.
    """
    p, kept = codec.patch, codec.config.latent_channels
    patches = nn.functional.unfold(images.float(), p, stride=p).transpose(1, 2).reshape(-1, 3 * p * p).double()
    mean = patches.view(-1, 3, p * p).mean((0, 2)).repeat_interleave(p * p)
    centred = patches - mean
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(patches))
    variances, directions = variances.flip(0), directions.flip(1)[:, :kept].T  # (C, 192)
    deviations = variances[:kept].clamp_min(1e-8).sqrt()
    gain = ((deviations.mean() * deviations).sqrt())[:, None]
    analysis, synthesis = directions / gain, directions * gain
    linear = {
        "to_latents.weight": analysis.reshape(kept, 3, p, p),
        "to_latents.bias": -(analysis @ mean),
        "to_pixels.weight": synthesis.reshape(kept, 3, p, p),
        "to_pixels.bias": mean.view(3, -1)[:, 0],
    }
    for name, value in linear.items():
        codec.get_parameter(name).copy_(value)
    return float(variances[:kept].sum() / variances.sum())
