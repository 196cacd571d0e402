"""Work that takes its time: one thing after the other, in threads, with progress, time left, and a cancel that leaves nothing."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from bunraku.apps.studio.words import duration, stage
from bunraku.errors import BunrakuError

logger = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Cancelled(Exception):
    """Raised inside work that nobody wants any more."""


class Work:
    """Something that is done or waits to be done; what it tells of itself may be read from any thread.

    Args:
        do: called with the work when its turn comes; `report` is its progress.

    Attributes:
        state: of it.
        error: what went wrong, as the library says it.
        crashed: whether it was no fault of the input.
    """

    def __init__(self, do: Callable[["Work"], None]) -> None:
        self._do, self._cancelled, self._turn = do, threading.Event(), threading.Lock()
        self.state: State = "waiting"
        self.error: str | None = None
        self.crashed = False
        self._stage, self._done, self._total = "", 0, 1
        self._since, self._first = time.monotonic(), 0

    @property
    def busy(self) -> bool:
        """Whether something is still to come of it."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """End it as soon as it reports again, or before it begins."""
        self._cancelled.set()
        with self._turn:
            if self.state == "waiting":
                self.state = "cancelled"

    def check(self) -> None:
        """Raises `Cancelled` where it was."""
        if self._cancelled.is_set():
            raise Cancelled

    def report(self, what: str, done: int, total: int) -> None:
        """As `Progress`; raises `Cancelled` where it was."""
        self.check()
        if what != self._stage or done < self._done:
            self._since, self._first = time.monotonic(), done
        self._stage, self._done, self._total = what, done, total

    @property
    def words(self) -> str:
        """What it is at: "Writing frames, 12 of 48"."""
        count = f", {self._done} of {self._total}" if self._total > 1 else ""
        return f"{stage(self._stage)}{count}" if self._stage else "Starting"

    @property
    def share(self) -> float | None:
        """How much of the present stage is done, in [0, 1]; None where that is not known."""
        return self._done / self._total if self._total > 1 else None

    @property
    def left(self) -> str | None:
        """How long the present stage takes yet, in words."""
        done, spent = self._done - self._first, time.monotonic() - self._since
        if done < 1 or spent < 1 or self._done >= self._total:
            return None
        return duration(spent / done * (self._total - self._done))

    def begin(self) -> bool:
        """Whether it waited and is now the caller's to `run`."""
        with self._turn:
            waited = self.state == "waiting"
            if waited:
                self.state = "running"
            return waited

    def run(self) -> None:
        """Do it, in this thread."""
        try:
            self.check()
            self._do(self)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except Exception as error:
            if self._cancelled.is_set():  # its files may have been deleted under its hands
                self.state = "cancelled"
                return
            self.error, self.state = str(error), "failed"
            if isinstance(error, BunrakuError):
                return
            self.error, self.crashed = f"{type(error).__name__}: {error}", True
            logger.exception("the studio's work failed")


class Line:
    """Where work waits for its turn.

    Args:
        at_once: how much is done at the same time.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="bunraku-studio")
        self._waiting: list[Work] = []
        self._lock = threading.Lock()

    def join(self, work: Work) -> None:
        """Wait for one's turn."""
        with self._lock:
            self._waiting.append(work)
        self._pool.submit(self._next)

    def before(self, work: Work) -> int:
        """How much is done before it."""
        with self._lock:
            alive = [other for other in self._waiting if other.busy]
            return alive.index(work) if work in alive else 0

    def __len__(self) -> int:
        with self._lock:
            return sum(work.busy for work in self._waiting)

    def close(self) -> None:
        """End everything."""
        with self._lock:
            for work in self._waiting:
                work.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next(self) -> None:
        with self._lock:
            work = next((work for work in self._waiting if work.begin()), None)
        if work is not None:
            work.run()
        with self._lock:
            self._waiting = [other for other in self._waiting if other.busy]
