"""How long work tells what it is at."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("perceive", "denoise", "write"), how much is done, and how much there is."""


def silent(what: str, done: int, total: int) -> None:
    """The progress that nobody looks at."""
