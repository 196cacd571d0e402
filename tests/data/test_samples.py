"""Batches: what a step sees depends on its number alone."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from bunraku.data.samples import Sample, StepSampler, collate, loader


class Numbered(Dataset):
    """Sample i is filled with i."""

    def __getitem__(self, index: int) -> Sample:
        clip, image = np.full((2, 4, 6, 3), index, np.uint8), np.full((4, 6, 3), index, np.uint8)
        return Sample(clip, {"reference": image + 2, "reference_pose": image + 3}, {"pose": clip + 1})


def test_collate_stacks_and_keeps_bytes():
    batch = collate([Numbered()[i] for i in (5, 9)])
    parts = batch.frames, batch.driven["pose"], batch.stills["reference"], batch.stills["reference_pose"]
    assert [part.shape for part in parts] == [(2, 2, 4, 6, 3)] * 2 + [(2, 4, 6, 3)] * 2
    for offset, part in enumerate(parts):
        assert part.dtype == torch.uint8
        assert part.flatten(1).unique(dim=1).flatten().tolist() == [5 + offset, 9 + offset]


@pytest.mark.parametrize("world", [1, 3])
def test_ranks_are_disjoint_and_together_see_everything_in_order(world):
    ranks = [list(StepSampler(0, 4, 2, rank, world)) for rank in range(world)]
    assert all(len(steps) == 4 for steps in ranks)
    seen = [index for step in zip(*ranks) for batch in step for index in batch]
    assert seen == list(range(4 * 2 * world))


def test_resuming_continues_where_the_run_stopped():
    whole = list(StepSampler(0, 10, 3, 1, 2))
    assert list(StepSampler(0, 6, 3, 1, 2)) + list(StepSampler(6, 10, 3, 1, 2)) == whole
    assert len(StepSampler(6, 10, 3)) == 4


def test_a_batch_is_of_one_kind_and_the_kinds_follow_each_other():
    whole = list(StepSampler(0, 9, 4, kinds=3))
    assert [{index % 3 for index in batch} for batch in whole] == [{0}, {1}, {2}] * 3
    assert [index for step in zip(*whole[:3]) for index in step] == list(range(12))
    assert sorted(index for batch in whole for index in batch) == list(range(36))
    # ranks share what one process would have; a resumed run continues
    ranks = [list(StepSampler(0, 6, 4, rank, 2, 3)) for rank in (0, 1)]
    assert [batch for step in zip(*ranks) for batch in step] == list(StepSampler(0, 12, 4, kinds=3))
    assert list(StepSampler(0, 5, 4, kinds=3)) + list(StepSampler(5, 9, 4, kinds=3)) == whole


def test_a_batch_goes_to_another_device_whole(monkeypatch):
    batch = collate([Numbered()[i] for i in (5, 9)])
    for each in (batch, Numbered()[3]):
        moved = each.to(torch.device("meta"))
        tensors = [moved.frames, *moved.stills.values(), *moved.driven.values()]
        assert [tensor.device.type for tensor in tensors] == ["meta"] * 4
        assert {tensor.dtype for tensor in tensors} == {torch.uint8}
        assert [list(moved.stills), list(moved.driven)] == [["reference", "reference_pose"], ["pose"]]
    here = batch.to(torch.device("cpu"))
    assert torch.equal(here.frames, batch.frames)
    assert torch.equal(here.stills["reference_pose"], batch.stills["reference_pose"])
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    assert torch.equal(batch.pin_memory().driven["pose"], batch.driven["pose"])
    assert len(pinned) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_keeps_the_order(workers):
    batches = list(loader(Numbered(), StepSampler(3, 6, 2), workers))
    assert [b.frames[:, 0, 0, 0, 0].tolist() for b in batches] == [[6, 7], [8, 9], [10, 11]]
