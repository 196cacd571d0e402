"""What a dataset hands to training: the driven frames of a clip, and what is known of it as the networks read it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bunraku.cues.cues import Cues
from bunraku.cues.drawn import VIEWS, draw_clip, draw_stills, draw_views, with_puppet
from bunraku.recipes import Inputs, Reads

Array = TypeVar("Array", np.ndarray, Tensor)

ReferenceFrame = Literal["random", "first"]
"""Which frame of a clip is the reference: any other frame, or its first (TCAN's second stage)."""

STAYING = 0.7
"""Share of the samples, for models that are shown both a scene and a cut-out, whose scene is the still's, as at inference; the others come into
their own clip's."""


@dataclass(frozen=True)
class Sample(Generic[Array]):
    """One clip of F frames (arrays), or a batch of B (tensors); all uint8.

    Attributes:
        frames: what is to come out, (F, H, W, 3), RGB.
        stills, driven: the conditions by name, (H, W, C) and (F, H, W, C); see `Inputs`.
    """

    frames: Array
    stills: Mapping[str, Array]
    driven: Mapping[str, Array]

    def to(self, device: torch.device) -> "Sample[Tensor]":
        """A batch on another device, bytes as they are."""
        return self._with(lambda pictures: pictures.to(device, non_blocking=True))

    def pin_memory(self) -> "Sample[Tensor]":
        """What a loader makes of a batch so that a GPU can fetch it by itself."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> "Sample[Tensor]":
        stills, driven = (
            {name: change(torch.as_tensor(pictures)) for name, pictures in part.items()}
            for part in (self.stills, self.driven)
        )
        return Sample(change(torch.as_tensor(self.frames)), stills, driven)


def draw_sample(
    reads: Reads,
    frames: np.ndarray,
    cues: Cues,
    reference: np.ndarray,
    reference_cues: Cues,
    styles: Mapping[str, Mapping[str, Any]],
    mattes: np.ndarray | None = None,
    views: Sequence[tuple[np.ndarray, Cues]] = (),
    behind: np.ndarray | None = None,
) -> Sample[np.ndarray]:
    """The sample of a clip: every condition in `reads` drawn as inference draws it.

    Args:
        frames: (F, H, W, 3).
        cues: of these frames; `reference_cues`: one frame.
        reference: (H, W, 3).
        styles: see `recipes.Size`.
        mattes: uint8 (P, H, W), how much of the reference each person covers; None: found where they are needed.
        views: further pictures of the reference, (H, W, 3), with their cues.
        behind: (F, H, W, 3), what a cut-out is put before; None: the reference's own ground.
    """
    cues = with_puppet(cues, reference, reference_cues, mattes, behind)
    size = (frames.shape[1], frames.shape[2])
    driven = {name: drawn[range(len(frames))] for name, drawn in draw_clip(reads.frames, cues, size, styles).items()}
    stills = draw_stills(reads.stills, reference, reference_cues, styles) | draw_views(reads.stills, views, styles)
    return Sample(frames, stills, driven)


def collate(samples: Sequence[Sample[np.ndarray]]) -> Sample[Tensor]:
    """Samples as one batch."""

    def stacked(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.stack([part[name] for part in parts])) for name in parts[0]}

    return Sample(
        torch.from_numpy(np.stack([sample.frames for sample in samples])),
        stacked([sample.stills for sample in samples]),
        stacked([sample.driven for sample in samples]),
    )


def inputs_of(batch: Sample[Tensor], dropped: Mapping[str, Tensor]) -> Inputs:
    """What the networks may read of a batch; `dropped` as of `Inputs`."""
    return Inputs(batch.stills, batch.driven, dropped)


def with_pictures(batch: Sample[Tensor], count: int) -> Sample[Tensor]:
    """A batch whose references have the first `count` of their pictures."""
    stills = {name: still[:, : count - 1] if name.startswith(VIEWS) else still for name, still in batch.stills.items()}
    return replace(batch, stills={name: still for name, still in stills.items() if still.shape[1]})


class StepSampler:
    """Batches of indices by step: step s of rank r always gets the same samples, so a resumed run continues exactly.

    Iterating from `start` yields, for each step and micro-batch, `batch` consecutive indices; ranks interleave. Where sample i is of
    kind i % kinds, those of a batch are all of one kind, and the kinds follow each other.
    """

    def __init__(self, start: int, stop: int, batch: int, rank: int = 0, world: int = 1, kinds: int = 1) -> None:
        self.start, self.stop, self.batch, self.rank, self.world, self.kinds = start, stop, batch, rank, world, kinds

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            turn, kind = divmod(step * self.world + self.rank, self.kinds)
            yield [(turn * self.batch + place) * self.kinds + kind for place in range(self.batch)]


def loader(dataset: Dataset, sampler: StepSampler, workers: int) -> DataLoader:
    """Batches of `dataset` in the sampler's order, prepared `workers` processes ahead."""
    return DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers, prefetch_factor=2 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
