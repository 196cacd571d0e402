"""Pixels as networks want them: uint8 pictures to [0, 1], [-1, 1] and CLIP's range."""

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from torch.nn import functional

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def unit_pixels(images: np.ndarray | Tensor) -> Tensor:
    """uint8 (..., H, W, C) -> float32 (..., C, H, W) in [0, 1], contiguous."""
    tensor = torch.as_tensor(images)
    return tensor.movedim(-1, -3).float().div_(255).contiguous()


def unit_clips(clips: np.ndarray | Tensor) -> Tensor:
    """uint8 (B, F, H, W, C) -> float32 (B, C, F, H, W) in [0, 1], contiguous: what guiders take."""
    return rearrange(unit_pixels(clips), "b f c h w -> b c f h w").contiguous()


def clip_pixels(images: np.ndarray, size: int) -> Tensor:
    """uint8 images (B, H, W, 3) -> CLIP's normalised pixels, float32 (B, 3, size, size); bicubic, aspect ratio not kept."""
    resized = np.stack([np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.BICUBIC)) for i in images])
    pixels = (resized.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_DEVIATION
    return rearrange(torch.from_numpy(pixels.astype(np.float32)), "b h w c -> b c h w").contiguous()


def with_detail(made: Tensor, trust: Tensor, full: Tensor, plain: Tensor) -> Tensor:
    """A picture with what is finer in another that it trusts: up(made) + up(trust) * (full - up(plain)).

    Args:
        made: (F, 3, H, W), any range.
        trust: (F, 1, h, w) in [0, 1].
        full: (F, 3, H', W'), the trusted pictures in the size of the result.
        plain: (F, 3, H, W), the trusted pictures as the autoencoder shows them.

    Returns:
        (F, 3, H', W').
    """
    size = full.shape[-2:]
    made, plain = (functional.interpolate(pictures, size, mode="bicubic") for pictures in (made, plain))
    return made + functional.interpolate(trust, size, mode="bilinear") * (full - plain)
