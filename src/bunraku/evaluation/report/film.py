"""A clip as a page shows it: panels side by side in a small video."""

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import islice, repeat
from pathlib import Path
from typing import TypeGuard

import numpy as np
from PIL import Image

from bunraku.evaluation.extremes import Panels
from bunraku.media import VideoWriter, side_by_side

HEIGHT, FRAMES = 224, 96
"""Panels are at most this high (pixels), and films this many frames long."""


@dataclass(frozen=True)
class Film:
    """A clip as a page shows it.

    Attributes:
        video, poster: bytes of an H.264 MP4, and of a JPEG from its middle.
        size: (height, width) in pixels.
        labels, widths: of the panels, left to right; widths in pixels.
        stride: one of so many frames was taken.
    """

    video: bytes
    poster: bytes
    size: tuple[int, int]
    labels: list[str]
    widths: list[int]
    stride: int


def film(panels: Panels, fps: Fraction, path: Path) -> Film:
    """Panels side by side as a small H.264 file, frame by frame.

    Args:
        panels: label -> frames, or a still that is repeated. The film ends with the first that ends. Where all say how
            long they are, long ones are thinned out; mere iterators are cut off.
        fps: frames per second.
        path: of a temporary file (.mp4), removed again.

    Raises:
        BunrakuError: frames cannot be read.
    """
    moving = [frames for frames in panels.values() if not _is_still(frames)]
    lengths = [len(frames) for frames in moving if isinstance(frames, Sized)]
    stride = max(1, math.ceil(min(lengths) / FRAMES)) if len(lengths) == len(moving) > 0 else 1
    stop = min([FRAMES * stride, *lengths]) if moving else 1
    streams = [repeat(frames) if _is_still(frames) else iter(frames) for frames in panels.values()]
    rows = (_row(panels, frames) for frames in islice(zip(*streams, strict=False), 0, stop, stride))
    first, widths = next(rows)
    size, poster, middle = (first.shape[0], first.shape[1]), first, stop // stride // 2
    with VideoWriter(path, fps=max(Fraction(1), fps / stride), size=size, crf=20) as writer:
        writer.write(first)
        for number, (frame, _) in enumerate(rows, 1):
            writer.write(frame)
            poster = frame if number == middle else poster
    video = path.read_bytes()
    path.unlink()
    jpeg = BytesIO()
    Image.fromarray(poster).save(jpeg, "JPEG", quality=85)
    return Film(video, jpeg.getvalue(), size, list(panels), widths, stride)


def _is_still(frames: Iterable[np.ndarray] | np.ndarray) -> TypeGuard[np.ndarray]:
    return isinstance(frames, np.ndarray) and frames.ndim == 3


def _row(labels: Iterable[str], frames: Iterable[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """One frame of every panel next to each other, at most HEIGHT pixels high; and how wide each has become."""
    shown = dict(zip(labels, frames, strict=True))
    height = min(HEIGHT, max(frame.shape[0] for frame in shown.values()))
    widths = [max(1, round(height * frame.shape[1] / frame.shape[0])) for frame in shown.values()]
    return side_by_side(shown, height=height, labels=False)[0], widths
