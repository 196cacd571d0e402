"""The one exception a user can cause: its message says what was wrong and what to do."""

from collections.abc import Iterable


class BunrakuError(ValueError):
    """Input that cannot be used. The command line prints the message and exits with code 2."""


def listed(names: Iterable[object], most: int = 8) -> str:
    """Names for a message: the first of them, and how many more there are.

    >>> listed("abcd", 3), listed([])
    ('a, b, c and 1 more', 'none')
    """
    shown = [str(name) for name in names]
    return (", ".join(shown[:most]) or "none") + (f" and {len(shown) - most} more" if len(shown) > most else "")
