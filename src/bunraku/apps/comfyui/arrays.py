"""ComfyUI's tensors and our arrays: IMAGE is float (B, H, W, C) in [0, 1], MASK float (B, H, W) or (H, W) in [0, 1]."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from bunraku.errors import BunrakuError


def pictures_of(images: Tensor) -> np.ndarray:
    """An IMAGE as uint8 (B, H, W, C).

    Raises:
        BunrakuError: not an IMAGE.
    """
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or not len(images):
        raise BunrakuError(f"an IMAGE is (B, H, W, 3 or 4), got {tuple(images.shape)}")
    return _bytes(images)


def images_of(pictures: np.ndarray) -> Tensor:
    """uint8 (B, H, W, C) as an IMAGE, or (B, H, W) as a MASK."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).float().div_(255)


def images_of_chunks(chunks: Iterable[np.ndarray], frames: int) -> Tensor:
    """Chunks uint8 (f, H, W, C) of a clip as one IMAGE; never more than a chunk is held twice."""
    made: Tensor | None = None
    done = 0
    for chunk in chunks:
        if made is None:
            made = torch.empty(frames, *chunk.shape[1:])
        made[done : done + len(chunk)] = images_of(chunk)
        done += len(chunk)
    if made is None or done != frames:
        raise BunrakuError(f"{done} frames were made of {frames}")
    return made


def mask_of(mask: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A MASK of one picture of `size` (height, width): uint8 (H, W), or of several people (P, H, W).

    Raises:
        BunrakuError: of another size, or nothing in it.
    """
    matte = _bytes(mask[0] if mask.ndim == 3 and len(mask) == 1 else mask)
    if matte.shape[-2:] != size:
        raise BunrakuError(
            f"the mask has {matte.shape[-1]}x{matte.shape[-2]} px, the image {size[1]}x{size[0]}: it belongs to another picture"
        )
    if matte.max() < 128:
        raise BunrakuError("the mask is empty: it is 1 where the figure is")
    return matte


def _bytes(values: Tensor) -> np.ndarray:
    return values.detach().float().mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
