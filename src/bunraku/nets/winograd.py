"""Convolutions of 3x3 pixels with 16 products where the plain way has 36: Winograd's F(2x2, 3x3), for CPUs.

Lavin and Gray 2016 (arXiv 1509.09308): of a tile d of 4x4 pixels and a kernel g the four pixels Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A. The sum
over channels turns the products into 16 products of matrices, and all else is sums and differences.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

NARROWEST = 256
"""Channels, in and out, from which on the sums and differences cost less than the products that they save."""

FEWEST_TILES = 128
"""Below that a kernel is transformed for too few pixels."""

PIECE = 1 << 22
"""Numbers of transformed maps that are there at once: what a processor's cache holds."""


def worth_winograd(maps: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether maps (B, C, h, w) and a kernel (D, C, 3, 3) are faster this way, on AVX2 and on AVX-512."""
    batch, _, height, width = maps
    return min(kernel[:2]) >= NARROWEST and batch * height * width >= 4 * FEWEST_TILES


class Winograd:
    """Convolutions with a border of zeros; their errors are at most a few times the plain way's (1e-6 of the largest). Not for several threads at once.

    Args:
        product: of rows (P, C) and a matrix (D, C), plus a bias or None: (P, D).
    """

    def __init__(self, product: Callable[..., Tensor] = torch.nn.functional.linear) -> None:
        self.product = product
        self._kept = torch.empty(0)  # a fresh buffer costs more than the transform that fills it

    def __call__(self, maps: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Maps (B, C, h, w) of any strides, a kernel (D, C, 3, 3) and a bias (D,) -> (B, D, h, w), channels last."""
        batch, channels, height, width = maps.shape
        down, across, wide = -(-height // 2), -(-width // 2), len(kernel)
        matrices = self._transformed(kernel)
        out = maps.new_empty(batch, down, 2, across, 2, wide)
        band = max(1, min(down, PIECE // (16 * across * channels)))
        at_once = max(1, PIECE // (16 * down * across * channels))
        for start in range(0, batch, at_once):
            grid = maps[start : start + at_once].permute(0, 2, 3, 1)
            padded = torch.nn.functional.pad(grid, (0, 0, 1, 1 + width % 2, 1, 1 + height % 2))
            for top in range(0, down, band):
                tiles = _spread(_spread(padded[:, 2 * top : 2 * (top + band) + 2], 1), 3)
                made = out[start : start + at_once, top : top + band]
                for column, share in enumerate(self._products(tiles, matrices, bias)):
                    for row, found in enumerate(share):
                        made[:, :, row, :, column] = found.view(*tiles.shape[2:5], wide)
        whole = out.view(batch, 2 * down, 2 * across, wide)[:, :height, :width]
        return whole.permute(0, 3, 1, 2)

    def _products(self, tiles: Tensor, matrices: Tensor, bias: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Transformed tiles (4, 4, ..., C) -> of the two columns of each tile's middle its two rows, each (P, D)."""
        flat = tiles.view(4, 4, -1, tiles.shape[-1])
        # the product in the middle has a share in all four pixels, so the bias travels with it
        rows = [
            _gather(*(self.product(flat[c, r], matrices[c, r], bias if c == r == 1 else None) for c in range(4)))
            for r in range(4)
        ]
        return [_gather(*share) for share in zip(*rows)]

    def _transformed(self, kernel: Tensor) -> Tensor:
        """(D, C, 3, 3) -> (4, 4, D, C), the column first; until the next call."""
        wide, channels = kernel.shape[:2]
        size = 16 * wide * channels
        if self._kept.numel() < size:
            self._kept = kernel.new_empty(size)
        flat = self._kept[:size].view(16, wide * channels)
        return torch.mm(_kernel_transform(), kernel.reshape(-1, 9).t(), out=flat).view(4, 4, wide, channels)


@cache
def _kernel_transform() -> Tensor:
    """(16, 9): G g Gᵀ of a kernel of 9 numbers, its column first."""
    g = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    return torch.einsum("ci,rj->crji", g, g).reshape(16, 9).contiguous()


def _spread(maps: Tensor, axis: int) -> Tensor:
    """Bᵀ d along one axis: of 2 n + 2 numbers the four transformed ones of n overlapping tiles, as a first axis."""
    count = maps.shape[axis] // 2 - 1
    before = (slice(None),) * axis
    a, b, c, d = (maps[(*before, slice(first, first + 2 * count - 1, 2))] for first in range(4))
    out = maps.new_empty(4, *a.shape)
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])
    return out


def _gather(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Aᵀ m: of the four transformed numbers the two of the picture, a + b + c and b - c - d; what is given is used up."""
    first = b + c
    first += a
    b -= c
    b -= d
    return first, b
