"""A worker: one process with one accelerator (or CPU slot), which holds the model and does one piece of work after the other."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from bunraku.media.files import is_disk_full
from bunraku.progress import silent
from bunraku.sampling.share import ALONE, PartnerLost, joined
from bunraku.work import Work, attempt, in_words


class Place(NamedTuple):
    """Where a worker is: the machine's name for people, and its number within the cluster."""

    host: str
    node: str


class Seat(NamedTuple):
    """A worker's place among those that do one piece of work together; `address` is where they meet."""

    rank: int
    size: int
    address: str


@dataclass(frozen=True)
class Ended:
    """How a call ended in the worker, small enough to be sent to whoever asked for it.

    Attributes:
        error: why there is no result.
        full: whether the reason is a full disk, which is the machine's fault.
        partner_lost: whether the reason is that another worker is gone or has failed.
        warnings: what the user would have been warned of.
    """

    result: Any = None
    error: str | None = None
    full: bool = False
    partner_lost: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Worker:
    """What Ray makes an actor of. Exceptions of the work come back as `Ended`; those of Ray are left to say that the worker is lost."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def place(self) -> Place:
        """Where this worker is, as soon as it is ready."""
        import ray

        return Place(socket.gethostname(), ray.get_runtime_context().get_node_id())

    def meeting(self) -> str:
        """An address where this worker can listen."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"

    def prepare(self, needs: Any) -> tuple[Ended, Any]:
        """`Work.prepare`; what it makes is apart, because it may be large and stays where it is until somebody needs it."""
        ended, made = _ended(partial(self._work.prepare, needs, silent))
        return ended, made

    def do(self, item: Any, prepared: Any, seat: Seat | None = None) -> Ended:
        """`Work.do`, alone or together with others."""

        def call() -> Any:
            if seat is None:
                return self._work.do(item, prepared, silent, ALONE)
            with joined(*seat) as share:
                return self._work.do(item, prepared, silent, share)

        ended, made = _ended(call)
        return ended if ended.error else Ended(made, seconds=ended.seconds, warnings=ended.warnings)


def _ended(call: Callable[[], Any]) -> tuple[Ended, Any]:
    started = time.perf_counter()
    with _warnings() as said:
        made, fault = attempt(call)
    seconds = time.perf_counter() - started
    if fault is None:
        return Ended(seconds=seconds, warnings=tuple(said)), made
    return Ended(
        error=in_words(fault), full=is_disk_full(fault), partner_lost=isinstance(fault, PartnerLost), seconds=seconds,
        warnings=tuple(said),
    ), None  # fmt: skip


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is warned of meanwhile, each sentence once."""
    said: dict[str, None] = {}

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said[record.getMessage()] = None

    logger, ear, heard = logging.getLogger("bunraku"), Ear(logging.WARNING), list[str]()
    logger.addHandler(ear)
    before, logger.propagate = logger.propagate, False
    try:
        yield heard
    finally:
        logger.removeHandler(ear)
        logger.propagate = before
        heard += said
