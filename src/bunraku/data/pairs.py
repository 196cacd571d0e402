"""Generated clips beside true ones: matched by name, brought to the same frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from bunraku.data.layouts import Footage
from bunraku.errors import BunrakuError, listed
from bunraku.media import FrameFolder, Frames, VideoReader

OnMismatch = Literal["error", "trim", "resize"]
"""What happens where a generated clip has other frames than the true one:

error: it is not scored.
trim: the longer is cut off at the end of the shorter; another size is still an error.
resize: as trim, and the generated frames are resized to the true size (bilinear, as DisCo's evaluation does it)."""

SkipFirst = Literal["auto", "both", "truth", "none"]
"""Whose first frame is not scored, because it is the source frame of self-reenactment:

both: both clips begin with it.
truth: the true clip alone begins with it; the generated one has one frame less.
none: neither does; all frames are scored.
auto: "truth" where the generated clip has exactly one frame less, else "both"."""


@dataclass(frozen=True)
class Pairing:
    """Which clips belong together.

    Attributes:
        pairs: (generated, truth), in the order of the truth.
        only_generated, only_truth: names that the other side lacks.
    """

    pairs: list[tuple[Footage, Footage]]
    only_generated: list[str]
    only_truth: list[str]


@dataclass(frozen=True)
class Aligned:
    """Two clips of equally many frames of one size.

    Attributes:
        generated, truth: frame i belongs to frame i.
        notes: what was done to them, for the record.
    """

    generated: Frames
    truth: Frames
    notes: list[str]


class Resized:
    """Frames, uint8 (H, W, 3), in another size (height, width), bilinear."""

    def __init__(self, frames: Frames, size: tuple[int, int]) -> None:
        self._frames, self.fps, self.size = frames, frames.fps, size

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self._frames:
            yield cv2.resize(frame, self.size[::-1], interpolation=cv2.INTER_LINEAR)


def pair(generated: Sequence[Footage], truth: Sequence[Footage]) -> Pairing:
    """Clips of equal names; a single clip on either side needs no equal name.

    Raises:
        BunrakuError: no clip has a partner.
    """
    if len(generated) == len(truth) == 1:
        return Pairing([(generated[0], truth[0])], [], [])
    by_name = {clip.name: clip for clip in generated}
    pairs = [(by_name[clip.name], clip) for clip in truth if clip.name in by_name]
    true_names = {clip.name for clip in truth}
    if not pairs:
        raise BunrakuError(
            "no generated clip has the name of a true one: "
            f"{listed((clip.path.name for clip in generated), 4)} against {listed((clip.path.name for clip in truth), 4)}; name them alike (endings do not matter)"
        )
    return Pairing(
        pairs,
        [clip.name for clip in generated if clip.name not in true_names],
        [clip.name for clip in truth if clip.name not in by_name],
    )


def align(
    generated: VideoReader | FrameFolder,
    truth: VideoReader | FrameFolder,
    on_mismatch: OnMismatch = "error",
    skip_first: SkipFirst = "auto",
) -> Aligned:
    """The frames that are scored. Nothing is decoded here.

    Args:
        generated, truth: opened clips.
        on_mismatch: see `OnMismatch`.
        skip_first: see `SkipFirst`.

    Raises:
        BunrakuError: numbers or sizes of frames differ and the policy does not allow it, or nothing is left to score.
    """
    if on_mismatch not in get_args(OnMismatch) or skip_first not in get_args(SkipFirst):
        raise BunrakuError(
            f"on-mismatch is one of {', '.join(get_args(OnMismatch))}, and skip-first of {', '.join(get_args(SkipFirst))}; "
            f"got {on_mismatch!r} and {skip_first!r}"
        )
    notes = []
    if skip_first == "auto":
        skip_first = "truth" if len(truth) - len(generated) == 1 else "both"
        if skip_first == "truth":
            notes.append("one frame less than the truth: taken to be without the source frame")
    starts = {"both": (1, 1), "truth": (0, 1), "none": (0, 0)}[skip_first]
    counts = len(generated) - starts[0], len(truth) - starts[1]
    if min(counts) < 1:
        raise BunrakuError(
            f"{generated.path} has {len(generated)} and {truth.path} {len(truth)} frames; without the source frame nothing "
            "is left to score"
        )
    if counts[0] != counts[1]:
        rates = "" if generated.fps == truth.fps else f", at {float(generated.fps):g} and {float(truth.fps):g} fps"
        if on_mismatch == "error":
            raise BunrakuError(
                f"{generated.path} has {counts[0]} frames to score, {truth.path} {counts[1]}{rates}; make them equal, or "
                "score what both have: --on-mismatch trim"
            )
        notes.append(f"{counts[0]} frames against {counts[1]}{rates}: the first {min(counts)} are scored")
    frames: Frames = generated.part(starts[0], starts[0] + min(counts))
    if generated.size != truth.size:
        sizes = f"{generated.size[1]}x{generated.size[0]}", f"{truth.size[1]}x{truth.size[0]}"
        if on_mismatch != "resize":
            raise BunrakuError(
                f"{generated.path} is {sizes[0]} px, {truth.path} {sizes[1]}; make them equal, or have the generated frames "
                "resized: --on-mismatch resize"
            )
        notes.append(f"resized from {sizes[0]} to {sizes[1]}")
        frames = Resized(frames, truth.size)
    return Aligned(frames, truth.part(starts[1], starts[1] + min(counts)), notes)
