"""This machine: the best device it has, and where downloads lie on it."""

import os
from pathlib import Path


def pick_device() -> str:
    """The best device this machine has: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def home() -> Path:
    """Where downloads lie: `$BUNRAKU_HOME`, or ~/.cache/bunraku."""
    return Path(os.environ.get("BUNRAKU_HOME") or "~/.cache/bunraku").expanduser()
