"""How long work tells what it is at."""

import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("perceive", "denoise", "write"), how much is done, and how much there is."""

SECONDS_BETWEEN_LINES = 10


def silent(what: str, done: int, total: int) -> None:
    """The progress that nobody looks at."""


class ProgressLines:
    """Progress as lines of text, where nobody sees a bar move: one every 10 seconds with the time left, and the last of everything.

    Args:
        write: called with each line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._began: dict[str, tuple[float, int]] = {}
        self._done: dict[str, int] = {}
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """As `Progress`; `note` is written behind it."""
        now = time.monotonic()
        if what not in self._began or done < self._done[what]:
            self._began[what] = now, done
        finished = done >= total and self._done.get(what) != done
        self._done[what] = done
        if finished or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            since, first = self._began[what]
            left = f"{(now - since) / (done - first) * (total - done):.0f} s left" if first < done < total else ""
            self._write(", ".join(part for part in (f"{what} {done}/{total}", note, left) if part))
