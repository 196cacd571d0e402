"""Self-supervision as Animate Anyone 2 has it: a clip is shown without its character, and is to be made again."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.shape_mask import Law, character_hole, rescale_character, sample_scale
from bunraku.cues.still_scene import in_still
from bunraku.perception.plate import fill, grown
from bunraku.perception.pose import PoseTrack

RIM = 0.01  # of the longest side: what round a matte still shows the figure


def self_supervised(
    cues: Cues,
    behind: Callable[[], np.ndarray],
    held: np.ndarray,
    rng: np.random.Generator,
    law: Law = "clip",
    pieces: np.ndarray | None = None,
) -> Cues:
    """What the networks are shown of a clip that they are to make again: the character cut out with a hole that does not tell its shape.

    Chance holds for the whole clip. In half of the clips the character and what it holds are scaled first, so that the hole may be smaller
    than who is to fill it.

    Args:
        cues: with pixels and mattes, of which the first person's is the character's.
        behind: makes the frames with the places of character and held things filled, uint8 (F, H, W, 3).
        held: bool (F, H, W), the things that the character holds.
        law: of the hole, see `character_hole`.
        pieces: bool (F, H, W), other things that are shown as objects.

    Returns:
        The cues with the maps `hole` and `objects`, and the pixels of the scaled clip.

    Source: Animate Anyone 2 (arXiv 2502.06145), "Environment formulation".
    """
    frames = np.asarray(cues.pixels)
    masks = _sized(cues.maps["mattes"][:, 0], (frames.shape[1], frames.shape[2])) >= 128
    factor = sample_scale(rng)
    if factor != 1:
        frames, masks, moved = rescale_character(frames, masks, factor, behind(), held)
        held = held if moved is None else moved
    things = held if pieces is None else held | (pieces & ~masks)
    hole = character_hole(masks, law, rng=rng)
    maps = {"objects": np.uint8(255) * things, "hole": np.uint8(255) * hole}
    return replace(cues, maps=cues.maps | maps, pixels=frames)


def staying(cues: Cues, still: np.ndarray, own: PoseTrack | None, mattes: np.ndarray | None) -> Cues:
    """The cues of a clip whose character stays in its own still, as most users have it; arguments as of `in_still`."""
    shown = in_still(cues, still, own, mattes)
    objects = shown.maps.get("objects")
    if objects is None:
        return shown
    return replace(
        shown, maps={**shown.maps, "objects": np.zeros_like(objects)}
    )  # what is held is in the clip's pictures


def held_things(cues: Cues) -> np.ndarray:
    """The objects of cues with pixels, in the size of these: bool (F, H, W); none where no objects are known."""
    height, width = np.asarray(cues.pixels).shape[1:3]
    if (objects := cues.maps.get("objects")) is None:
        return np.zeros((len(cues), height, width), bool)
    return _sized(objects, (height, width)) >= 128


def filled(cues: Cues) -> np.ndarray:
    """The frames of cues with pixels, mattes and perhaps objects, uint8 (F, H, W, 3), their places filled from what is round them."""
    frames = np.asarray(cues.pixels)
    masks = _sized(cues.maps["mattes"][:, 0], (frames.shape[1], frames.shape[2])) >= 16
    hidden = masks | held_things(cues)
    return np.stack([fill(frame, grown(mask, RIM)) if mask.any() else frame for frame, mask in zip(frames, hidden)])


def on_ground(picture: np.ndarray, matte: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """A character cut out of its picture and laid on another ground, uint8 (H, W, 3).

    Args:
        picture, ground: uint8 (H, W, 3).
        matte: uint8 (h, w), how much it covers.
    """
    share = _sized(matte[None], (picture.shape[0], picture.shape[1]))[0].astype(np.float32)[..., None] / 255
    return np.rint(share * picture + (1 - share) * ground).astype(np.uint8)


def _sized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (F, h, w) -> (F, H, W)."""
    if maps.shape[1:] == size:
        return maps
    return np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in maps])
