"""The optical-flow condition of Follow-Your-Pose v2: how the background moves, and where the characters are."""

import itertools
from typing import Literal

import cv2
import numpy as np

from bunraku.cues.character_region import Kernel, character_regions
from bunraku.perception.pose import SEEN, PoseTrack

Form = Literal["grey", "uv"]

SCALE = 1 / 8
CEILING = 0.6
_CHARACTER = 255
_REST = 128
_UNEXPLAINED = 20


def draw_background_flow(
    track: PoseTrack,
    flow: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    *,
    form: Form = "grey",
    scale: float = SCALE,
    ceiling: float = CEILING,
    sides: np.ndarray | None = None,
    kernel: Kernel = "square",
    threshold: float = SEEN,
) -> np.ndarray:
    """Flow on a fixed scale with every character's region painted over, so that only the background's motion remains.

        grey: 255 min(|F| / s, ceiling) in all three channels; 255 in the regions of the characters
        uv:   128 + 127 u / s, 128 + 127 v / s, both clipped, and 0; (128, 128, 255) in the regions of the characters

    with s = `scale` * max(height, width). A network trained with real flow learns that the background is something constant plus its
    motion; with no motion (`flow` None) it is then told to keep still.

    Args:
        track: F frames of P people, whose dilated skeletons are the regions.
        flow: float (F, H', W', 2), where each pixel goes until the next frame, in its own pixels, x first; the last frame's is that of the
            frame before. None: zero momentum, the form of inference.
        size: (height, width) of the drawing, to which flow is resized; default: the track's.
        form: "grey" is what the paper's figure shows; "uv" keeps the direction.
        scale: flow of this share of the longer side is as fast as the drawing can say. The paper gives none.
        ceiling: brightest background of the grey form, below 1 so that no background looks like a character. The paper gives none; its
            figure stays below 0.51.
        sides, kernel, threshold: of the regions, see `character_regions`; give the whole clip's sides where it is drawn part by part.

    Returns:
        uint8 (F, H, W, 3).

    Raises:
        ValueError: flow of another length or shape or with values that are not finite, an unknown form, a scale or ceiling out of range.

    Source: Follow-Your-Pose v2 (arXiv 2406.03035), "Optical Flow Assignment" and the figure of the guiders; grey and 255 are measured there.

    >>> nobody = PoseTrack(np.zeros((1, 0, 18, 2), np.float32), np.zeros((1, 0, 18), np.float32), (16, 16))
    >>> drawn = draw_background_flow(nobody, np.full((1, 16, 16, 2), (0.6, 0.8)))
    >>> drawn.shape, int(drawn.min()), int(drawn.max())  # 1 of at most 2 pixels, 255 / 2, rounded
    ((1, 16, 16, 3), 128, 128)
    """
    size = size or track.size
    if form not in ("grey", "uv") or scale <= 0 or not 0 < ceiling <= 1:
        raise ValueError(f"form is grey or uv, scale above 0, ceiling in (0, 1]; got {form!r}, {scale} and {ceiling}")
    if flow is not None and (flow.ndim != 4 or len(flow) != len(track) or flow.shape[-1] != 2):
        raise ValueError(
            f"flow for {len(track)} frames is ({len(track)}, H, W, 2), the last repeated; got {flow.shape}"
        )
    drawn = np.zeros((len(track), *size, 3), np.uint8)
    drawn[..., :2] = 0 if form == "grey" else _REST
    character = (_CHARACTER,) * 3 if form == "grey" else (_REST, _REST, _CHARACTER)
    people = character_regions(track, size, sides, kernel=kernel, threshold=threshold)
    for frame, regions in enumerate(people):
        if flow is not None:
            drawn[frame] = _levels(_resized(flow[frame], size) / (scale * max(size)), form, ceiling)
        inside = np.zeros(size, np.uint8)
        for region in regions:
            np.maximum(inside[region.at], region.mask, out=inside[region.at])
        np.copyto(drawn[frame], np.array(character, np.uint8), where=inside[..., None] > 0)
    return drawn


def unexplained(frames: np.ndarray, flow: np.ndarray) -> list[int]:
    """Frames after which flow does not lead to the next frame: the footage is cut there, and its flow means nothing.

    The next frame, fetched back along the flow, differs from the frame by more than 20 of 255 grey levels on average. With OpenCV's DIS flow, four
    real clips stayed below 14, even between frames that are six apart; cuts from one of them to another were above 38.

    Args:
        frames: uint8 (F, H, W, 3).
        flow: float (F, H, W, 2) in pixels, or without the last frame's, which is not looked at.

    Returns:
        the frames i whose flow to i + 1 is of no use.

    Raises:
        ValueError: flow of another size or length.
    """
    if flow.shape[1:] != (*frames.shape[1:3], 2) or len(flow) not in (len(frames), len(frames) - 1):
        raise ValueError(f"flow of frames {frames.shape} is {(*frames.shape[:3], 2)}; got {flow.shape}")
    rows, columns = np.indices(frames.shape[1:3], np.float32)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    found = []
    for i, (now, then) in enumerate(itertools.pairwise(grey)):
        x, y = columns + flow[i, ..., 0].astype(np.float32), rows + flow[i, ..., 1].astype(np.float32)
        fetched = cv2.remap(then, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if cv2.absdiff(now, fetched).mean() > _UNEXPLAINED:
            found.append(i)
    return found


def _resized(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Flow (H', W', 2) as it is in a picture of another size: fewer pixels, and shorter ways between them."""
    if not np.isfinite(flow).all():
        raise ValueError("flow is not finite everywhere; compute it again, or set what is unknown to 0")
    flow = flow.astype(np.float32, copy=False)
    if flow.shape[:2] == size:
        return flow
    smaller = size[0] * size[1] < flow.shape[0] * flow.shape[1]
    resized = cv2.resize(flow, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return resized * np.array([size[1] / flow.shape[1], size[0] / flow.shape[0]], np.float32)


def _levels(flow: np.ndarray, form: Form, ceiling: float) -> np.ndarray:
    """Flow (H, W, 2) in units of the scale as the three channels of the form, uint8 (H, W, 3)."""
    if form == "grey":
        grey = np.rint(255 * np.minimum(np.hypot(flow[..., 0], flow[..., 1]), ceiling))
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
    directions = np.rint(_REST + 127 * np.clip(flow, -1, 1)).astype(np.uint8)
    return np.concatenate([directions, np.zeros((*flow.shape[:2], 1), np.uint8)], axis=-1)
