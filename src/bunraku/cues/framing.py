"""Framing: where a moved figure goes in the picture, decided once over the whole clip.

A driver is filmed closer or farther, shows more or less of the body, and walks farther than the still has room for. The rules:

    itself      who drives their own still is moved by one similarity, so that they stand where the still stands
    no legs     legs that the still does not have are not driven, and its lower edge does not rise into the picture
    as they are limbs that the driver does not show keep the still's pose and go along with the body
    room        no head and no foot that the still has leaves the picture: the way is shifted, else shortened, and only where
                the figure itself has no room it becomes smaller
"""

from dataclasses import replace

import numpy as np

from bunraku.perception.pose import BODY, FEET, LEFT_HAND, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

NECK, NOSE = 1, 0
HEAD = [0, 14, 15, 16, 17]
LIMBS = {"right arm": (2, 3, 4), "left arm": (5, 6, 7), "right leg": (8, 9, 10), "left leg": (11, 12, 13)}
"""From the joint by which it hangs outwards."""

HANGS_ON: dict[int, list[int]] = {
    4: list(range(RIGHT_HAND.start, RIGHT_HAND.stop)),
    7: list(range(LEFT_HAND.start, LEFT_HAND.stop)),
    10: [21, 22, 23],
    13: [18, 19, 20],
}
SAME = 0.05  # of the trunk: root mean square distance of the joints below which a frame shows the still's own pose
SAME_JOINTS = 8
SHOWN = 0.1  # of the frames in which a limb must be seen to be driven
CROWN, CHEEK = 0.9, 0.7
"""How far the top of a head is above the nose, and its sides beside its middle, in lengths of neck to nose."""
LEAST = 0.5  # to which size a figure is reduced at most
STEPS = 24  # of bisection


def own_motion(driving: PoseTrack, reference: PoseTrack, *, threshold: float = SEEN) -> PoseTrack | None:
    """The driver in pixels of the reference by one similarity, where one of its frames shows the reference's own pose.

    Args:
        driving: (F, 1, K).
        reference: (1, 1, K').

    Returns:
        (F, 1, K), or None where no frame has 8 joints that one scale and one shift bring within 5 % of the trunk's length of the
        reference's (root mean square).
    """
    points, target = (
        driving.keypoints[:, 0, BODY].astype(np.float64),
        reference.keypoints[0, 0, BODY].astype(np.float64),
    )
    seen = _seen(driving, threshold)[:, BODY] & _seen(reference, threshold)[0, BODY]
    points = np.where(seen[..., None], points, 0)
    count = seen.sum(1)
    trunk = np.linalg.norm(target[NECK] - target[[8, 11]].mean(0))
    if not trunk > 0 or not (count >= SAME_JOINTS).any():
        return None
    weight = seen[..., None] / np.maximum(count, 1)[:, None, None]
    middle, goal = (points * weight).sum(1), (target * weight).sum(1)
    spread, wanted = (points - middle[:, None]) * seen[..., None], (target - goal[:, None]) * seen[..., None]
    scale = (spread * wanted).sum((1, 2)) / np.maximum(np.square(spread).sum((1, 2)), 1e-9)
    error = np.sqrt(np.square(scale[:, None, None] * spread - wanted).sum((1, 2)) / np.maximum(count, 1)) / trunk
    error = np.where((count >= SAME_JOINTS) & (scale > 0), error, np.inf)
    best = int(error.argmin())
    if error[best] > SAME:
        return None
    keypoints = (driving.keypoints - middle[best]) * scale[best] + goal[best]
    return PoseTrack(keypoints.astype(np.float32), driving.scores, reference.size)


def framed(
    moved: PoseTrack, driving: PoseTrack, reference: PoseTrack, *, threshold: float = SEEN
) -> tuple[PoseTrack, list[str]]:
    """A retargeted pose with the still's limbs and room.

    Args:
        moved: (F, 1, K), the driver retargeted to the reference, in pixels of the reference.
        driving: (F, 1, K) before that.
        reference: (1, 1, K').

    Returns:
        (F, 1, K), and what was done, in sentences.
    """
    track, said = _limbs(moved, driving, reference, threshold)
    points, seen = track.keypoints[:, 0].astype(np.float64), _seen(track, threshold)
    still, there = reference.keypoints[0, 0].astype(np.float64), _in_picture(reference, threshold)
    seen[:, NECK] &= np.isfinite(points[:, NECK]).all(-1)
    frames = np.flatnonzero(seen[:, NECK])
    if not len(frames) or not there[NECK]:
        return track, said
    half = not there[[9, 10, 12, 13]].any()
    guarded = [
        j for j in (*HEAD, 10, 13, *range(FEET.start, FEET.stop)) if j < len(there) and j < points.shape[1] and there[j]
    ]
    relative = points[frames][:, guarded] - points[frames, None, NECK]
    relative = np.where(seen[frames][:, guarded, None], relative, 0)
    if there[NOSE]:
        whole = _within(_outline(still[None], there[None])[0], reference.size)
        head = _outline(points[frames], seen[frames]) - points[frames, None, NECK]
        relative = np.concatenate([relative, np.where(seen[frames, NOSE, None, None], head, 0)[:, whole]], 1)
    shift, factor, size = np.zeros(2), np.ones(2), 1.0
    for axis, length in ((0, reference.size[1]), (1, reference.size[0])):
        floor = still[NECK, 1] if half and axis == 1 else -np.inf
        way = points[frames, NECK, axis] - still[NECK, axis]
        size = min(size, _size(relative[..., axis], length))
        ends = (-relative[..., axis] * size).max(1), (length - relative[..., axis] * size).min(1)
        low, high = np.maximum(ends[0], floor) - still[NECK, axis], np.maximum(ends[1], floor) - still[NECK, axis]
        factor[axis], shift[axis] = _room(way, low, high)
    if not shift.any() and (factor == 1).all() and size == 1:
        return track, said
    if size < 0.995:
        said.append(
            f"the figure is drawn at {100 * size:.0f} % of its size in the still, because it has no room for its motion"
        )
    elif (factor < 1).any():
        said.append(
            f"the way through the picture is shortened to {100 * factor.min():.0f} %, so that head and feet stay in it"
        )
    if np.abs(shift).max() >= 1:
        said.append(
            f"the figure is moved by {shift[0]:+.0f}, {shift[1]:+.0f} pixels of the still, so that head and feet stay in it"
        )
    way = points[:, [NECK]] - still[NECK]
    keypoints = (points - points[:, [NECK]]) * size + still[NECK] + way * factor + shift
    return replace(track, keypoints=keypoints[:, None].astype(np.float32)), said


def _limbs(moved: PoseTrack, driving: PoseTrack, reference: PoseTrack, threshold: float) -> tuple[PoseTrack, list[str]]:
    points, scores, said = moved.keypoints.copy(), moved.scores.copy(), []
    seen, there = _seen(driving, threshold), _in_picture(reference, threshold)
    still = reference.keypoints[0, 0]
    without = [name for name in ("right leg", "left leg") if not there[list(LIMBS[name][1:])].any()]
    if len(without) == 2:
        for name in without:
            scores[:, 0, _all(LIMBS[name][1:], points.shape[2])] = 0
        if seen[:, [9, 12]].mean() > SHOWN:
            said.append("the still shows no legs, so the driver's are not followed")
    kept = []
    for name, limb in LIMBS.items():
        outer = list(limb[1:])
        if name in without or not there[outer].all() or seen[:, outer].any(1).mean() > SHOWN:
            continue
        root = limb[0] if seen[:, limb[0]].mean() > SHOWN else NECK
        joints = [j for j in _all(limb if root == NECK else tuple(outer), points.shape[2]) if j < len(still)]
        points[:, 0, joints] = points[:, 0, [root]] + still[joints] - still[root]
        scores[:, 0, joints] = reference.scores[0, 0, joints]
        kept.append(name)
    if kept:
        said.append(f"the driver does not show the {' and '.join(kept)}: there the still's own pose is kept")
    return replace(moved, keypoints=points, scores=scores), said


def _room(way: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """The factor, at most 1, and the shift by which a way (F,) keeps to the intervals [low, high] (F,): the greatest such factor,
    and the least shift."""

    def gap(factor: float) -> tuple[float, float]:
        return float((low - factor * way).max()), float((high - factor * way).min())

    factor, (least, most) = 1.0, gap(1.0)
    if least > most:
        below, above = 0.0, 1.0
        for _ in range(STEPS):
            middle = (below + above) / 2
            least, most = gap(middle)
            below, above = (middle, above) if least <= most else (below, middle)
        factor, (least, most) = below, gap(below)
    if least > most:
        return factor, (least + most) / 2
    return factor, float(np.clip(0, least, most))


def _size(relative: np.ndarray, length: float) -> float:
    """The greatest size, at most 1, at which points (F, N) relative to the neck have room side by side in `length`."""
    extent = float((np.maximum(relative.max(1), 0) - np.minimum(relative.min(1), 0)).max()) if relative.size else 0.0
    return max(LEAST, min(1.0, length / max(extent, 1e-9)))


def _outline(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The top and the two sides of a head whose nose is seen, (F, 3, 2), from joints (F, K, 2)."""
    nose, up = points[:, NOSE], points[:, NOSE] - points[:, NECK]
    weights = seen[:, HEAD, None] / np.maximum(seen[:, HEAD].sum(1), 1)[:, None, None]
    middle = np.where(weights > 0, points[:, HEAD] * weights, 0).sum(1)  # of a profile the nose is one side
    beside = CHEEK * np.linalg.norm(up, axis=-1)[:, None] * (1, 0)
    return np.stack([nose + CROWN * up, middle - beside, middle + beside], 1)


def _within(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(((points >= 0) & (points <= size[::-1])).all(-1))


def _seen(track: PoseTrack, threshold: float) -> np.ndarray:
    """bool (F, K) of the one person."""
    scores, points = track.scores[:, 0], track.keypoints[:, 0]
    return np.asarray((scores >= threshold) & (scores > 0) & np.isfinite(points).all(-1))


def _in_picture(reference: PoseTrack, threshold: float) -> np.ndarray:
    """Which joints of the still are seen within it, bool (K,)."""
    points = reference.keypoints[0, 0]
    return np.asarray(_seen(reference, threshold)[0] & _within(points, reference.size))


def _all(joints: tuple[int, ...], count: int) -> list[int]:
    """Joints and what hangs on them."""
    return [*joints, *(j for joint in joints if count == WHOLE_BODY for j in HANGS_ON.get(joint, []))]
