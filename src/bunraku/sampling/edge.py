"""EDGE's long sequences: windows that overlap are kept equal where they do, sample by sample, and cross-faded at the end.

Animate Anyone's "temporal aggregation" cites it. Instead of averaging what windows predict (`windows`), after every step but the last each
window takes over what the window before says of the frames they share.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor


def agree(samples: Tensor, windows: Sequence[range]) -> Tensor:
    """Every window's first frames become those of the window before, as far as they share them; for after every step but the last.

    Windows are followed in order, so that where three share a frame all say the same.

    Args:
        samples: (N, C, F, h, w), the sample x (not the predicted noise) of N windows.
        windows: their frames; each begins within the one before and ends behind it. EDGE's overlap by half.

    Returns:
        (N, C, F, h, w), a new tensor.

    Source: EDGE (Tseng et al., CVPR 2023), section 3.4 and its `long_ddim_sample`: x[1:, :half] = x[:-1, half:].

    >>> x = torch.arange(8.0).reshape(2, 1, 4, 1, 1)
    >>> agree(x, [range(0, 4), range(2, 6)]).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0, 2.0, 3.0, 6.0, 7.0]
    """
    overlaps = _overlaps(samples, windows)
    agreed = samples.clone()
    for k, overlap in enumerate(overlaps, 1):
        agreed[k, :, :overlap] = agreed[k - 1, :, samples.shape[2] - overlap :].clone()
    return agreed


def cross_fade(samples: Tensor, windows: Sequence[range]) -> Tensor:
    """The windows of one clip as the clip: where two overlap, from one to the other by weights that are linear from 1 to 0 and 0 to 1.

    Args:
        samples, windows: as of `agree`; the first window begins with frame 0.

    Returns:
        (1, C, frames, h, w).

    Source: EDGE's code, the fades at the end of its long sampling.

    >>> x = torch.tensor([0.0] * 4 + [1.0] * 4).reshape(2, 1, 4, 1, 1)
    >>> cross_fade(x, [range(0, 4), range(1, 5)]).flatten().tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    joined = samples[0]
    for sample, overlap in zip(samples[1:], _overlaps(samples, windows)):
        weight = torch.linspace(0, 1, overlap).to(samples)[:, None, None]
        before, shared = joined.split([joined.shape[1] - overlap, overlap], dim=1)
        faded = (1 - weight) * shared + weight * sample[:, :overlap]
        joined = torch.cat([before, faded, sample[:, overlap:]], dim=1)
    return joined[None]


def _overlaps(samples: Tensor, windows: Sequence[range]) -> list[int]:
    """How many frames each window but the first shares with the one before."""
    size = samples.shape[2]
    overlaps = [before.stop - after.start for before, after in itertools.pairwise(windows)]
    if len(windows) != len(samples) or any(len(w) != size for w in windows) or any(not 0 <= o < size for o in overlaps):
        raise ValueError(
            f"windows of {size} frames must follow each other; got {list(windows)} for {len(samples)} samples"
        )
    return overlaps
