"""Retargeting: the driver's motion on the reference character's proportions and place.

Notation: c_k is joint k of the driver in the current frame, i_k in its initial pose, s_k in the reference; p is the
parent of k in the tree whose root is the neck. All lengths are in pixels of their own picture.

Every method here walks the tree from the neck outwards and scales each bone of the driver about its parent,

    new_k = new_p + r_k (c_k - c_p),

so bones keep the driver's direction, and descendants move along. The methods differ only in r_k:

    retarget   r_k = |s_k - s_p| g_k / |c_k - c_p|   with g_k = clip(|c_k - c_p| / |i_k - i_p|, 0, 1.1)
    align      r_k = the ratio |s| / |i| of the body part to which k belongs
    fit        r_k = one ratio |s| / |i| for the whole body

g is foreshortening: a bone that the driver turns towards the camera shortens by as much on the character.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, FACE, FEET, LEFT_HAND, PARENTS, RIGHT_HAND, WHOLE_BODY, PoseTrack

NECK = 1
ANKLES = [10, 13]
HEAD = slice(14, 18)
TREE = np.array([*PARENTS, *[13] * 3, *[10] * 3, *[0] * 68, *[7] * 21, *[4] * 21])
"""Parent of each of the 134 keypoints: feet hang on the ankles, the face on the nose, hands on the wrists."""

OUTWARDS = [0, 2, 5, 8, 11, 3, 6, 9, 12, 14, 15, 4, 7, 10, 13, 16, 17]
"""Body joints, parents before children."""

CHILD = np.array(OUTWARDS)
MIRROR = np.array([0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16])
MAX_STRETCH = 1.1
MIN_LENGTH = (
    0.1  # of neck to nose (or of the median bone); a shorter bone points at the camera, and its ratio says nothing
)
PALM = ((0, 5), (0, 17), (5, 17))
"""Wrist and knuckles of forefinger and little finger: a triangle, which is seldom foreshortened in all directions."""

PARTS: tuple[tuple[tuple[tuple[int, int], ...], tuple[int | slice, ...]], ...] = (
    (((1, 0),), (0,)),
    (((0, 14), (0, 15), (14, 16), (15, 17)), (14, 15, 16, 17, FACE)),
    (((2, 5),), (2, 5)),
    (((2, 3), (5, 6)), (3, 6)),
    (((3, 4), (6, 7)), (4, 7)),
    (
        tuple((hand.start + a, hand.start + b) for hand in (LEFT_HAND, RIGHT_HAND) for a, b in PALM),
        (LEFT_HAND, RIGHT_HAND),
    ),
    (((1, 8), (1, 11)), (8, 11)),
    (((8, 9), (11, 12)), (9, 12)),
    (((9, 10), (12, 13)), (10, 13, FEET)),
)
"""Neck, head, shoulders, upper arms, lower arms, hands, torso, upper legs, lower legs: (bones measured, joints moved)."""


def retarget(
    driving: PoseTrack,
    reference: PoseTrack,
    *,
    initial: Literal["median", "first"] = "median",
    symmetric: bool = True,
    travel: Literal["neck", "body"] = "neck",
    threshold: float = 0.3,
) -> PoseTrack:
    """Give the driver's pose the bone lengths of the reference, bone by bone, foreshortening kept.

    The neck-nose bone has g = 1, however short. The neck goes to s_1 + (c_1 - i_1) r_0, with r_0 the ratio |s| / |i| of
    that bone. What hangs on a bone goes with it: feet are scaled by the |s| / |i| of the lower leg, both hands by that of
    the longer lower arm of each (the less foreshortened one), the face by the mean of the head's bones.

    A bone cannot be compared where driver or reference does not show it, or only below a tenth of neck to nose (of the
    median bone where neck to nose is not seen or below that itself). Then one of the head takes the face's ratio (neck
    to nose where none of the head can be compared), any other that of the whole body. A joint whose parent is missing
    hangs on its nearest seen ancestor, scaled by the ratio of the whole body.

    Args:
        driving: (F, 1, K).
        reference: (1, 1, K') in pixels of the reference image.
        initial: initial pose of the driver: per bone the median over frames in which it is seen, which survives an
            occluded limb or a bad first frame, or the paper's first frame alone.
        symmetric: take the longer of the reference's left and right bone for both, as a character seen half from the
            side needs.
        travel: what scales the driver's way through the picture: r_0 ("neck", the paper), or the ratio of the whole
            body ("body", calmer for large heads).
        threshold: keypoints with a lower score count as missing.

    Returns:
        (F, 1, K) in pixels of the reference image; size is the reference's, scores are the driver's.

    Raises:
        BunrakuError: the neck is nowhere seen in one of the two, or a track has other than one person.

    Source: TCAN (Kim et al., ECCV 2024), Algorithm 1, with the printed slips corrected: the nose ratio is s / c, g
    belongs to the child, the child and its descendants move, and the shift of the neck is in pixels.
    """
    cur, src = _check(driving, reference, threshold)
    first = slice(None) if initial == "median" else slice(0, 1)
    lengths = _lengths(cur.points)
    initial_lengths = _median(lengths[first], _bone_seen(cur.seen)[first])
    reference_lengths = _median(_lengths(src.points), _bone_seen(src.seen))
    if symmetric:
        reference_lengths = np.fmax(reference_lengths, reference_lengths[MIRROR])

    usable = (reference_lengths > _shortest(reference_lengths)) & (initial_lengths > _shortest(initial_lengths))
    body_ratio = _ratio(reference_lengths, initial_lengths, usable, default=reference.size[0] / driving.size[0])
    ratios = np.full(WHOLE_BODY, body_ratio)
    np.divide(reference_lengths, initial_lengths, out=ratios[BODY], where=usable)
    ratios[FEET] = ratios[TREE[FEET]]
    ratios[FACE] = head = ratios[HEAD][usable[HEAD]].mean() if usable[HEAD].any() else ratios[0]
    ratios[HEAD] = np.where(usable[HEAD], ratios[HEAD], head)
    arms = [joint for joint in (4, 7) if usable[joint]]
    hands = reference_lengths[arms].max() / initial_lengths[arms].max() if arms else body_ratio
    ratios[LEFT_HAND] = ratios[RIGHT_HAND] = hands

    # s g / c = s min(1 / i, 1.1 / c): no division by a bone that has no length in this frame
    exact = reference_lengths / np.maximum(lengths, 1e-6)
    scales = np.broadcast_to(ratios, (len(driving), WHOLE_BODY)).copy()
    scales[:, BODY] = np.where(usable, np.minimum(ratios[BODY], MAX_STRETCH * exact), ratios[BODY])
    if reference_lengths[0] > 0:
        scales[:, 0] = exact[:, 0]

    nose = initial_lengths[0] > 0 and reference_lengths[0] > 0
    way_ratio = reference_lengths[0] / initial_lengths[0] if travel == "neck" and nose else body_ratio
    way = (cur.points[:, NECK] - _start(cur, first)) * way_ratio
    return _moved(driving, reference, _unfold(cur, src.points[0, NECK] + way, scales, body_ratio))


def align(
    driving: PoseTrack,
    reference: PoseTrack,
    *,
    anchor: Literal["neck", "feet"] = "neck",
    threshold: float = 0.3,
) -> PoseTrack:
    """Scale each body part of the driver by one constant, then place it where the reference stands.

    The ratio of a part is reference / driver, the driver's length being the median over the frames in which it is
    seen, averaged over its bones, left and right; parts that one of the two does not show, or only shorter than a tenth
    of neck to nose (see `retarget`), get the mean of the others. The way of the driver through the picture is scaled by
    the ratio of the whole body.

    Args:
        driving: (F, 1, K).
        reference: (1, 1, K') in pixels of the reference image.
        anchor: what lies on the reference's: the driver's median neck, or the middle of its median ankles.
        threshold: keypoints with a lower score count as missing.

    Returns:
        (F, 1, K) in pixels of the reference image; size is the reference's, scores are the driver's.

    Raises:
        BunrakuError: the neck (or for anchor "feet" the ankles) is nowhere seen in one of the two, or a track has
            other than one person.

    Source: the rescaling of Animate Anyone (Hu et al., CVPR 2024, section 3.1; no recipe is given) in the form of
    MusePose's pose_align, there with frame 0 alone.
    """
    cur, src = _check(driving, reference, threshold)
    least = tuple(_shortest(_median(_lengths(pose.points), _bone_seen(pose.seen))) for pose in (cur, src))
    found = [[ratio for bone in bones if (ratio := _bone_ratio(bone, cur, src, least))] for bones, _ in PARTS]
    body_ratio = _body_ratio(cur, src, default=reference.size[0] / driving.size[0])
    mean = np.mean([np.mean(part) for part in found if part]) if any(found) else body_ratio
    ratios = np.ones(WHOLE_BODY)
    for (_, joints), part in zip(PARTS, found):
        for joint in joints:
            ratios[joint] = np.mean(part) if part else mean

    neck = src.points[0, NECK] + (cur.points[:, NECK] - _start(cur)) * body_ratio
    points = _unfold(cur, neck, np.broadcast_to(ratios, (len(driving), WHOLE_BODY)), body_ratio)
    return _moved(driving, reference, _placed(points, cur, src, anchor))


def fit(
    driving: PoseTrack,
    reference: PoseTrack,
    *,
    anchor: Literal["neck", "feet"] = "neck",
    threshold: float = 0.3,
) -> PoseTrack:
    """Scale and shift the driver as a whole: its own proportions, at the size and place of the reference.

    The scale is the summed length of the reference's bones over that of the driver's (medians over frames), counting
    bones that both show. Arguments, result and errors are those of `align`.
    """
    cur, src = _check(driving, reference, threshold)
    scale = _body_ratio(cur, src, default=reference.size[0] / driving.size[0])
    points = src.points[0, NECK] + (cur.points - _start(cur)) * scale
    return _moved(driving, reference, _placed(points, cur, src, anchor))


Method = Literal["full", "align", "fit"]
METHODS: dict[Method, Callable[[PoseTrack, PoseTrack], PoseTrack]] = {
    "full": partial(retarget, travel="body"),
    "align": align,
    "fit": fit,
}
"""By the names that `animate --retarget` knows them by."""

Retarget = Literal["full", "align", "fit", "off"]
"""A method, or "off": the driver's pose as it is."""


def retarget_people(driving: PoseTrack, reference: PoseTrack, method: Method = "full") -> PoseTrack:
    """Give each driver's motion to the character of the same number.

    Args:
        driving: (F, P, K).
        reference: (1, P, K') in pixels of the reference image; characters in the order of their drivers.
        method: one of METHODS.

    Returns:
        (F, P, K) in pixels of the reference image; size is the reference's, scores are the drivers'.

    Raises:
        BunrakuError: other numbers of drivers and characters, none of them, or what the method cannot do; names the person.
    """
    if driving.people != reference.people or not driving.people:
        raise BunrakuError(
            f"there are {driving.people} driving people for {reference.people} characters; each character needs its own driver"
        )
    tracks = []
    for i in range(driving.people):
        try:
            tracks.append(METHODS[method](driving.person(i), reference.person(i)))
        except BunrakuError as error:
            raise BunrakuError(f"person {i}: {error}" if driving.people > 1 else str(error)) from None
    keypoints = np.concatenate([track.keypoints for track in tracks], axis=1)
    return PoseTrack(keypoints, driving.scores, reference.size)


class _Pose(NamedTuple):
    """One person: float64 points (F, K, 2), finite, the neck's path without gaps, and which are seen (F, K)."""

    points: np.ndarray
    seen: np.ndarray


def _check(driving: PoseTrack, reference: PoseTrack, threshold: float) -> tuple[_Pose, _Pose]:
    if driving.people != 1 or reference.people != 1 or len(reference) != 1:
        raise BunrakuError(
            f"Retargeting takes one driving person and one reference pose; got {driving.people} driving people and a "
            f"reference of {len(reference)} frames with {reference.people} people. Choose one with track.person(index)."
        )
    return _pose(driving, "driving video", threshold), _pose(reference, "reference image", threshold)


def _pose(track: PoseTrack, name: str, threshold: float) -> _Pose:
    points = track.keypoints[:, 0].astype(np.float64)
    finite = np.all(np.isfinite(points), axis=-1)
    seen = (track.scores[:, 0] >= threshold) & (track.scores[:, 0] > 0) & finite
    points = np.where(finite[..., None], points, 0)
    if not seen[:, NECK].any():
        raise BunrakuError(
            f"No neck was found in the {name}, so its pose has no place to start from. Use a picture in which the "
            f"head and both shoulders are visible, or lower the score threshold (now {threshold})."
        )
    known = np.flatnonzero(seen[:, NECK])
    for axis in (0, 1):
        points[:, NECK, axis] = np.interp(np.arange(len(points)), known, points[known, NECK, axis])
    return _Pose(points, seen)


def _lengths(points: np.ndarray) -> np.ndarray:
    """Length of the bone from each body joint to its parent, (F, 18); the neck's is 0."""
    lengths = np.zeros((len(points), 18))
    lengths[:, CHILD] = np.linalg.norm(points[:, CHILD] - points[:, TREE[CHILD]], axis=-1)
    return lengths


def _bone_seen(seen: np.ndarray) -> np.ndarray:
    bone_seen = np.zeros((len(seen), 18), bool)
    bone_seen[:, CHILD] = seen[:, CHILD] & seen[:, TREE[CHILD]]
    return bone_seen


def _median(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Median over frames of the valid values, NaN where there is none."""
    return np.array([np.median(column[ok]) if ok.any() else np.nan for column, ok in zip(values.T, valid.T)])


def _shortest(lengths: np.ndarray) -> float:
    """What a bone must exceed to say something, given the lengths of the body's bones, (18,) with NaN for unknown ones."""
    known = lengths[CHILD][np.isfinite(lengths[CHILD])]
    typical = float(np.median(known)) if len(known) else 0.0
    return MIN_LENGTH * (float(lengths[0]) if lengths[0] > MIN_LENGTH * typical else typical)


def _start(cur: _Pose, first: slice = slice(None)) -> np.ndarray:
    """Initial place of the neck, (2,)."""
    neck, seen = cur.points[first, NECK], cur.seen[first, NECK]
    return np.median(neck[seen] if seen.any() else neck, axis=0)


def _ratio(reference_lengths: np.ndarray, lengths: np.ndarray, usable: np.ndarray, default: float) -> float:
    return float(reference_lengths[usable].sum() / lengths[usable].sum()) if usable.any() else default


def _body_ratio(cur: _Pose, src: _Pose, default: float) -> float:
    lengths = _median(_lengths(cur.points), _bone_seen(cur.seen))
    reference_lengths = _median(_lengths(src.points), _bone_seen(src.seen))
    return _ratio(reference_lengths, lengths, (lengths > 0) & (reference_lengths > 0), default)


def _bone_ratio(bone: tuple[int, int], cur: _Pose, src: _Pose, least: tuple[float, ...]) -> float | None:
    """Reference length over the driver's median length, None where one of them is unknown or does not exceed its least."""
    a, b = bone
    if max(bone) >= min(cur.points.shape[1], src.points.shape[1]):
        return None
    length, reference_length = (
        np.median(np.linalg.norm(pose.points[seen, a] - pose.points[seen, b], axis=-1)) if seen.any() else 0
        for pose in (cur, src)
        for seen in [pose.seen[:, a] & pose.seen[:, b]]
    )
    return float(reference_length / length) if length > least[0] and reference_length > least[1] else None


def _unfold(cur: _Pose, neck: np.ndarray, scales: np.ndarray, body_ratio: float) -> np.ndarray:
    """new_k = new_p + r_k (c_k - c_p) from the neck outwards, p being the nearest ancestor that is seen.

    neck (F, 2) is where the neck goes, scales (F, 134) is r; a bone that skips an ancestor takes body_ratio instead.
    """
    points, seen, result = cur.points, cur.seen, np.empty_like(cur.points)
    result[:, NECK] = neck
    rows, anchors = np.arange(len(points)), np.full(seen.shape, NECK)
    for joint in [*OUTWARDS, *range(BODY.stop, points.shape[1])]:
        parent = TREE[joint]
        anchors[:, joint] = anchor = np.where(seen[:, parent] | (parent == NECK), parent, anchors[:, parent])
        scale = np.where(anchor == parent, scales[:, joint], body_ratio)
        result[:, joint] = result[rows, anchor] + scale[:, None] * (points[:, joint] - points[rows, anchor])
    return result


def _placed(points: np.ndarray, cur: _Pose, src: _Pose, anchor: Literal["neck", "feet"]) -> np.ndarray:
    if anchor == "neck":
        return points
    stands = cur.seen[:, ANKLES].all(-1)
    if not stands.any() or not src.seen[0, ANKLES].all():
        where = "reference image" if stands.any() else "driving video"
        raise BunrakuError(f"The {where} shows no ankles to stand on; use anchor='neck' instead of 'feet'.")
    return points + src.points[0, ANKLES].mean(0) - np.median(points[stands][:, ANKLES].mean(1), axis=0)


def _moved(driving: PoseTrack, reference: PoseTrack, points: np.ndarray) -> PoseTrack:
    return PoseTrack(points[:, None].astype(np.float32), driving.scores, reference.size)
