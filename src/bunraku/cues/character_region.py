"""Character regions: dilated skeletons, what Follow-Your-Pose v2 takes for the place of a person where there is no mask."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import numpy as np

from bunraku.cues.skeleton import draw_skeleton
from bunraku.perception.pose import SEEN, PoseTrack

SHARE_OF_TORSO = 0.26
SHARE_OF_WIDTH = 0.03

Kernel = Literal["square", "ellipse"]
_KERNELS = {"square": cv2.MORPH_RECT, "ellipse": cv2.MORPH_ELLIPSE}

_NECK, _HIPS = 1, (8, 11)
_SHINS = ((9, 10), (12, 13))
FOOT = 0.45  # of the shin: how far a foot reaches beyond the ankle


class Region(NamedTuple):
    """Where one person is in one frame.

    Attributes:
        at: rows and columns of the frame.
        mask: uint8 (rows, columns), 255 inside; empty for a person of whom nothing is drawn.
    """

    at: tuple[slice, slice]
    mask: np.ndarray


def torso_lengths(track: PoseTrack, threshold: float = SEEN) -> np.ndarray:
    """From the neck to the hips, the longer of the two sides, float64 (F, P) in pixels; NaN where they are not seen."""
    points = track.keypoints.astype(np.float64)
    seen = (track.scores >= threshold) & (track.scores > 0) & np.isfinite(points).all(-1)
    length = np.linalg.norm(points[:, :, _HIPS] - points[:, :, _NECK, None], axis=-1)
    length = np.where(seen[:, :, _HIPS] & seen[:, :, _NECK, None], length, -1).max(-1)
    return np.where(length >= 0, length, np.nan)


def kernel_sides(
    track: PoseTrack,
    size: tuple[int, int] | None = None,
    *,
    torso: float = SHARE_OF_TORSO,
    width: float = SHARE_OF_WIDTH,
    threshold: float = SEEN,
) -> np.ndarray:
    """Side of the kernel that dilates each person's skeleton, one for the whole clip.

    The paper does not say it; on its figure and clips it is about 0.26 of the length from neck to hips, and a square.

    Args:
        track: F frames of P people, all of the clip.
        size: (height, width) of the drawing; default: the track's.
        torso: share of the person's median length from neck to hips.
        width: share of the drawing's width that is the least, also for people whose hips are never seen.
        threshold: keypoints with a lower score are not seen.

    Returns:
        int64 (P,), odd, in pixels of the drawing.

    Source: Follow-Your-Pose v2 (arXiv 2406.03035), figure of the guiders and the "dilation" of its masks; the shares are measured there.

    >>> points = np.zeros((1, 1, 18, 2), np.float32)
    >>> points[..., (8, 11), 1] = 100
    >>> kernel_sides(PoseTrack(points, np.ones((1, 1, 18), np.float32), (512, 320))).tolist()
    [25]
    """
    size = size or track.size
    lengths = torso_lengths(track.scaled(size), threshold)
    known = np.isfinite(lengths).any(0)
    medians = np.array([np.nanmedian(column) if seen else 0.0 for column, seen in zip(lengths.T, known)])
    sides = np.maximum(torso * medians, width * size[1])
    # odd, so that the region grows by as much on either side
    return 2 * np.rint((np.maximum(sides, 1) - 1) / 2).astype(np.int64) + 1


def character_regions(
    track: PoseTrack,
    size: tuple[int, int] | None = None,
    sides: np.ndarray | None = None,
    *,
    kernel: Kernel = "square",
    line_width: float | None = None,
    threshold: float = SEEN,
) -> Iterator[list[Region]]:
    """The dilated drawn skeleton (limbs, hands, face) of every person, frame by frame.

    Args:
        track: F frames of P people.
        size: (height, width) of the drawing; default: the track's.
        sides: int (P,), odd: side of each person's kernel in pixels, 1 leaves the skeleton as it is. Default: `kernel_sides` of this track;
            give those of the whole clip where it is drawn part by part.
        kernel: "square" as in the paper's figure, or "ellipse".
        line_width: of the skeleton before it is dilated, as in `draw_skeleton`.
        threshold: keypoints with a lower score are not drawn.

    Yields:
        P regions for each frame.

    Raises:
        ValueError: sides of another number than P, or not odd; an unknown kernel.

    Source: Follow-Your-Pose v2 (arXiv 2406.03035), the regions of the optical flow and depth order guiders.
    """
    size = size or track.size
    sides = kernel_sides(track, size, threshold=threshold) if sides is None else np.asarray(sides)
    if sides.shape != (track.people,) or (sides < 1).any() or (sides % 2 == 0).any():
        raise ValueError(f"sides are {track.people} odd numbers of pixels, one for each person; got {sides.tolist()}")
    if kernel not in _KERNELS:
        raise ValueError(f"a kernel is {' or '.join(_KERNELS)}, not {kernel!r}")
    elements = [cv2.getStructuringElement(_KERNELS[kernel], (int(side), int(side))) for side in sides]
    for frame in track.scaled(size).frames():
        regions = []
        for person, element in enumerate(elements):
            drawn = draw_skeleton(frame.person(person), style="dwpose", line_width=line_width, threshold=threshold)[0]
            regions.append(_dilated(drawn, element))
        yield regions


def body_masks(track: PoseTrack, size: tuple[int, int] | None = None) -> np.ndarray:
    """Where bodies are at least, bool (F, P, H, W): skeletons as thick as `character_regions` has them, with feet.

    Args:
        track: F frames of P people.
        size: (height, width) of the masks; default: the track's.
    """
    size = size or track.size
    sides, placed = kernel_sides(track, size), track.scaled(size)
    masks = np.zeros((len(track), track.people, *size), np.uint8)
    for frame, regions in enumerate(character_regions(track, size, sides)):
        for person, region in enumerate(regions):
            masks[frame, person][region.at] |= region.mask
            points, scores = placed.keypoints[frame, person], placed.scores[frame, person]
            for knee, ankle in _SHINS:
                if min(scores[knee], scores[ankle]) >= SEEN and np.isfinite(points[[knee, ankle]]).all():
                    toe = points[ankle] + FOOT * (points[ankle] - points[knee])
                    ends = [tuple(np.rint(p).astype(int).tolist()) for p in (points[ankle], toe)]
                    cv2.line(masks[frame, person], ends[0], ends[1], 255, int(sides[person]))
    return masks > 0


def _dilated(drawn: np.ndarray, element: np.ndarray) -> Region:
    """Only within what the skeleton can reach: the cost is that of the person, not of the frame."""
    grey = cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY)  # no colour of a skeleton is so dark that it becomes 0
    left, top, width, height = cv2.boundingRect(grey)
    if not width:
        return Region(np.s_[0:0, 0:0], grey[:0, :0])
    grown = len(element) // 2
    at = np.s_[max(0, top - grown) : top + height + grown, max(0, left - grown) : left + width + grown]
    _, skeleton = cv2.threshold(grey[at], 0, 255, cv2.THRESH_BINARY)
    return Region(at, cv2.dilate(skeleton, element))
