"""Clip after clip: a long video as a chain of clips, each of which sees the last frames of the one before, clean.

    for clip in chain_clips(frames, size):
        carried = joined[:, :, clip.start : clip.start + clip.carried]
        at each step the network sees enter_carried(noisy, carried) at carried_timesteps(timestep, ...)
        joined = join_clips(joined, latents of the clip, clip)

Windows that are denoised together (`windows`) blur where they overlap and never drift; a chain is sharp and may drift.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bunraku.errors import BunrakuError


@dataclass(frozen=True)
class ChainedClip:
    """One clip of a chain.

    Attributes:
        start, stop: its frames of the video, stop not included.
        carried: so many of its first frames are already made: they are given clean, and not made again.
    """

    start: int
    stop: int
    carried: int


def chain_clips(frames: int, size: int, carried: int = 1) -> list[ChainedClip]:
    """Clips of `size` frames that cover a video one after the other, neighbours sharing `carried` frames.

    The last clip is shifted left to end with the video, and carries more: no clip is shorter than what the temporal layers have learnt,
    and no frame is padded.

    Args:
        frames: of the video.
        size: frames per clip, at most what the temporal layers know.
        carried: last frames of a clip that the next one starts with. The paper has 1.

    Raises:
        BunrakuError: no frames, or carried not in 1 .. size - 1.

    Source: Animate Anyone 2 (arXiv 2502.06145), implementation details: "the final frame of the previous clip" as temporal reference, after
    EMO's motion frames; the shift is a choice.

    >>> [(c.start, c.stop, c.carried) for c in chain_clips(10, 4)]
    [(0, 4, 0), (3, 7, 1), (6, 10, 1)]
    >>> [(c.start, c.stop, c.carried) for c in chain_clips(8, 4)]
    [(0, 4, 0), (3, 7, 1), (4, 8, 3)]
    """
    if frames < 1:
        raise BunrakuError("there are no frames to animate")
    if not 1 <= carried < size:
        raise BunrakuError(
            f"a chain of clips of {size} frames cannot carry {carried} over: at least 1, and fewer than --window"
        )
    clips = [ChainedClip(0, min(size, frames), 0)]
    while (made := clips[-1].stop) < frames:
        stop = min(made - carried + size, frames)
        clips.append(ChainedClip(stop - size, stop, made - stop + size))
    return clips


def enter_carried(noisy: Tensor, carried: Tensor) -> Tensor:
    """What the network sees of a clip: its first frames clean, the others as noisy as they are.

    Args:
        noisy: latents (B, C, F, h, w) as the network takes them, which is after the scheduler's scaling.
        carried: clean latents (B, C, f, h, w), f from 0 to F.

    Returns:
        (B, C, F, h, w), a new tensor.
    """
    return torch.cat([carried.to(noisy), noisy[:, :, carried.shape[2] :]], dim=2)


def carried_timesteps(timestep: Tensor | int, batch: int, frames: int, carried: int) -> Tensor:
    """One timestep per frame, int64 (B, F): 0 for the carried frames, which are clean, else the one of this step.

    >>> carried_timesteps(601, 1, 4, 1)
    tensor([[  0, 601, 601, 601]])
    """
    steps = torch.as_tensor(timestep).long().expand(batch, frames).clone()
    steps[:, :carried] = 0
    return steps


def join_clips(joined: Tensor | None, latents: Tensor, clip: ChainedClip) -> Tensor:
    """The video so far with one clip more.

    Args:
        joined: (B, C, F', h, w), what was made before; None before the first clip.
        latents: (B, C, stop - start, h, w), of this clip.
        clip: where they belong.

    Returns:
        (B, C, clip.stop, h, w); what was made before is kept as it is.

    Raises:
        ValueError: latents of another length than the clip's, or a clip that does not follow.
    """
    made = 0 if joined is None else joined.shape[2]
    if latents.shape[2] != clip.stop - clip.start or made != clip.start + clip.carried:
        raise ValueError(f"{clip} cannot follow {made} frames with latents of {latents.shape[2]}")
    new = latents[:, :, clip.carried :]
    return new if joined is None else torch.cat([joined, new], dim=2)
