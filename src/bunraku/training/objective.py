"""What the denoiser is asked for: noise, timesteps, targets and weights of the diffusion loss."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_timesteps(shape: tuple[int, ...], count: int, power: float, generator: torch.Generator) -> Tensor:
    """Timesteps floor(count * u^power), u uniform: power 1 is uniform, smaller ones lean towards high noise. int64 `shape`."""
    return (count * torch.rand(shape, generator=generator) ** power).long().clamp_(max=count - 1)


def sample_noise(like: Tensor, offset: float, shared: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise (B, C, F, h, w).

    Args:
        offset: adds `offset` times one normal number per clip and channel ("noise offset").
        shared: share of the variance that all frames of a clip have in common, as when sampling starts from one noise.
    """
    noise = torch.randn(like.shape, generator=generator)
    if shared:
        common = torch.randn(like[:, :, :1].shape, generator=generator)
        noise = shared**0.5 * common + (1 - shared) ** 0.5 * noise
    if offset:
        noise = noise + offset * torch.randn(*like.shape[:2], 1, 1, 1, generator=generator)
    return noise.to(like)


def diffuse(clean: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """q(x_t | x_0) = sqrt(a_t) x_0 + sqrt(1 - a_t) noise; one timestep per clip (B,) or per frame (B, F)."""
    alpha = _per_frame(alphas_cumprod, timesteps, clean)
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise


def target(clean: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor, prediction_type: str) -> Tensor:
    """What is predicted: "epsilon": the noise; "sample": x_0; "v_prediction": sqrt(a) noise - sqrt(1 - a) x_0."""
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return clean
    if prediction_type == "v_prediction":
        alpha = _per_frame(alphas_cumprod, timesteps, clean)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    raise ValueError(f"prediction_type is epsilon, sample or v_prediction, not {prediction_type!r}")


def min_snr_weights(alphas_cumprod: Tensor, timesteps: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR-gamma loss weights (Hang et al. 2023, Eq. 9-10).

    min(snr, gamma) / snr for epsilon, and min(snr, gamma) for sample. For v-prediction the paper has min(snr, gamma) / (snr + 1),
    which is 0 at zero terminal SNR: the first step of sampling would learn nothing. Here it is min(snr + 1, gamma) / (snr + 1), as the
    public Animate Anyone code has it, which trains v-prediction on such a schedule.

    At zero terminal SNR the epsilon weight would be 0/0; it is taken as 1, its limit.
    """
    alpha = alphas_cumprod.to(timesteps.device)[timesteps].float()
    snr = alpha / (1 - alpha).clamp_min(1e-12)
    if prediction_type == "epsilon":
        return torch.where(snr > 0, snr.clamp(max=gamma) / snr.clamp_min(1e-12), 1.0)
    return (snr + 1).clamp(max=gamma) / (snr + 1) if prediction_type == "v_prediction" else snr.clamp(max=gamma)


def skeleton_weights(poses: Tensor, size: tuple[int, int], weight: float, dilation: int = 1) -> Tensor:
    """`weight` where the dilated skeleton is, 1 elsewhere.

    Args:
        poses: drawn skeletons (B, 3, F, H, W), black where there is none.
        size: latent size (h, w).
        dilation: in latent cells.

    Returns:
        (B, 1, F, h, w).
    """
    drawn = (poses.amax(dim=1) > 0).to(poses.dtype)
    cells = F.adaptive_max_pool2d(drawn, size)
    return 1 + (weight - 1) * F.max_pool2d(cells, 2 * dilation + 1, stride=1, padding=dilation)[:, None]


def _per_frame(alphas_cumprod: Tensor, timesteps: Tensor, like: Tensor) -> Tensor:
    alpha = alphas_cumprod.to(like.device)[timesteps].to(like.dtype)
    return alpha[:, None, :, None, None] if alpha.ndim == 2 else alpha[:, None, None, None, None]
