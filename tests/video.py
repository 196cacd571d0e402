"""A whole video in memory, to be compared."""

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bunraku.media import VideoReader


class Video(NamedTuple):
    """Frames, uint8 (F, H, W, 3) RGB, and how many of them are shown per second."""

    frames: np.ndarray
    fps: Fraction


def read_video(path: str | Path, **options: Any) -> Video:
    """Arguments as of VideoReader."""
    reader = VideoReader(path, **options)
    return Video(np.stack(list(reader)), reader.fps)
