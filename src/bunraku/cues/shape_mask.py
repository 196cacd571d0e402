"""The environment of Animate Anyone 2: the scene without its character, cut out so that the hole does not tell the character's shape."""

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from bunraku.errors import BunrakuError

BLOCK = 10
SCALES = (0.8, 1.25)
NOISE, PASSAGE = 0.01, 0.03
"""Of the longest side: sigma that takes the noise of networks out of a difference, and how far made and own pixels pass into each other."""
OTHER = 40
"""Levels by which what was made differs from the scene where it shows something else."""

Law = Literal["clip", "frame", "exact", "box"]
"""What a hole tells of the character's shape: "clip": blocks, in training as many as chance says of the clip; "frame": of each frame;
"exact": the shape itself; "box": nothing but where it is. The last two are what the paper compares with."""


def shape_agnostic_mask(
    masks: np.ndarray, blocks: np.ndarray | tuple[int, int] | None = None, *, block: int = BLOCK
) -> np.ndarray:
    """Coarsen masks: the box of each mask is split into k_h x k_w blocks, and every block becomes its maximum.

        M_f(i, j) = max of M over the block of the box that holds (i, j); 0 outside of the box

    k = 1 gives the box, k = the box's size the mask itself. Blocks are ceil(h / k_h) by ceil(w / k_w) pixels, the last ones clipped to the
    box: where k does not divide the size there can be fewer than k.

    Args:
        masks: bool, or uint8 with 128 and more inside, (F, H, W).
        blocks: numbers of blocks (k_h, k_w), for all frames or (F, 2); more than a box has pixels counts as its size. None: as at
            inference, k = h / 10 and w / 10, which is blocks of 10 pixels.
        block: side in pixels of the blocks of inference.

    Returns:
        bool (F, H, W), at least the mask and at most its box; empty where the mask is.

    Raises:
        ValueError: masks of another shape or type, blocks below 1 or of another shape.

    Source: Animate Anyone 2 (arXiv 2502.06145), "Environment formulation", equation of M_f; whole pixels and the clipping are a choice.

    >>> mask = np.zeros((1, 3, 6), bool)
    >>> mask[0, (0, 2), (1, 5)] = True
    >>> print(shape_agnostic_mask(mask, (3, 2))[0].astype(int))
    [[0 1 1 1 0 0]
     [0 0 0 0 0 0]
     [0 0 0 0 1 1]]
    """
    inside = _binary(masks)
    numbers = np.array([[0, 0]] if blocks is None else blocks)
    if (
        numbers.shape not in ((2,), (1, 2), (len(inside), 2))
        or (blocks is not None and (numbers < 1).any())
        or block < 1
    ):
        raise ValueError(
            f"blocks are (k_h, k_w) or ({len(inside)}, 2), 1 and more; got {numbers.tolist()} and blocks of {block}"
        )
    result = np.zeros_like(inside)
    for mask, into, k in zip(inside, result, np.broadcast_to(numbers, (len(inside), 2)).tolist()):
        at = _box(mask)
        h, w = mask[at].shape
        if h:
            side = (block, block) if blocks is None else (-(-h // min(k[0], h)), -(-w // min(k[1], w)))
            into[at] = _block_maxima(mask[at], side)
    return result


def sample_blocks(masks: np.ndarray, rng: np.random.Generator, *, per_frame: bool = False) -> np.ndarray:
    """Numbers of blocks for training: whole numbers from 1 to the size of the largest box, log-uniform and independent for h and w.

    P(k) is proportional to log((k + 1) / k): boxes and coarse shapes come as often as fine ones. The paper's law is not known.

    Args:
        masks: (F, H, W), as of `shape_agnostic_mask`.
        rng: where chance comes from.
        per_frame: draw anew for every frame; otherwise one draw holds for the clip, so that the hole's outline does not flicker.

    Returns:
        int64 (2,), or (F, 2): (k_h, k_w); 1 for a clip of empty masks.
    """
    boxes = [mask[_box(mask)].shape for mask in _binary(masks)]
    most = np.maximum(1, np.array(boxes, np.int64).reshape(-1, 2).max(0, initial=1))
    shape = (len(boxes), 2) if per_frame else (2,)
    return np.minimum(np.floor((most + 1.0) ** rng.random(shape)).astype(np.int64), most)


def character_hole(
    masks: np.ndarray, law: Law = "clip", *, block: int = BLOCK, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Where the character may be, under a law.

    Args:
        masks: (F, H, W), as of `shape_agnostic_mask`.
        block: side in pixels of the blocks of inference.
        rng: of training; None: as at inference.

    Returns:
        bool (F, H, W).

    Raises:
        ValueError: an unknown law.
    """
    if law not in get_args(Law):
        raise ValueError(f"a hole's law is {', '.join(get_args(Law))}, not {law!r}")
    if law == "exact":
        return shape_agnostic_mask(masks, block=1)
    if law == "box":
        return shape_agnostic_mask(masks, (1, 1))
    if rng is None:
        return shape_agnostic_mask(masks, block=block)
    return shape_agnostic_mask(masks, sample_blocks(masks, rng, per_frame=law == "frame"))


def environment(frames: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The scene without its character: I_e = I (1 - M_f), black inside.

    Args:
        frames: uint8 (F, H, W, 3).
        region: bool (F, H, W), from `shape_agnostic_mask`.

    Returns:
        uint8 (F, H, W, 3).

    Raises:
        BunrakuError: frames and region of different sizes or lengths.

    Source: Animate Anyone 2, "Environment formulation".
    """
    _check_sizes(frames, region)
    return np.where(region[..., None], np.uint8(0), frames)


def in_scene(made: np.ndarray, scene: np.ndarray, region: np.ndarray) -> np.ndarray:
    """What was made for a scene with a hole, in the scene itself: outside of the hole, its own pixels stay as they are.

    The character may reach beyond the hole, which does not tell its shape: what hangs together with the hole and shows something else than
    the scene is kept as it was made. Round both, made and own pixels pass into each other.

    Args:
        made: uint8 (F, H, W, 3), the frames as the networks made them.
        scene: uint8 (F, H, W, 3); what it shows in the hole is not looked at.
        region: bool (F, H, W), the hole.

    Returns:
        uint8 (F, H, W, 3).

    Raises:
        BunrakuError: sizes or lengths that differ.

    Source: not in the papers. Frames that go through an autoencoder are not the frames; inpainting pipelines keep what is not masked.
    """
    _check_sizes(made, region)
    _check_sizes(scene, region)
    side = max(made.shape[1:3])
    result = np.empty_like(made)
    for number, (frame, own, hole) in enumerate(zip(made, scene, region)):
        change = np.where(hole[..., None], 0, frame.astype(np.float32) - own)
        change = cv2.GaussianBlur(change, (0, 0), NOISE * side)
        painted = (np.abs(change).max(-1) > OTHER) | hole
        _, parts = cv2.connectedComponents(painted.astype(np.uint8), connectivity=4)
        painted &= np.isin(parts, np.unique(parts[hole]))
        if not painted.any():
            result[number] = own
            continue
        away = cv2.distanceTransform((~painted).astype(np.uint8), cv2.DIST_L2, 5)
        share = np.clip(1 - away / (PASSAGE * side), 0, 1)[..., None]
        result[number] = np.rint(share * frame + (1 - share) * own)
    return result


def vanished(masks: np.ndarray) -> list[tuple[int, int]]:
    """Where nothing is masked: ranges of frames (start, stop), stop not included.

    >>> vanished(np.array([0, 1, 0, 0], bool)[:, None, None])
    [(0, 1), (2, 4)]
    """
    empty = ~_binary(masks).any((1, 2))
    edges = np.flatnonzero(np.diff(empty.astype(int), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2]))


def bridge_masks(masks: np.ndarray, longest: int) -> np.ndarray:
    """Where a mask is lost for at most `longest` frames between two that have it, the two together; what is lost for longer stays empty.

    A segmentation that loses the character for a moment would otherwise show the driver's character in the environment.

    Returns:
        bool (F, H, W).
    """
    bridged = _binary(masks).copy()
    for start, stop in vanished(masks):
        if start > 0 and stop < len(bridged) and stop - start <= longest:
            bridged[start:stop] = bridged[start - 1] | bridged[stop]
    return bridged


def bridge_mattes(mattes: np.ndarray, longest: int) -> np.ndarray:
    """Mattes, uint8 (F, h, w), with those that are lost for at most `longest` frames as `bridge_masks` has them."""
    found = mattes >= 128
    lost = ~found.any((1, 2), keepdims=True) & bridge_masks(found, longest)
    return np.where(lost, np.uint8(255), mattes)


class Rescaled(NamedTuple):
    """A clip whose character and objects were scaled.

    Attributes:
        frames: uint8 (F, H, W, 3).
        masks: bool (F, H, W), of the scaled character.
        objects: bool (F, H, W), of the scaled objects, or None.
    """

    frames: np.ndarray
    masks: np.ndarray
    objects: np.ndarray | None


def rescale_character(
    frames: np.ndarray, masks: np.ndarray, factor: float, behind: np.ndarray, objects: np.ndarray | None = None
) -> Rescaled:
    """Random scale augmentation: the character and what it handles, cut out, scaled and pasted back.

    Environment and objects of a training clip are then taken from the result, while its target stays the clip itself: the hole may be
    smaller than the character, which must learn to grow beyond it. They are scaled about the middle of the lower edge of the character's box,
    so that feet stay on the floor.

    Args:
        frames: uint8 (F, H, W, 3).
        masks: of the character, (F, H, W), as of `shape_agnostic_mask`; a frame without stays as it is.
        factor: one for the clip, see `sample_scale`; 1 changes nothing but what `behind` does.
        behind: uint8 (F, H, W, 3), the frames with the holes of character and objects filled.
        objects: of the objects, like masks.

    Raises:
        BunrakuError: sizes or lengths that differ.
        ValueError: a factor that is not above 0.

    Source: Animate Anyone 2, "random scale augmentation"; range, anchor and filling are choices.
    """
    for other in (masks, *([] if objects is None else [objects]), behind[..., 0]):
        _check_sizes(frames, other)
    if not factor > 0:
        raise ValueError(f"a character is scaled by a factor above 0, not {factor}")
    characters = _binary(masks)
    things = np.zeros_like(characters) if objects is None else _binary(objects)
    pasted, scaled, moved = frames.copy(), characters.copy(), things.copy()
    for i in np.flatnonzero(characters.any((1, 2))):
        rows, columns = _box(characters[i])
        matrix = _scaling(factor, (columns.start + columns.stop) / 2, rows.stop)
        # premultiplied: the colours at a rim are its own, not those of the old background
        subject = (characters[i] | things[i]).astype(np.float32)[..., None]
        colour, alpha = _warp(frames[i] * subject, matrix), _warp(subject, matrix)[..., None]
        pasted[i] = np.rint(colour + (1 - alpha) * behind[i])
        scaled[i], moved[i] = (_warp(m[i].astype(np.float32), matrix) >= 0.5 for m in (characters, things))
    return Rescaled(pasted, scaled, None if objects is None else moved)


def sample_scale(rng: np.random.Generator, probability: float = 0.5, scales: tuple[float, float] = SCALES) -> float:
    """A factor for `rescale_character`: uniform between `scales` with this probability, else 1. The paper's range is not known."""
    return float(rng.uniform(*scales)) if rng.random() < probability else 1.0


def _binary(masks: np.ndarray) -> np.ndarray:
    if masks.ndim != 3 or masks.dtype not in (np.bool_, np.uint8):
        raise ValueError(f"masks are bool or uint8 (F, H, W); got {masks.dtype} {masks.shape}")
    return masks if masks.dtype == np.bool_ else masks >= 128


def _check_sizes(frames: np.ndarray, masks: np.ndarray) -> None:
    if masks.shape != frames.shape[:3]:
        raise BunrakuError(
            f"masks are {masks.shape[2]}x{masks.shape[1]} with {len(masks)} frames, the clip is {frames.shape[2]}x{frames.shape[1]} with "
            f"{len(frames)}; they must be of the same size and length"
        )


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around a mask (H, W); empty slices for an empty mask."""
    left, top, width, height = cv2.boundingRect(
        mask.view(np.uint8) if mask.flags.c_contiguous else mask.astype(np.uint8)
    )
    return slice(top, top + height), slice(left, left + width)


def _block_maxima(box: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Every block of `side` pixels of bool (h, w) becomes its maximum; the last blocks are clipped."""
    h, w = box.shape
    counts = [-(-length // step) for length, step in zip(box.shape, side)]
    whole = np.pad(box, [(0, n * step - length) for n, step, length in zip(counts, side, box.shape)])
    maxima = whole.reshape(counts[0], side[0], counts[1], side[1]).any((1, 3))
    return maxima.repeat(side[0], 0).repeat(side[1], 1)[:h, :w]


def _scaling(factor: float, x: float, y: float) -> np.ndarray:
    """Scaling about (x, y), counted from the corner of the first pixel, as OpenCV's matrix, which counts from its centre."""
    return np.array([[factor, 0, (1 - factor) * (x - 0.5)], [0, factor, (1 - factor) * (y - 0.5)]])


def _warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
