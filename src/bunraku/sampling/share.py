"""A clip that several processes make together: each computes some of the pieces, and all of them see all of them, in the same order.

The processes hold the same latents, noise and conditions, so what comes out is what one process alone makes, bit for bit on machines of
one kind. `torchrun` starts such processes, and so does `cluster` for long clips.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

Piece = TypeVar("Piece")

PATIENCE = timedelta(minutes=30)
"""As long a process waits for the piece of another one."""


class PartnerLost(RuntimeError):
    """Another process that makes the same clip has failed or is gone."""


@dataclass(frozen=True)
class Share:
    """The part of one process. The first one (rank 0) writes what is made.

    Attributes:
        rank, size: number of the process, and how many there are.
    """

    rank: int = 0
    size: int = 1

    def pieces(self, count: int, compute: Callable[[int], Piece]) -> Iterator[Piece]:
        """`compute(0)`, ..., `compute(count - 1)` in this order, each computed by one process. All processes ask for the same pieces.

        Args:
            compute: gives what can be pickled; tensors of several processes lie in main memory.
        """
        for first in range(0, count, self.size):
            own = compute(first + self.rank) if first + self.rank < count else None
            for rank in range(min(self.size, count - first)):
                yield self._from(rank, own) if self.size > 1 else own  # type: ignore[misc]

    def _from(self, rank: int, own: Any) -> Any:
        from torch import distributed

        passed = [own if rank == self.rank else None]
        try:
            distributed.broadcast_object_list(passed, src=rank)
        except RuntimeError as error:
            raise PartnerLost(f"another process of the {self.size} that make this clip is gone") from error
        return own if rank == self.rank else passed[0]


ALONE = Share()


@contextmanager
def joined(rank: int, size: int, address: str) -> Iterator[Share]:
    """The share of a process in a group that meets at `address` (host:port), where rank 0 listens.

    Raises:
        PartnerLost: while it runs, where another process fails or is gone.
    """
    from torch import distributed

    distributed.init_process_group("gloo", f"tcp://{address}", rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Share(rank, size)
    finally:
        distributed.destroy_process_group()
