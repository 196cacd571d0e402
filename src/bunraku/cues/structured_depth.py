"""The structured depth of Animate Anyone 2: depth along the skeleton, which tells limbs apart and not the body's shape."""

import cv2
import numpy as np

from bunraku.cues.skeleton import draw_skeleton
from bunraku.perception.pose import PoseTrack

FARTHEST = 51


def draw_structured_depth(
    track: PoseTrack,
    depth: np.ndarray,
    size: tuple[int, int] | None = None,
    *,
    span: tuple[float, float] | None = None,
    farthest: int = FARTHEST,
    line_width: float | None = None,
    threshold: float = 0.3,
    hands: bool = True,
) -> np.ndarray:
    """Depth inside of the binarised skeleton, brightest where it is nearest.

        D_s = M_s (a + (255 - a) (far - D) / (far - near)), rounded,   M_s = [skeleton is drawn],   a = `farthest`

    Black is where nothing is drawn; the nearest drawn pixel is 255, also in a clip of one depth.

    Args:
        track: F frames of P people, of the footage that depth is of: a pose that was moved elsewhere has no depth there.
        depth: float (F, H', W'), distance from the camera in any unit; of a network that gives inverse depth, its negative. Values that are
            not finite are drawn black.
        size: (height, width) of the drawing; default: the track's.
        span: (near, far); default: `depth_span` of these frames. Give the whole clip's where it is drawn part by part.
        farthest: level of the farthest drawn pixel, 1 to 255: above black, so that who stands behind is still there.
        line_width, threshold, hands: of the skeleton, as in `draw_skeleton`; the paper does not say how thick it is.

    Returns:
        uint8 (F, H, W, 3), three equal channels.

    Raises:
        ValueError: depth of another length or shape, a span that is not (near, far), a level out of range.

    Source: Animate Anyone 2 (arXiv 2502.06145), "Depth-wise pose modulation": structured depth = depth times the binarised skeleton image;
    min-max normalisation over the drawn pixels of the clip and its darkest level are choices.

    >>> points = np.full((1, 1, 18, 2), -1, np.float32)
    >>> points[0, 0, :3] = (2.5, 2.5)
    >>> track = PoseTrack(points, (points[..., 0] > 0).astype(np.float32), (6, 8))
    >>> drawn = draw_structured_depth(track, np.tile(np.arange(8.0), (1, 6, 1)))
    >>> drawn[0, 2, :, 0].tolist()
    [0, 255, 153, 51, 0, 0, 0, 0]
    """
    size = size or track.size
    near, far = (
        depth_span(track, depth, size, line_width=line_width, threshold=threshold, hands=hands)
        if span is None
        else span
    )
    if not near <= far or not 1 <= farthest <= 255:
        raise ValueError(
            f"a span of depth is (near, far), its farthest level 1 to 255; got ({near}, {far}) and {farthest}"
        )
    drawn = np.zeros((len(track), *size, 3), np.uint8)
    for frame, (inside, distance) in enumerate(_frames(track, depth, size, line_width, threshold, hands)):
        nearness = np.clip((far - distance[inside]) / (far - near), 0, 1) if far > near else np.ones(inside.sum())
        drawn[frame][inside] = np.rint(farthest + (255 - farthest) * nearness)[:, None]
    return drawn


def depth_span(
    track: PoseTrack,
    depth: np.ndarray,
    size: tuple[int, int] | None = None,
    *,
    line_width: float | None = None,
    threshold: float = 0.3,
    hands: bool = True,
) -> tuple[float, float]:
    """Smallest and largest distance under the drawn skeletons of a clip; (0, 0) where nothing is drawn. Arguments as of `draw_structured_depth`."""
    spans = [
        (float(distance[inside].min()), float(distance[inside].max()))
        for inside, distance in _frames(track, depth, size or track.size, line_width, threshold, hands)
        if inside.any()
    ]
    nearest, farthest = zip(*spans) if spans else ((0.0,), (0.0,))
    return min(nearest), max(farthest)


def _frames(
    track: PoseTrack, depth: np.ndarray, size: tuple[int, int], line_width: float | None, threshold: float, hands: bool
):
    """For each frame: where a skeleton lies on a known depth, bool (H, W), and the depth (H, W)."""
    if depth.ndim != 3 or len(depth) != len(track):
        raise ValueError(f"depth for {len(track)} frames is ({len(track)}, H, W); got {depth.shape}")
    for frame, distance in zip(track.frames(), depth):
        if distance.shape != size:
            # not smoothed: between a limb and the background lies nothing
            distance = cv2.resize(distance, size[::-1], interpolation=cv2.INTER_NEAREST)
        skeleton = draw_skeleton(frame, size, line_width=line_width, threshold=threshold, hands=hands)[0].any(-1)
        yield skeleton & np.isfinite(distance), distance
