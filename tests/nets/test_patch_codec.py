"""PatchCodec: principal components against numpy, and the calls of AutoencoderKL."""

import numpy as np
import pytest
import torch
from einops import rearrange

from bunraku.nets.patch_codec import PatchCodec, fit_components
from tests.tiny import randomise


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth random pictures, uint8 (6, 64, 48, 3)."""
    noise = torch.rand(6, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (64, 48), mode="bicubic").clamp(0, 1)
    return (smooth.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)


def narrow(latent_channels: int) -> PatchCodec:
    return PatchCodec(latent_channels, decoder_channels=(8, 8, 8), decoder_layers=(1, 1, 1)).eval()


def pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def test_keeps_the_share_of_variance_that_numpy_says(images):
    codec = narrow(16)
    share = fit_components(codec, images)
    values = images / 127.5 - 1
    values = values - values.mean((0, 1, 2))
    patches = rearrange(values, "n (h p) (w q) c -> (n h w) (c p q)", p=8, q=8)
    variances = np.linalg.eigvalsh(patches.T @ patches)[::-1]
    assert share == pytest.approx(variances[:16].sum() / variances.sum(), abs=1e-6)
    restored = codec.decode(codec.encode(pixels(images)).latent_dist.mode()).sample
    lost = (restored - pixels(images)).square().mean() / np.square(values).mean()
    assert float(lost) == pytest.approx(1 - share, abs=1e-4)


@torch.no_grad()
def test_all_components_lose_nothing(images):
    rng = np.random.default_rng(0)
    codec, noise = narrow(192), rng.integers(0, 256, (8, 64, 64, 3), np.uint8)
    assert fit_components(codec, noise) == pytest.approx(1)
    restored = codec.decode(codec.encode(pixels(images)).latent_dist.mode()).sample
    torch.testing.assert_close(restored, pixels(images), atol=1e-4, rtol=0)


@torch.no_grad()
def test_scaled_latents_have_unit_variance(images):
    codec = narrow(16)
    fit_components(codec, images)
    latents = codec.encode(pixels(images)).latent_dist.mode() * codec.config.scaling_factor
    assert float(latents.square().mean()) == pytest.approx(1, abs=0.01)
    deviations = latents.square().mean((0, 2, 3)).sqrt()
    assert (deviations[:-1] >= deviations[1:] - 1e-5).all()  # half-way to whitening keeps the order


@torch.no_grad()
def test_posterior_has_no_variance_and_decoder_starts_at_zero(images):
    codec = narrow(16)
    fit_components(codec, images)
    posterior = codec.encode(pixels(images)).latent_dist
    assert torch.equal(posterior.sample(), posterior.mode())
    latents = posterior.mode()
    assert latents.shape == (6, 16, 8, 6)
    assert torch.equal(codec.decode(latents).sample, codec.project(latents))
    randomise(codec)
    assert not torch.allclose(codec.decode(latents).sample, codec.project(latents), atol=1e-3)
    assert torch.equal(codec.decode(latents, return_dict=False)[0], codec.decode(latents).sample)
    assert torch.equal(codec.encode(pixels(images), return_dict=False)[0].mode(), latents)


@torch.no_grad()
def test_save_and_load_keep_components_and_scale(images, tmp_path):
    codec = randomise(narrow(16))
    fit_components(codec, images)
    codec.save_pretrained(tmp_path)
    loaded = PatchCodec.from_pretrained(tmp_path)
    assert loaded.config.scaling_factor == codec.config.scaling_factor != 1
    latents = codec.encode(pixels(images)).latent_dist.mode()
    assert torch.equal(loaded.encode(pixels(images)).latent_dist.mode(), latents)
    assert torch.equal(loaded.decode(latents).sample, codec.decode(latents).sample)


def test_decoder_must_come_back_to_the_patch():
    with pytest.raises(ValueError, match="three decoder widths"):
        PatchCodec(decoder_channels=(8, 8), decoder_layers=(1, 1))
