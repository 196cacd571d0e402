"""The structured depth of Animate Anyone 2: depth along the skeleton, which tells limbs apart and not the body's shape."""

import cv2
import numpy as np

from bunraku.cues.skeleton import LIMBS, draw_skeleton
from bunraku.perception.pose import HAND_BONES, LEFT_HAND, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

FARTHEST = 51
_REACH = 8 / 512  # of a limb's side from its axis, twice a skeleton's default


def draw_structured_depth(
    track: PoseTrack,
    depth: np.ndarray,
    size: tuple[int, int] | None = None,
    *,
    span: tuple[float, float] | None = None,
    farthest: int = FARTHEST,
    line_width: float | None = None,
    threshold: float = SEEN,
    hands: bool = True,
) -> np.ndarray:
    """Depth inside of the binarised skeleton, brightest where it is nearest.

        D_s = M_s (a + (255 - a) (far - D) / (far - near)), rounded,   M_s = [skeleton is drawn],   a = `farthest`

    Black is where nothing is drawn; the nearest drawn pixel is 255, also in a clip of one depth.

    Args:
        track: F frames of P people, of the footage that depth is of; for poses that were moved elsewhere see `carry_depth`.
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
    threshold: float = SEEN,
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


def carry_depth(track: PoseTrack, depth: np.ndarray, moved: PoseTrack, *, threshold: float = SEEN) -> np.ndarray:
    """Depth for poses that were retargeted: every limb takes the depth along the driver's limb with it.

    A pixel beside the limb from a to b, at share t of its length, has the depth of the driver's picture at a' + t (b' - a'); where limbs
    cross, that of the nearest.

    Args:
        track: F frames of P people, of the footage that depth is of.
        depth: float (F, H', W'), distance, as of `draw_structured_depth`.
        moved: the same people and joints elsewhere, maybe in frames of another size.
        threshold: keypoints with a lower score are not seen.

    Returns:
        float32 (F, H, W) of moved's size, for `draw_structured_depth(moved, ...)`; NaN farther from every limb than a skeleton is thick.

    Raises:
        ValueError: tracks of different people or lengths, depth of another length.

    Source: choice; Animate Anyone 2 drives with the footage's own poses.
    """
    if track.keypoints.shape != moved.keypoints.shape or depth.ndim != 3 or len(depth) != len(track):
        raise ValueError(
            f"depth is carried from {track.keypoints.shape} to the same people, not {moved.keypoints.shape}, and is "
            f"({len(track)}, H, W), not {depth.shape}"
        )
    bones = LIMBS
    if track.keypoints.shape[2] == WHOLE_BODY:
        bones = np.concatenate([LIMBS, HAND_BONES + LEFT_HAND.start, HAND_BONES + RIGHT_HAND.start])
    reach = int(np.ceil(min(moved.size) * _REACH)) + 1
    sources = track.scaled((depth.shape[1], depth.shape[2])).keypoints
    result = np.full((len(track), *moved.size), np.inf, np.float32)
    # beyond this a joint is too far away to be drawn, NaN included
    drawable = (np.abs(moved.keypoints) < 2**15).all(-1) & (np.abs(sources) < 2**15).all(-1)
    seen = (np.minimum(track.scores, moved.scores) >= threshold) & (moved.scores > 0) & drawable
    for frame, person, bone in np.argwhere(seen[:, :, bones].all(-1)).tolist():
        joints = bones[bone]
        _carry(
            depth[frame], sources[frame, person, joints], result[frame], moved.keypoints[frame, person, joints], reach
        )
    return np.where(np.isinf(result), np.float32(np.nan), result)


def _carry(depth: np.ndarray, source: np.ndarray, into: np.ndarray, target: np.ndarray, reach: int) -> None:
    """One limb: (2, 2) joints in the pixels of `depth` and of `into`, which is changed where this limb is nearer."""
    height, width = into.shape
    left, top = np.maximum(np.floor(target.min(0)).astype(int) - reach, 0).tolist()
    right, bottom = np.minimum(np.ceil(target.max(0)).astype(int) + reach + 1, (width, height)).tolist()
    if left >= right or top >= bottom:
        return
    points = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1) + 0.5
    along = (target[1] - target[0]).astype(np.float64)
    share = np.clip((points - target[0]) @ along / max(along @ along, 1e-9), 0, 1)[..., None]
    near = np.square(points - target[0] - share * along).sum(-1) <= reach**2
    columns, rows = np.moveaxis(np.floor(source[0] + share * (source[1] - source[0])).astype(int), -1, 0)
    inside = near & (rows >= 0) & (rows < depth.shape[0]) & (columns >= 0) & (columns < depth.shape[1])
    carried = np.full(inside.shape, np.inf, np.float32)
    carried[inside] = depth[rows[inside], columns[inside]]
    np.fmin(into[top:bottom, left:right], carried, out=into[top:bottom, left:right])


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
