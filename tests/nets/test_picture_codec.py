"""PictureCodec: principal components at the start, the calls of AutoencoderKL, and independence of the picture's size."""

import numpy as np
import pytest
import torch
from einops import rearrange

from bunraku.nets.picture_codec import PictureCodec, fit_patches
from tests.tiny import randomise


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Smooth random pictures (6, 3, 64, 48) in [-1, 1]."""
    noise = torch.rand(6, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(noise, (64, 48), mode="bicubic").clamp(-1, 1)


def narrow(latent_channels: int) -> PictureCodec:
    return PictureCodec(latent_channels, (8, 8), (1, 1), (8, 8, 8), (1, 1, 1)).eval()


@torch.no_grad()
def restored(codec: PictureCodec, images: torch.Tensor) -> torch.Tensor:
    return codec.decode(codec.encode(images).latent_dist.mode()).sample


def test_fitted_codec_keeps_the_share_of_variance_that_numpy_says(images):
    codec = narrow(16)
    share = fit_patches(codec, images)
    values = images.double().numpy() - images.double().numpy().mean((0, 2, 3), keepdims=True)
    patches = rearrange(values, "n c (h p) (w q) -> (n h w) (c p q)", p=8, q=8)
    variances = np.linalg.eigvalsh(patches.T @ patches)[::-1]
    assert share == pytest.approx(variances[:16].sum() / variances.sum(), abs=1e-6)
    lost = (restored(codec, images) - images).square().mean() / np.square(values).mean()
    assert float(lost) == pytest.approx(1 - share, abs=1e-4)


def test_all_components_lose_nothing():
    codec, noise = narrow(192), torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert fit_patches(codec, noise) == pytest.approx(1)
    torch.testing.assert_close(restored(codec, noise), noise, atol=1e-4, rtol=0)


@torch.no_grad()
def test_fitted_latents_have_mean_square_one_and_components_in_order(images):
    codec = narrow(16)
    fit_patches(codec, images)
    latents = codec.encode(images).latent_dist.mode()
    assert float(latents.square().mean()) == pytest.approx(1, abs=1e-3)
    deviations = latents.square().mean((0, 2, 3)).sqrt()
    assert (deviations[:-1] >= deviations[1:] - 1e-5).all()


@torch.no_grad()
def test_a_place_decodes_alike_in_a_larger_picture():
    codec = narrow(4)
    randomise(codec)
    latents = torch.randn(1, 4, 24, 20, generator=torch.Generator().manual_seed(2))
    whole, part = codec.decode(latents).sample, codec.decode(latents[..., 4:20, 4:18]).sample
    torch.testing.assert_close(part[..., 48:-48, 48:-48], whole[..., 80:-80, 80:-64], atol=1e-5, rtol=1e-5)
    assert whole.std() > 0.01


def test_shapes_loading_and_the_forms_of_autoencoderkl(images, tmp_path):
    codec = narrow(4)
    randomise(codec)
    assert codec.encode(images).latent_dist.sample().shape == (6, 4, 8, 6)
    latents = codec.encode(images, return_dict=False)[0].mode()
    codec.save_pretrained(tmp_path)
    loaded = PictureCodec.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.decode(latents, return_dict=False)[0], codec.decode(latents).sample)
