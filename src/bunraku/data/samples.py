"""What a dataset hands to training: one reference, F driven frames of the same character, and their skeletons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class Batch:
    """B samples of F frames, uint8 (pixels are converted where they are used).

    Attributes:
        frames, poses: (B, F, H, W, 3), RGB and drawn skeletons.
        reference, reference_pose: (B, H, W, 3).
    """

    frames: Tensor
    poses: Tensor
    reference: Tensor
    reference_pose: Tensor


Sample = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""frames, poses (F, H, W, 3), reference, reference_pose (H, W, 3), uint8."""


def collate(samples: Sequence[Sample]) -> Batch:
    return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*samples)))


class StepSampler:
    """Batches of indices by step: step s of rank r always gets the same samples, so a resumed run continues exactly.

    Iterating from `start` yields, for each step and micro-batch, `batch` consecutive indices; ranks interleave.
    """

    def __init__(self, start: int, stop: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.start, self.stop, self.batch, self.rank, self.world = start, stop, batch, rank, world

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            first = (step * self.world + self.rank) * self.batch
            yield list(range(first, first + self.batch))


def loader(dataset: Dataset, sampler: StepSampler, workers: int) -> DataLoader:
    """Batches of `dataset` in the sampler's order, prepared `workers` processes ahead."""
    return DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers, prefetch_factor=4 if workers else None
    )
