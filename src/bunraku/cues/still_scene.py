"""The scene of a still: its own background, for models that are shown one with a hole wherever its character is or will be, and what of it is known."""

from contextlib import suppress
from dataclasses import replace

import cv2
import numpy as np

from bunraku.cues.character_region import body_masks
from bunraku.cues.cues import Cues
from bunraku.cues.shape_mask import shape_agnostic_mask
from bunraku.errors import BunrakuError
from bunraku.perception.cutout import cut_out
from bunraku.perception.pose import PoseTrack

SIDE = 256
"""Longest side of the holes."""
SAME = 2
"""Levels by which rounding may change a pixel."""
SEAM = 1.0
"""Sigma in pixels."""
WHOLE = 250
"""Of 255: a pixel that is covered so much shows nothing else."""


def in_still(cues: Cues, picture: np.ndarray, own: PoseTrack | None, figure: np.ndarray | None) -> Cues:
    """The driving cues with `pixels` and `hole` of a still that the character stays in.

    The hole of a frame is made of the figure in the still, which must go, and of the driven skeleton made as thick as a body, in blocks.

    Args:
        cues: with poses on a canvas of the picture's shape; drawn skeletons alone tell no place, and are returned as they are.
        picture: the still, uint8 (H, W, 3).
        own: its character's pose (1, P, K).
        figure: (H, W) or (P, H, W), above 0 where it is; None: it is found, or is as thick as its skeleton.

    Source: Animate Anyone 2 (arXiv 2502.06145), protocol on TikTok: the reference's background is the environment; the hole is a choice.
    """
    if cues.pose is None:
        return cues
    size = _within(cues.size, SIDE)
    if figure is None and own is not None:
        with suppress(BunrakuError):
            figure = cut_out(picture, own)
    if figure is not None:
        shape = np.asarray(figure).reshape(-1, *figure.shape[-2:]).max(0) > 0
        still = cv2.resize(shape.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    elif own is not None:
        still = np.asarray(body_masks(own, size).any(1))[0]
    else:
        still = np.zeros(size, bool)
    block = max(1, round(10 * max(size) / max(cues.size)))
    hole = shape_agnostic_mask(np.asarray(body_masks(cues.pose, size).any(1)), block=block) | shape_agnostic_mask(
        still[None], block=block
    )
    pixels = np.broadcast_to(picture, (len(cues), *picture.shape))
    return replace(cues, maps=cues.maps | {"hole": np.uint8(255) * hole}, pixels=pixels)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    factor = min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def over_known(
    made: np.ndarray, full: np.ndarray, cut: np.ndarray, still: np.ndarray, figure: float = 0.0
) -> np.ndarray:
    """Frames of a model that keep what is known: the ground which the still shows, where nothing is to be mended, and the cut-out's figure.

    Args:
        made: uint8 (F, H', W', 3), of the model.
        full: uint8 (F, H', W', 4), the cut-out in that size; H' and W' are the same multiple of H and W.
        cut: uint8 (F, H, W, 4), the cut-out.
        still: uint8 (H, W, 3).
        figure: in [0, 1], how much stays of the figure, where it covers a pixel wholly: its rim is the model's.

    Returns:
        uint8 (F, H', W', 3).
    """
    size, kept = (made.shape[2], made.shape[1]), np.empty_like(made)
    filled = (cut[..., 3] == 0) & (np.abs(cut[..., :3].astype(np.int16) - still).max(-1) > SAME)
    for i, hole in enumerate(filled.astype(np.uint8)):
        unknown = cv2.resize(cv2.dilate(hole, np.ones((3, 3), np.uint8)), size, interpolation=cv2.INTER_NEAREST)
        known = (full[i, ..., 3] == 0) & (unknown == 0)
        share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), SEAM)
        share = np.maximum(share, figure * (full[i, ..., 3] >= WHOLE).astype(np.float32))[..., None]
        kept[i] = np.rint(share * full[i, ..., :3] + (1 - share) * made[i])
    return kept
