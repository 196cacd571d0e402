"""The diffusion objective against float64 numpy."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from scipy.ndimage import maximum_filter

from bunraku.training.objective import (
    diffuse,
    min_snr_weights,
    sample_noise,
    sample_timesteps,
    skeleton_weights,
    target,
)

SCHEDULER = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ZERO_SNR = DDIMScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True
)  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def clip() -> tuple[torch.Tensor, torch.Tensor]:
    """Clean latents and noise (2, 3, 4, 5, 6), float64."""
    draw = torch.randn(2, 2, 3, 4, 5, 6, dtype=torch.float64, generator=seeded())
    return draw[0], draw[1]


TIMESTEPS = [torch.tensor([3, 999]), torch.tensor([[0, 10, 500, 999], [999, 20, 30, 40]])]


def levels(timesteps: torch.Tensor) -> np.ndarray:
    alpha = ZERO_SNR.alphas_cumprod.double().numpy()[timesteps.numpy()]
    return alpha.reshape(2, 1, -1, 1, 1)


@pytest.mark.parametrize("timesteps", TIMESTEPS, ids=["per clip", "per frame"])
def test_diffuse_is_the_formula(clip, timesteps):
    clean, noise = (x.numpy() for x in clip)
    expected = np.sqrt(levels(timesteps)) * clean + np.sqrt(1 - levels(timesteps)) * noise
    np.testing.assert_allclose(diffuse(*clip, ZERO_SNR.alphas_cumprod, timesteps), expected, atol=1e-12)


def test_diffuse_is_that_of_diffusers(clip):
    noisy = diffuse(*clip, SCHEDULER.alphas_cumprod, TIMESTEPS[0])
    torch.testing.assert_close(noisy, SCHEDULER.add_noise(*clip, TIMESTEPS[0]), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("timesteps", TIMESTEPS, ids=["per clip", "per frame"])
def test_every_target_leads_back_to_the_clean_latents(clip, timesteps):
    clean, noise = clip
    alphas = SCHEDULER.alphas_cumprod
    noisy = diffuse(clean, noise, alphas, timesteps).numpy()
    a = alphas.double().numpy()[timesteps.numpy()].reshape(2, 1, -1, 1, 1)
    epsilon, sample, v = (
        target(clean, noise, alphas, timesteps, kind).numpy() for kind in ("epsilon", "sample", "v_prediction")
    )
    np.testing.assert_allclose((noisy - np.sqrt(1 - a) * epsilon) / np.sqrt(a), clean, atol=1e-9)
    np.testing.assert_allclose(sample, clean)
    np.testing.assert_allclose(np.sqrt(a) * noisy - np.sqrt(1 - a) * v, clean, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(a) * v + np.sqrt(1 - a) * noisy, noise, atol=1e-6)


def test_velocity_is_that_of_diffusers(clip):
    ours = target(*clip, SCHEDULER.alphas_cumprod, TIMESTEPS[0], "v_prediction")
    torch.testing.assert_close(ours, SCHEDULER.get_velocity(*clip, TIMESTEPS[0]), atol=1e-6, rtol=1e-6)


def test_unknown_target_is_an_error(clip):
    with pytest.raises(ValueError, match="epsilon, sample or v_prediction, not 'x'"):
        target(*clip, SCHEDULER.alphas_cumprod, TIMESTEPS[0], "x")


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_min_snr_is_the_formula(kind):
    steps = torch.arange(1000)
    alpha = SCHEDULER.alphas_cumprod.double().numpy()
    snr = alpha / (1 - alpha)
    expected = {
        "epsilon": np.minimum(snr, 5) / snr,
        "sample": np.minimum(snr, 5),
        "v_prediction": np.minimum(snr + 1, 5) / (snr + 1),
    }[kind]
    weights = min_snr_weights(SCHEDULER.alphas_cumprod, steps, 5.0, kind)
    np.testing.assert_allclose(weights, expected, rtol=2e-3)


def test_min_snr_limits():
    """Nothing is infinite at zero terminal SNR, and v-prediction, which is made for it, learns its first step."""
    last = torch.tensor([999])
    for kind, limit in (("epsilon", 1.0), ("sample", 0.0), ("v_prediction", 1.0)):
        assert float(min_snr_weights(ZERO_SNR.alphas_cumprod, last, 5.0, kind)) == pytest.approx(limit, abs=1e-6)
    early, late = torch.tensor([0]), torch.tensor([900])
    assert float(min_snr_weights(SCHEDULER.alphas_cumprod, early, 5.0, "sample")) == 5
    assert float(min_snr_weights(SCHEDULER.alphas_cumprod, late, 5.0, "epsilon")) == 1
    per_frame = min_snr_weights(SCHEDULER.alphas_cumprod, TIMESTEPS[1], 5.0, "epsilon")
    assert per_frame.shape == (2, 4)


def test_timesteps_are_in_range_and_lean_towards_noise():
    uniform = sample_timesteps((4000,), 1000, 1.0, seeded())
    leaning = sample_timesteps((4000,), 1000, 0.5, seeded())
    assert uniform.dtype == torch.int64
    assert 0 <= int(uniform.min()) < 5
    assert 995 < int(uniform.max()) <= 999
    assert float(uniform.float().mean()) == pytest.approx(500, abs=15)
    # the mean of u^p is 1 / (1 + p)
    assert float(leaning.float().mean()) == pytest.approx(667, abs=15)
    assert sample_timesteps((2, 3), 1000, 0.0, seeded()).tolist() == [[999] * 3] * 2
    assert torch.equal(sample_timesteps((9,), 1000, 1.0, seeded(4)), sample_timesteps((9,), 1000, 1.0, seeded(4)))


def test_noise_has_unit_variance_and_frames_share_what_they_should():
    like = torch.zeros(20, 8, 6, 8, 8)
    plain, shared = sample_noise(like, 0.0, 0.0, seeded()), sample_noise(like, 0.0, 0.7, seeded())
    for noise, correlation in ((plain, 0.0), (shared, 0.7)):
        assert float(noise.var()) == pytest.approx(1, abs=0.03)
        assert float((noise[:, :, 0] * noise[:, :, 3]).mean()) == pytest.approx(correlation, abs=0.03)
    equal = sample_noise(like, 0.0, 1.0, seeded())
    assert torch.equal(equal[:, :, 0], equal[:, :, 5])


def test_noise_offset_is_one_number_per_clip_and_channel():
    like = torch.zeros(300, 4, 2, 8, 8)
    means = sample_noise(like, 0.5, 0.0, seeded()).mean((2, 3, 4))
    # offset^2, and the variance of a mean of 128 numbers
    assert float(means.var()) == pytest.approx(0.25 + 1 / 128, abs=0.03)
    assert float(sample_noise(like, 0.0, 0.0, seeded()).mean((2, 3, 4)).var()) == pytest.approx(1 / 128, abs=0.003)


def test_skeleton_weights_are_the_dilated_drawing():
    poses = torch.zeros(1, 3, 2, 32, 40)
    poses[0, 2, 0, 3:9, 20] = 0.6  # a thin blue line in frame 0, crossing into the second row of cells
    weights = skeleton_weights(poses, (4, 5), 2.5)
    assert weights.shape == (1, 1, 2, 4, 5)
    cells = (poses.numpy().max(1) > 0).reshape(1, 2, 4, 8, 5, 8).any((3, 5))
    expected = 1 + 1.5 * np.stack([maximum_filter(frame, 3, mode="constant") for frame in cells[0]])
    np.testing.assert_allclose(weights[0, 0], expected)
    assert not (weights[0, 0, 1] != 1).any()
    np.testing.assert_allclose(skeleton_weights(poses, (4, 5), 2.5, dilation=0)[0, 0], 1 + 1.5 * cells[0])
