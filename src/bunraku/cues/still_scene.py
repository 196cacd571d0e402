"""The scene of a still, for models that are shown one: its own background, with a hole wherever its character is or will be."""

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
