"""This machine: the best device it has, and where downloads lie on it."""

import ctypes
import os
from pathlib import Path


def pick_device() -> str:
    """The best device this machine has: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of glibc's mallopt."""


def keep_freed_memory() -> None:
    """Let this process use again what it has freed, instead of handing it back to the system, which clears every page that it gives out.

    Networks on a CPU need the same large buffers over and over: 5 to 8 % of their time. A process then stays at its peak of memory until
    it ends. Nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 64 << 20)):
            mallopt(option, value)


def home() -> Path:
    """Where downloads lie: `$BUNRAKU_HOME`, or ~/.cache/bunraku."""
    return Path(os.environ.get("BUNRAKU_HOME") or "~/.cache/bunraku").expanduser()
