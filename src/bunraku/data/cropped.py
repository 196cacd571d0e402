"""Cropped samples: a part of each driven frame, so that large pictures are learnt from at the cost of small ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from bunraku.data.samples import Sample

WRONG = 24
"""Largest difference of a channel between the truth and the cut-out that counts as right."""

MENDING = 0.25
"""Share of the crops that are placed about something that the cut-out gets wrong."""

CELL = 8
"""Pixels of a latent's side: crops start at whole latents."""


@dataclass(frozen=True)
class CroppedSamples(Dataset):
    """Samples of which a square of `side` pixels is driven; their stills stay whole.

    All frames of a sample show the same square. One of four lies about a pixel that the cut-out, where there is one, gets wrong.

    Args:
        samples: a data set whose pictures have at least `side` pixels each way.
        side: a multiple of 8.
        seed: of the places.
    """

    samples: Any
    side: int
    seed: int = 0

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        sample, rng = self.samples[index], np.random.default_rng([self.seed, index, self.side])
        size = sample.frames.shape[1:3]
        middle = rng.integers(0, size)
        if "cutout" in sample.driven and rng.random() < MENDING:
            frame = int(rng.integers(len(sample.frames)))
            apart = np.abs(sample.frames[frame].astype(int) - sample.driven["cutout"][frame, ..., :3]).max(-1)
            wrong = np.argwhere(apart > WRONG)
            middle = wrong[rng.integers(len(wrong))] if len(wrong) else middle
        starts = [int(np.clip(m - self.side // 2, 0, s - self.side)) // CELL * CELL for m, s in zip(middle, size)]
        window = np.s_[:, starts[0] : starts[0] + self.side, starts[1] : starts[1] + self.side]
        return Sample(
            sample.frames[window], sample.stills, {name: drawn[window] for name, drawn in sample.driven.items()}
        )
