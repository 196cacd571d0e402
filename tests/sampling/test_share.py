"""Several processes make one clip: the same bits as one alone, each piece computed once."""

import multiprocessing
import socket
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch

from bunraku.cues.drawn import draw_conditions
from bunraku.sampling.share import ALONE, Share, joined
from tests.tiny import build_tiny_pipeline, tiny_tcan, walking_track


@dataclass(frozen=True)
class Threads(Share):
    """Processes that are threads, for speed; what they pass lies in `passed`."""

    barrier: Barrier | None = None
    passed: tuple[list[Any], ...] = ()

    def _from(self, rank: int, own: Any) -> Any:
        if rank == self.rank:
            self.passed[0][0] = own
        self.barrier.wait(60)
        found = self.passed[0][0]
        self.barrier.wait(60)
        return found


def together(size: int, run: Any) -> list[Any]:
    barrier, passed = Barrier(size), ([None],)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, (Threads(rank, size, barrier, passed) for rank in range(size))))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_pieces_come_in_order_and_each_is_computed_by_one(size: int, count: int) -> None:
    computed: list[list[int]] = [[] for _ in range(size)]

    def run(share: Share) -> list[int]:
        return list(share.pieces(count, lambda i: computed[share.rank].append(i) or i * i))

    assert together(size, run) == [[i * i for i in range(count)]] * size
    assert [sorted(own) for own in computed] == [list(range(rank, count, size)) for rank in range(size)]


def test_alone_pieces_are_computed_when_they_are_asked_for() -> None:
    computed: list[int] = []
    pieces = ALONE.pieces(3, computed.append)
    next(pieces)
    assert computed == [0]


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (build_tiny_pipeline, {"guidance_scale": 2.0, "temperature": 4.0}),
        (build_tiny_pipeline, {"window_batch": 2, "wrap": True}),
        (tiny_tcan, {"guidance_scale": 2.0}),
    ],
)
def test_a_clip_that_is_made_together_has_the_same_bits(
    build: Any, settings: dict[str, Any], reference_image: np.ndarray
) -> None:
    pipeline, poses = build(), walking_track(21)
    own = walking_track(1)
    settings |= {"chunk": 4}

    def run(share: Share) -> np.ndarray:
        made = pipeline if share is ALONE else deepcopy(pipeline)
        stills, frames = draw_conditions(made, reference_image, poses, own, None)
        generator = torch.Generator().manual_seed(1)
        return made(stills, frames, made.sampling.but(settings), generator=generator, share=share).frames

    alone = run(ALONE)
    assert alone.std() > 0
    for frames in together(2, run):
        np.testing.assert_array_equal(frames, alone)


def _join(rank: int, address: str, results: Any) -> None:
    with joined(rank, 2, address) as share:
        tensors = share.pieces(3, lambda i: {"a": torch.full((2,), i + 0.5, dtype=torch.float16)})
        results.put((rank, [tensor["a"].tolist() for tensor in tensors]))


def test_processes_meet_at_an_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_join, args=(rank, address, results)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert found == {rank: [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]] for rank in range(2)}
