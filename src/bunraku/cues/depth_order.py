"""The depth-order condition of Follow-Your-Pose v2: who is in front of whom, painted far to near.

A score says how near a person is, in any unit, larger is nearer (`nearness` from depth, `standing_nearness` without); ranks put the people
of a frame in order, 0 the farthest (`ranks_over_time` from the driver, `fixed_ranks` from one picture); `draw_depth_order` paints them.
"""

from typing import NamedTuple

import cv2
import numpy as np

from bunraku.cues.character_region import Kernel, Region, character_regions, kernel_sides, torso_lengths
from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, SEEN, PoseTrack

PALETTE = (
    (255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255), (255, 255, 255), (128, 128, 128),
)  # fmt: skip
"""Colours from far to near. The paper shows red and yellow; green to magenta go on round the hue circle, then white and grey."""

TORSOS_PER_HEIGHT = 3.4
LEAST_SHARED = 12
_LEAST_FREE = 0.25
_CERTAIN = 4.0

MEDIAN_DEVIATION = 1.2533
"""Deviation of the median of n normal numbers, times sqrt(n): sqrt(pi / 2)."""


def draw_depth_order(
    track: PoseTrack,
    ranks: np.ndarray,
    size: tuple[int, int] | None = None,
    *,
    sides: np.ndarray | None = None,
    kernel: Kernel = "square",
    threshold: float = SEEN,
) -> np.ndarray:
    """The dilated skeletons on black, painted from far to near, each in the colour of its place in the order.

    One person alone is red, of two the farther is red (255, 0, 0) and the nearer yellow (255, 255, 0).

    Args:
        track: F frames of P people, the poses that drive.
        ranks: int (F, P), each frame a permutation of 0 .. P - 1, 0 the farthest.
        size: (height, width) of the drawing; default: the track's.
        sides, kernel, threshold: of the regions, see `character_regions`; give the whole clip's sides where it is drawn part by part.

    Returns:
        uint8 (F, H, W, 3) RGB.

    Raises:
        BunrakuError: more than 8 people.
        ValueError: ranks that are no permutations.

    Source: Follow-Your-Pose v2 (arXiv 2406.03035), Algorithm 1 "depth order map mask extraction" ("Depth Assignment"); colours and order of
    painting as in its figure, the colours beyond two are a choice (`PALETTE`).
    """
    size = size or track.size
    if track.people > len(PALETTE):
        raise BunrakuError(
            f"the depth order has colours for {len(PALETTE)} people; there are {track.people}. Choose fewer with --person"
        )
    if ranks.shape != (len(track), track.people) or (np.sort(ranks, 1) != np.arange(track.people)).any():
        raise ValueError(
            f"ranks are ({len(track)}, {track.people}), in each frame 0 to {track.people - 1}; got {ranks}"
        )
    colours = np.zeros((1, 256, 3), np.uint8)
    colours[0, 1 : 1 + len(PALETTE)] = PALETTE
    drawn = np.empty((len(track), *size, 3), np.uint8)
    for frame, regions in enumerate(character_regions(track, size, sides, kernel=kernel, threshold=threshold)):
        top = np.zeros(size, np.uint8)  # the nearest of everybody who is there: painting far to near, in one channel
        for (at, mask), rank in zip(regions, ranks[frame].tolist()):
            np.maximum(top[at], mask & np.uint8(rank + 1), out=top[at])
        cv2.LUT(cv2.merge([top, top, top]), colours, dst=drawn[frame])
    return drawn


def nearness(track: PoseTrack, depth: np.ndarray, *, threshold: float = SEEN) -> np.ndarray:
    """How near each person is: minus the median of the depth under the thin drawn skeleton, outside of everybody else's region.

    Where regions overlap, depth is that of whoever is in front, and says nothing of the other. Someone of whom less than a quarter is free has no
    score in that frame; someone who is never free is scored by all that is drawn of him.

    Args:
        track: F frames of P people.
        depth: float (F, H, W), distance from the camera in any unit, of any size; of a network that gives inverse depth, its negative.
            Values that are not finite are not looked at.
        threshold: keypoints with a lower score are not seen.

    Returns:
        float64 (F, P), larger is nearer; NaN where there is no score.

    Source: Follow-Your-Pose v2, Algorithm 1; the statistic is a choice, the paper's is not known.
    """
    if depth.ndim != 3 or len(depth) != len(track):
        raise ValueError(f"depth for {len(track)} frames is ({len(track)}, H, W); got {depth.shape}")
    size = (depth.shape[1], depth.shape[2])
    free, whole = np.full((2, len(track), track.people), np.nan)
    thin = character_regions(track, size, np.ones(track.people, np.int64), threshold=threshold)
    thick = character_regions(track, size, kernel_sides(track, size, threshold=threshold), threshold=threshold)
    for frame, (skeletons, regions) in enumerate(zip(thin, thick)):
        covered = np.zeros(size, np.uint8)
        for region in regions:
            covered[region.at] += region.mask > 0
        for person, (at, mask) in enumerate(skeletons):
            drawn = (mask > 0) & np.isfinite(depth[frame][at])
            alone = drawn & (covered[at] == 1)
            if drawn.any():
                whole[frame, person] = -np.median(depth[frame][at][drawn])
            if alone.sum() >= max(1, _LEAST_FREE * drawn.sum()):
                free[frame, person] = -np.median(depth[frame][at][alone])
    return np.where(np.isfinite(free).any(0), free, whole)


def standing_nearness(track: PoseTrack, *, window: int = 61, threshold: float = SEEN) -> np.ndarray:
    """How near each person seems where there is no depth: who stands lower in the picture and is larger is nearer.

    The lowest seen joint, plus half of the body's height, which is 3.4 lengths from neck to hips. Whose ankles are not seen is taken to stand
    as far below the hips as the legs of such a body reach. A body that bends is not smaller: the length is nearly the longest (the 0.9
    quantile) of the frames around.

    Args:
        track: F frames of P people.
        window: frames around, of which the length is taken.
        threshold: keypoints with a lower score are not seen.

    Returns:
        float64 (F, P), in picture heights; NaN where neither torso nor ankles are seen.
    """
    points, height = track.keypoints[:, :, BODY].astype(np.float64), track.size[0]
    seen = (track.scores[:, :, BODY] >= threshold) & (track.scores[:, :, BODY] > 0) & np.isfinite(points).all(-1)
    vertical = np.where(seen, points[..., 1], -np.inf)
    torsos = torso_lengths(track, threshold)
    tall = np.full(torsos.shape, np.nan)
    for person, column in enumerate(torsos.T):
        known = np.isfinite(column)
        tall[known, person] = TORSOS_PER_HEIGHT * np.nanquantile(_windows(column, window)[known], 0.9, axis=1)
    ankles, hips = vertical[:, :, (10, 13)].max(-1), vertical[:, :, (8, 11)].max(-1)
    ground = np.where(np.isfinite(ankles), vertical.max(-1), hips + tall / 2)
    return np.where(np.isfinite(tall), ground + tall / 2, np.where(np.isfinite(ankles), ground, np.nan)) / height


def fixed_ranks(scores: np.ndarray, frames: int) -> np.ndarray:
    """One order for a whole clip: that of the reference picture, as in the paper.

    Args:
        scores: float (P,), larger is nearer, of the people in the order of the driving track; NaN counts as farthest.
        frames: F.

    Returns:
        int64 (F, P), 0 the farthest; equal scores in the order of the people.

    >>> fixed_ranks(np.array([0.3, 0.1, 0.2]), 2).tolist()
    [[2, 0, 1], [2, 0, 1]]
    """
    order = np.argsort(np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    return np.tile(np.argsort(order), (frames, 1))


def ranks_over_time(scores: np.ndarray, window: int = 15) -> np.ndarray:
    """The order of each frame, without flicker: two people change places only on evidence that lasts and is more than noise.

    Scores are replaced by their median over `window` frames (for two people a majority), interpolated where a person is not seen. A pair then
    keeps its order until the difference of the two scores exceeds 4 deviations of the medians' noise, which is measured by what the
    medians took away; before its first evidence it has the order of that evidence. Where the pairs of three or more
    people contradict each other, the scores decide.

    Args:
        scores: float (F, P), larger is nearer, NaN where a person is not seen; who is never seen counts as farthest.
        window: frames; 1 together with exact scores is the order of each frame by itself.

    Returns:
        int64 (F, P), 0 the farthest.

    Source: choice; Follow-Your-Pose v2 orders each training frame by itself and keeps one order at inference.

    >>> flicker = np.array([[0, 1], [0, 1], [2, 1], [0, 1], [0, 1], [2, 1], [2, 1], [2, 1]], float)
    >>> ranks_over_time(flicker, window=3)[:, 0].tolist()
    [0, 0, 0, 0, 0, 1, 1, 1]
    """
    if scores.ndim != 2 or window < 1:
        raise ValueError(f"scores are (F, P) and a window has at least 1 frame; got {scores.shape} and {window}")
    people = scores.shape[1]
    calm, noise = np.empty(scores.shape), np.empty(people)
    for person, column in enumerate(np.asarray(scores, np.float64).T):
        calm[:, person], noise[person] = _calm(column, window)
    margin = _CERTAIN * np.hypot(noise[:, None], noise) * MEDIAN_DEVIATION / np.sqrt(2 * (window // 2) + 1)
    frames = range(len(scores))
    nearer = np.zeros((people, people), bool) if not len(scores) else _difference(calm[-1]) > 0
    ranks = np.empty(scores.shape, np.int64)
    # backwards first: so the pairs begin with what their first evidence says
    for frame in [*reversed(frames), *frames]:
        difference = _difference(calm[frame])
        nearer = np.where(np.abs(difference) > margin, difference > 0, nearer)
        order = np.lexsort((calm[frame], nearer.sum(1)))  # by people behind, then by score
        ranks[frame, order] = np.arange(people)
    return ranks


def lasting_ranks(track: PoseTrack, scores: np.ndarray | None = None) -> np.ndarray:
    """The order of each frame of a clip, as `ranks_over_time` has it, of scores (F, P); None: guessed by `standing_nearness`."""
    return ranks_over_time(standing_nearness(track) if scores is None else scores)


def _difference(scores: np.ndarray) -> np.ndarray:
    """By how much person i is nearer than person j, (P,) -> (P, P); 0 for two who are never seen."""
    finite = np.where(np.isfinite(scores), scores, -np.finfo(np.float64).max / 4)
    return finite[:, None] - finite


def _calm(column: np.ndarray, window: int) -> tuple[np.ndarray, float]:
    """One person's scores (F,) as running medians, and the deviation of what these took away (its median, which outliers spare)."""
    seen = np.flatnonzero(np.isfinite(column))
    if not len(seen):
        return np.full(len(column), -np.inf), 0.0
    medians = np.nanmedian(_windows(column, window)[seen], axis=1)
    noise = 1.4826 * float(np.median(np.abs(column[seen] - medians)))
    return np.interp(np.arange(len(column)), seen, medians), noise


def _windows(column: np.ndarray, window: int) -> np.ndarray:
    """The values around each value, (F,) -> (F, window made odd); NaN beyond the ends and for what is not finite."""
    padded = np.pad(np.where(np.isfinite(column), column, np.nan), window // 2, constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * (window // 2) + 1)


class Contradiction(NamedTuple):
    """In this frame the order has `front` before `behind`, and the masks show the opposite."""

    frame: int
    front: int
    behind: int


def contradictions(
    track: PoseTrack, ranks: np.ndarray, instances: np.ndarray, *, least: int = LEAST_SHARED, threshold: float = SEEN
) -> list[Contradiction]:
    """Where masks show another order: on the pixels that two drawn skeletons share, the mask tells who is seen.

    Args:
        track: F frames of P people.
        ranks: int (F, P), 0 the farthest.
        instances: uint8 (F, H, W), 0 nobody, p + 1 person p, as they are seen.
        least: shared pixels that show either of the two, below which nothing is concluded; the opposite is shown where more than half of
            them show the one behind.
        threshold: keypoints with a lower score are not drawn.

    Returns:
        in order of time.
    """
    thin, found = np.ones(track.people, np.int64), []
    size = (instances.shape[1], instances.shape[2])
    for frame, regions in enumerate(character_regions(track, size, thin, threshold=threshold)):
        order = np.argsort(-ranks[frame])  # near to far
        for i, front in enumerate(order.tolist()):
            for behind in order[i + 1 :].tolist():
                labels = _shared(instances[frame], regions[front], regions[behind])
                shows_front, shows_behind = int((labels == front + 1).sum()), int((labels == behind + 1).sum())
                if shows_front + shows_behind >= least and shows_behind > shows_front:
                    found.append(Contradiction(frame, front, behind))
    return found


def _shared(frame: np.ndarray, a: Region, b: Region) -> np.ndarray:
    """The pixels of a frame (H, W) that lie in both regions, (N,)."""
    rows, columns = (slice(max(i.start, j.start), min(i.stop, j.stop)) for i, j in zip(a.at, b.at))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return frame[:0, 0]

    def inside(region: Region) -> np.ndarray:
        top, left = region.at[0].start, region.at[1].start
        return region.mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] > 0

    return frame[rows, columns][inside(a) & inside(b)]


def describe_contradictions(found: list[Contradiction], frames: int) -> str:
    """One sentence for a user; empty where nothing contradicts.

    >>> describe_contradictions([Contradiction(4, 0, 1), Contradiction(5, 0, 1)], 60)
    'the depth order puts person 0 in front of person 1, but the masks show the opposite in 2 of 60 frames (first in frame 4)'
    """
    pairs: dict[tuple[int, int], list[int]] = {}
    for frame, front, behind in found:
        pairs.setdefault((front, behind), []).append(frame)
    return "; ".join(
        f"the depth order puts person {front} in front of person {behind}, but the masks show the opposite in {len(at)} of {frames} frames "
        f"(first in frame {at[0]})"
        for (front, behind), at in pairs.items()
    )
