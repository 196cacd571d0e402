"""PatchCodec: the mini size's autoencoder, with the calls of diffusers' AutoencoderKL."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.resnet import ResnetBlock2D
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn


class Residual(ResnetBlock2D):
    """diffusers' residual block without a time embedding."""

    def __init__(self, channels: int) -> None:
        super().__init__(in_channels=channels, out_channels=channels, temb_channels=None, groups=8)

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden, None)


class PatchCodec(ModelMixin, ConfigMixin):
    """8x8 patches to their leading principal components and back, with a convolutional decoder that adds what they lose.

    The encoder is linear and fixed (`fit_components`), so latents exist before any training and cost next to nothing.
    decode(z) = components back to pixels + a network that starts at zero.

    Config:
        latent_channels: components kept, of 192.
        decoder_channels: widths of the decoder at 1/8, 1/4 and 1/2 of the resolution.
        decoder_layers: residual blocks at each of them.
        scaling_factor: multiplies latents before diffusion, as in diffusers.
    """

    patch = 8

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 16,
        decoder_channels: Sequence[int] = (160, 96, 48),
        decoder_layers: Sequence[int] = (2, 2, 1),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        pixels = 3 * self.patch**2
        self.register_buffer("components", torch.zeros(latent_channels, 3, self.patch, self.patch))
        self.register_buffer("deviations", torch.ones(latent_channels))
        self.register_buffer("mean", torch.zeros(3))
        stages: list[nn.Module] = [nn.Conv2d(latent_channels, decoder_channels[0], 3, padding=1)]
        for i, (width, layers) in enumerate(zip(decoder_channels, decoder_layers)):
            stages += [Residual(width) for _ in range(layers)]
            after = decoder_channels[i + 1] if i + 1 < len(decoder_channels) else 3
            stages += [nn.SiLU(), nn.Conv2d(width, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
        self.decoder = nn.Sequential(*stages)
        nn.init.zeros_(stages[-2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(stages[-2].bias)  # type: ignore[arg-type]
        if 2 ** len(decoder_channels) != self.patch or pixels < latent_channels:
            raise ValueError(f"a patch of {self.patch} needs three decoder widths and at most {pixels} latent channels")

    @apply_forward_hook
    def encode(self, images: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        """Images (B, 3, H, W) in [-1, 1] -> a distribution of latents (B, C, H/8, W/8) without variance."""
        centred = images - self.mean.view(1, 3, 1, 1)
        basis = self.components / self.deviations.sqrt().view(-1, 1, 1, 1)
        mean = nn.functional.conv2d(centred, basis.to(centred), stride=self.patch)
        moments = torch.cat([mean, torch.full_like(mean, -60.0)], dim=1)
        posterior = DiagonalGaussianDistribution(moments, deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def project(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> images (B, 3, 8h, 8w) by the components alone."""
        basis = self.components * self.deviations.sqrt().view(-1, 1, 1, 1)
        return nn.functional.conv_transpose2d(latents, basis.to(latents), stride=self.patch) + self.mean.view(
            1, 3, 1, 1
        ).to(latents)

    @apply_forward_hook
    def decode(self, latents: Tensor, return_dict: bool = True) -> DecoderOutput | tuple:
        """Latents (B, C, h, w) -> images (B, 3, 8h, 8w), about [-1, 1]."""
        images = self.project(latents) + self.decoder(latents)
        return DecoderOutput(sample=images) if return_dict else (images,)


def fit_components(codec: PatchCodec, images: np.ndarray) -> float:
    """Set the encoder to the principal components of the patches of `images`, uint8 (N, H, W, 3), in place.

    Each component is divided by the square root of its standard deviation (half-way to whitening: small components stay
    visible to the networks, large ones keep the larger share of the loss), and `scaling_factor` gives unit variance over all.

    Returns:
        share of the variance that the kept components carry.
    """
    p = codec.patch
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 127.5 - 1
    mean = pixels.mean(dim=(0, 2, 3))
    patches = nn.functional.unfold((pixels - mean.view(1, 3, 1, 1)).float(), p, stride=p)  # (N, 3 p p, L)
    patches = patches.transpose(1, 2).reshape(-1, 3 * p * p).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    kept = codec.config.latent_channels
    variances, directions = variances.flip(0), directions.flip(1)
    deviations = variances[:kept].clamp_min(1e-8).sqrt()
    codec.components.copy_(directions[:, :kept].T.reshape(kept, 3, p, p))
    codec.deviations.copy_(deviations)
    codec.mean.copy_(mean)
    codec.register_to_config(scaling_factor=float(deviations.mean() ** -0.5))
    return float(variances[:kept].sum() / variances.sum())
