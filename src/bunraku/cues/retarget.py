"""Retargeting: the driver's motion on the reference character's proportions and place.

Notation: c_k is joint k of the driver in the current frame, i_k in its initial pose, s_k in the reference; p is the
parent of k in the tree whose root is the neck. All lengths are in pixels of their own picture.

Every method here walks the tree from the neck outwards and scales each bone of the driver about its parent,

    new_k = new_p + r_k (c_k - c_p),

so bones keep the driver's direction, and descendants move along. The methods differ only in r_k:

    retarget   r_k = |s_k - s_p| g_k / |c_k - c_p|   with g_k = clip(|c_k - c_p| / |i_k - i_p|, 0, 1.1)
    grounded   as retarget, but the hips are as wide as the reference's, and the feet keep to its ground
    align      r_k = the ratio |s| / |i| of the body part to which k belongs
    fit        r_k = one ratio |s| / |i| for the whole body

g is foreshortening: a bone that the driver turns towards the camera shortens by as much on the character. It needs lengths
|s| and |i| that are not foreshortened themselves; how those are found says `_believable`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, FACE, FEET, LEFT_HAND, PARENTS, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

NECK = 1
HEAD = slice(14, 18)
SHOULDERS = [2, 5]
HIPS = [8, 11]
ANKLES = [10, 13]
LEGS = ([8, 9, 10, 21, 22, 23], [11, 12, 13, 18, 19, 20])
"""Right and left, with the feet."""
TRUNK_AND_LEGS = slice(8, 14)
TREE = np.array([*PARENTS, *[13] * 3, *[10] * 3, *[0] * 68, *[7] * 21, *[4] * 21])
"""Parent of each of the 134 keypoints: feet hang on the ankles, the face on the nose, hands on the wrists."""

OUTWARDS = [0, 2, 5, 8, 11, 3, 6, 9, 12, 14, 15, 4, 7, 10, 13, 16, 17]
"""Body joints, parents before children."""

CHILD = np.array(OUTWARDS)
MIRROR = np.array([0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16])
MAX_STRETCH = 1.1
MIN_LENGTH = 0.1
"""Of neck to nose (or of the median bone): a shorter bone points at the camera, and its ratio says nothing."""

PROPORTIONS = np.full(18, np.nan)
"""Lengths of a person's bones, of the person's height, by the joint at their end (Winter, Biomechanics, 2009, Figure 4.1)."""
PROPORTIONS[[2, 5]], PROPORTIONS[[3, 6]], PROPORTIONS[[4, 7]] = 0.129, 0.186, 0.146
PROPORTIONS[[8, 11]], PROPORTIONS[[9, 12]], PROPORTIONS[[10, 13]] = 0.29, 0.245, 0.246

LIMBS = ((3, 4), (6, 7), (9, 10), (12, 13))
BONE_TURNED = 0.35
"""A bone that is shorter than this share of its mirror image, or of the other bone of its limb, points at the camera."""

ARM_TURNED = 0.2
"""So does a bone of trunk or arms that is shorter than this share of a person's; drawn characters have arms of 0.3 and legs
of 0.1."""

MEDIAN_TURNED = 1.5
"""A bone of the driver is foreshortened in most frames where the length that it exceeds in a tenth of them is this much
longer than its median."""

NARROW = 0.08
"""Half the hips' width as a part of the trunk's length, a person's is 0.2 to 0.3; less is seen from the side."""

MOST_BY_SHOULDERS = 1.3
"""What the reference does not show of trunk and legs is scaled at most so much more (or less) than the shoulders."""

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
    driving: PoseTrack, reference: PoseTrack, *, believable: bool = True, threshold: float = SEEN
) -> PoseTrack:
    """Give the driver's pose the bone lengths of the reference, bone by bone, foreshortening kept.

    The neck-nose bone has g = 1, however short. The driver's initial pose is the median over its frames, bone by bone,
    which survives an occluded limb or a bad first frame. The driver's way through the picture is scaled by the ratio of the
    whole body. What hangs on a bone goes with it: feet are scaled by the |s| / |i| of the lower leg, both hands by that of
    the longer lower arm of each (the less foreshortened one), the face by the mean of the head's bones.

    A bone cannot be compared where driver or reference does not show it, or only below a tenth of neck to nose (of the
    median bone where neck to nose is not seen or below that itself). Then one of the head takes the face's ratio (neck
    to nose where none of the head can be compared), any other that of the whole body, trunk and legs within a factor 1.3 of
    the shoulders' ratio. A joint whose parent is missing hangs on its nearest seen ancestor, scaled by the ratio of the
    whole body.

    Args:
        driving: (F, 1, K).
        reference: (1, 1, K') in pixels of the reference image.
        believable: correct measured lengths that are foreshortened: the longer of the reference's left and right bone is
            taken for both, and bones that point at the camera get the length of their mirror image, or that of a person.
        threshold: keypoints with a lower score count as missing.

    Returns:
        (F, 1, K) in pixels of the reference image; size is the reference's, scores are the driver's.

    Raises:
        BunrakuError: the neck is nowhere seen in one of the two, or a track has other than one person.

    Source: TCAN (Kim et al., ECCV 2024), Algorithm 1, with the printed slips corrected: the nose ratio is s / c, g
    belongs to the child, the child and its descendants move, and the shift of the neck is in pixels. The paper's initial
    pose is the first frame, and its way is scaled by the ratio of neck to nose.
    """
    cur, src = _check(driving, reference, believable, threshold)
    return _moved(driving, reference, _bone_by_bone(cur, src, believable)[0])


def grounded(
    driving: PoseTrack, reference: PoseTrack, *, believable: bool = True, threshold: float = SEEN
) -> PoseTrack:
    """`retarget`, and then what bones that hang on the neck cannot say: how wide the hips are, and where the ground is.

    The bone from the neck to a hip is both the trunk's length and half the hips' width, so on a body that is broader than the
    driver's for its length the hips would come too close together. Here their middle hangs on the neck, and each hip on their middle, both
    with the driver's direction and the reference's length times g, where driver and reference show both; legs go along.

    A body of other proportions whose neck goes the driver's way floats when it crouches, and slides when it leans. Here the
    middle of the hips goes the driver's way sideways, from where the neck's median is the reference's neck, and the lowest ankle goes the
    driver's upwards, from the reference's: who crouches, jumps and walks has the feet on the ground that the reference stands on.
    Both ways are scaled by the ratio of the whole body. Each is left to the neck where the reference does not show these joints, or the
    driver in less than half of the frames.

    Arguments, result and errors are those of `retarget`.
    """
    cur, src = _check(driving, reference, believable, threshold)
    points, ratio = _bone_by_bone(cur, src, believable)
    points = _as_wide(points, cur, src)
    seen = cur.seen[:, BODY] & src.seen[:, BODY]
    hips, feet = np.asarray(seen[:, HIPS].all(1)), seen[:, ANKLES]
    standing = np.asarray(feet.any(1))

    def lowest(joints: np.ndarray) -> np.ndarray:
        return np.where(feet, joints[:, ANKLES, 1], -np.inf).max(1)

    aside = _shift(cur.points[:, HIPS, 0].mean(1), points[:, HIPS, 0].mean(1), ratio, hips)
    if aside is not None:
        points[..., 0] += (aside + src.points[0, NECK, 0] - np.median(points[:, NECK, 0] + aside))[:, None]
    up = _shift(lowest(cur.points), lowest(points), ratio, standing)
    if up is not None:
        points[..., 1] += (up + np.median(lowest(src.points)[standing]))[:, None]
    return _moved(driving, reference, points)


def _as_wide(points: np.ndarray, cur: "_Pose", src: "_Pose") -> np.ndarray:
    """Retargeted points (F, K, 2) whose hips are as far below the neck, and as far apart, as the reference says."""
    both, width = np.asarray(cur.seen[:, HIPS].all(1)), []
    for pose in (cur, src):
        right, left = (pose.points[:, hip] for hip in HIPS)
        width.append(np.stack([(right + left) / 2 - pose.points[:, NECK], (left - right) / 2]))
    ways, own = width  # down to the middle of the hips, and from there to the left one: (2, F, 2) and (2, 1, 2)
    if not both.any() or not src.seen[0, HIPS].all():
        return points
    lengths, wanted = np.linalg.norm(ways, axis=-1), np.linalg.norm(own, axis=-1)
    usual = np.median(lengths[:, both], axis=1)[:, None]
    if (np.minimum(wanted, usual)[0] <= 0).any():
        return points
    # hips that are seen from the side say nothing of their width
    narrow = np.minimum(wanted[1] / wanted[0], usual[1] / usual[0]) < NARROW
    wanted[1] = np.where(narrow, wanted[0] * usual[1] / usual[0], wanted[1])
    usual = np.maximum(usual, 1e-6)
    down, across = ways * np.minimum(wanted / usual, MAX_STRETCH * wanted / np.maximum(lengths, 1e-6))[..., None]
    result = points.copy()
    for hip, leg, side in zip(HIPS, LEGS, (-1, 1)):
        move = points[:, NECK] + down + side * across - points[:, hip]
        result[:, [j for j in leg if j < points.shape[1]]] += np.where(both[:, None], move, 0)[:, None]
    return result


def _shift(way: np.ndarray, now: np.ndarray, ratio: float, known: np.ndarray) -> np.ndarray | None:
    """What brings `now` (F,) onto the scaled way about its median, which becomes 0; interpolated where it is not known, and None where
    that is more than half of the frames."""
    at = np.flatnonzero(known)
    if not len(at) or 2 * len(at) < len(known):
        return None
    return np.interp(np.arange(len(known)), at, ratio * (way[at] - np.median(way[at])) - now[at])


def _bone_by_bone(cur: "_Pose", src: "_Pose", believable: bool) -> tuple[np.ndarray, float]:
    """What `retarget` returns, points (F, K, 2), and the ratio of the whole body."""
    reference_lengths = np.fmax(src.lengths, src.lengths[MIRROR]) if believable else src.lengths

    usable = (reference_lengths > _shortest(reference_lengths)) & (cur.lengths > _shortest(cur.lengths))
    body_ratio = _ratio(reference_lengths, cur.lengths, usable, default=src.height / cur.height)
    ratios = np.full(WHOLE_BODY, body_ratio)
    np.divide(reference_lengths, cur.lengths, out=ratios[BODY], where=usable)
    if usable[SHOULDERS].any():
        shoulders = ratios[SHOULDERS][usable[SHOULDERS]].mean()
        bounded = np.clip(body_ratio, shoulders / MOST_BY_SHOULDERS, shoulders * MOST_BY_SHOULDERS)
        ratios[TRUNK_AND_LEGS] = np.where(usable[TRUNK_AND_LEGS], ratios[TRUNK_AND_LEGS], bounded)
    ratios[FEET] = ratios[TREE[FEET]]
    ratios[FACE] = head = ratios[HEAD][usable[HEAD]].mean() if usable[HEAD].any() else ratios[0]
    ratios[HEAD] = np.where(usable[HEAD], ratios[HEAD], head)
    arms = [joint for joint in (4, 7) if usable[joint]]
    hands = reference_lengths[arms].max() / cur.lengths[arms].max() if arms else body_ratio
    ratios[LEFT_HAND] = ratios[RIGHT_HAND] = hands

    # s g / c = s min(1 / i, 1.1 / c): no division by a bone that has no length in this frame
    exact = reference_lengths / np.maximum(_lengths(cur.points), 1e-6)
    scales = np.broadcast_to(ratios, (len(cur.points), WHOLE_BODY)).copy()
    scales[:, BODY] = np.where(usable, np.minimum(ratios[BODY], MAX_STRETCH * exact), ratios[BODY])
    if reference_lengths[0] > 0:
        scales[:, 0] = exact[:, 0]
    return _unfold(cur, _way(cur, src, body_ratio), scales, body_ratio), body_ratio


def align(driving: PoseTrack, reference: PoseTrack, *, believable: bool = True, threshold: float = SEEN) -> PoseTrack:
    """Scale each body part of the driver by one constant, then place its neck where the reference has it.

    The ratio of a part is reference / driver, the driver's length being the median over the frames in which it is
    seen, averaged over its bones, left and right; parts that one of the two does not show, or only shorter than a tenth
    of neck to nose (see `retarget`), get the mean of the others, trunk and legs within a factor 1.3 of the shoulders' ratio.
    The way of the driver through the picture is scaled by the ratio of the whole body.

    Args:
        driving: (F, 1, K).
        reference: (1, 1, K') in pixels of the reference image.
        believable: correct measured lengths that are foreshortened, see `retarget`.
        threshold: keypoints with a lower score count as missing.

    Returns:
        (F, 1, K) in pixels of the reference image; size is the reference's, scores are the driver's.

    Raises:
        BunrakuError: the neck is nowhere seen in one of the two, or a track has other than one person.

    Source: the rescaling of Animate Anyone (Hu et al., CVPR 2024, section 3.1; no recipe is given) in the form of
    MusePose's pose_align, there with frame 0 alone.
    """
    cur, src = _check(driving, reference, believable, threshold)
    least = _shortest(cur.lengths), _shortest(src.lengths)
    found = [[ratio for bone in bones if (ratio := _bone_ratio(bone, cur, src, least))] for bones, _ in PARTS]
    body_ratio = _body_ratio(cur, src, default=src.height / cur.height)
    mean = np.mean([np.mean(part) for part in found if part]) if any(found) else body_ratio
    shoulders = next((np.mean(part) for (_, joints), part in zip(PARTS, found) if joints == (2, 5) and part), mean)
    bounded = np.clip(mean, shoulders / MOST_BY_SHOULDERS, shoulders * MOST_BY_SHOULDERS)
    ratios = np.ones(WHOLE_BODY)
    for (_, joints), part in zip(PARTS, found):
        for joint in joints:
            ratios[joint] = np.mean(part) if part else bounded if joints[0] in range(8, 14) else mean

    scales = np.broadcast_to(ratios, (len(driving), WHOLE_BODY))
    return _moved(driving, reference, _unfold(cur, _way(cur, src, body_ratio), scales, body_ratio))


def fit(driving: PoseTrack, reference: PoseTrack, *, believable: bool = True, threshold: float = SEEN) -> PoseTrack:
    """Scale and shift the driver as a whole: its own proportions, at the size and place of the reference.

    The scale is the summed length of the reference's bones over that of the driver's (medians over frames), counting
    bones that both show. Arguments, result and errors are those of `align`.
    """
    cur, src = _check(driving, reference, believable, threshold)
    scale = _body_ratio(cur, src, default=src.height / cur.height)
    return _moved(driving, reference, src.points[0, NECK] + (cur.points - _start(cur)) * scale)


Method = Literal["grounded", "full", "align", "fit"]
METHODS: dict[Method, Callable[[PoseTrack, PoseTrack], PoseTrack]] = {
    "grounded": grounded,
    "full": retarget,
    "align": align,
    "fit": fit,
}
"""By the names that `animate --retarget` knows them by."""

Retarget = Literal["grounded", "full", "align", "fit", "off"]
"""A method, or "off": the driver's pose as it is."""


def retarget_people(driving: PoseTrack, reference: PoseTrack, method: Method = "grounded") -> PoseTrack:
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


def turned_to_the_camera(reference: PoseTrack, *, threshold: float = SEEN) -> list[str]:
    """What of a reference pose, (1, 1, K), is so short that `retarget` gives it a person's length: "arms", "trunk", ...

    A character with arms that are a fifth of a person's looks the same as one whose arms point at the camera, so whoever
    shows the result should say it.
    """
    measured = _pose(reference, "reference image", believable=False, threshold=threshold).lengths
    corrected = _believable(measured)
    bones = {"shoulders": (2, 5), "arms": (3, 4, 6, 7), "sides of the trunk": (8, 11), "legs": (9, 10, 12, 13)}
    changed = np.isfinite(measured) & (corrected != measured)
    both = changed & changed[MIRROR]  # one side alone takes its length from the other
    return [name for name, joints in bones.items() if both[list(joints)].any()]


class _Pose(NamedTuple):
    """One person.

    Attributes:
        points: float64 (F, K, 2), finite, the neck's path without gaps.
        seen: bool (F, K).
        lengths: (18,) of the bone from each body joint to its parent over all frames, NaN where it is never seen.
        height: of the picture.
    """

    points: np.ndarray
    seen: np.ndarray
    lengths: np.ndarray
    height: int


def _check(driving: PoseTrack, reference: PoseTrack, believable: bool, threshold: float) -> tuple[_Pose, _Pose]:
    if driving.people != 1 or reference.people != 1 or len(reference) != 1:
        raise BunrakuError(
            f"retargeting takes one driving person and one reference pose; got {driving.people} driving people and a "
            f"reference of {len(reference)} frames with {reference.people} people. Choose one with track.person(index)."
        )
    return _pose(driving, "driving video", believable, threshold), _pose(
        reference, "reference image", believable, threshold
    )


def _pose(track: PoseTrack, name: str, believable: bool, threshold: float) -> _Pose:
    points = track.keypoints[:, 0].astype(np.float64)
    finite = np.all(np.isfinite(points), axis=-1)
    seen = (track.scores[:, 0] >= threshold) & (track.scores[:, 0] > 0) & finite
    points = np.where(finite[..., None], points, 0)
    if not seen[:, NECK].any():
        raise BunrakuError(
            f"no neck was found in the {name}, so its pose has no place to start from; use a picture in which the "
            "head and both shoulders are visible"
        )
    known = np.flatnonzero(seen[:, NECK])
    for axis in (0, 1):
        points[:, NECK, axis] = np.interp(np.arange(len(points)), known, points[known, NECK, axis])
    median = bone_lengths(points, seen)
    if believable:
        long = np.where(np.isfinite(PROPORTIONS), bone_lengths(points, seen, 0.9), np.nan)
        median = _believable(np.where(long > MEDIAN_TURNED * median, long, median))
    return _Pose(points, seen, median, track.size[0])


def bone_lengths(points: np.ndarray, seen: np.ndarray, quantile: float = 0.5) -> np.ndarray:
    """Length (18,) of the bone from each body joint to its parent, which a share of the frames does not exceed; NaN where it is never seen.

    Args:
        points, seen: (F, K, 2) and bool (F, K) of one person, K of at least 18.
    """
    return _quantile(_lengths(points), _bone_seen(seen), quantile)


def _lengths(points: np.ndarray) -> np.ndarray:
    """Length of the bone from each body joint to its parent, (F, 18); the neck's is 0."""
    lengths = np.zeros((len(points), 18))
    lengths[:, CHILD] = np.linalg.norm(points[:, CHILD] - points[:, TREE[CHILD]], axis=-1)
    return lengths


def _bone_seen(seen: np.ndarray) -> np.ndarray:
    bone_seen = np.zeros((len(seen), 18), bool)
    bone_seen[:, CHILD] = seen[:, CHILD] & seen[:, TREE[CHILD]]
    return bone_seen


def _quantile(values: np.ndarray, valid: np.ndarray, q: float) -> np.ndarray:
    """Quantile over frames of the valid values, NaN where there is none."""
    return np.array([np.quantile(column[ok], q) if ok.any() else np.nan for column, ok in zip(values.T, valid.T)])


def _believable(lengths: np.ndarray) -> np.ndarray:
    """Lengths of the body's bones, (18,), those of bones that point at the camera replaced; unknown ones stay NaN.

    A picture can only shorten a bone. One that is much shorter than its mirror image gets that length; one that is much
    shorter than the other bone of its limb says gets what that says; and a bone of trunk or arms that is very short for a
    person's, by the longer of shoulders and trunk, gets a person's. Legs are not judged by the trunk: those of drawn
    characters may be as short as that.
    """
    limbs = np.isfinite(PROPORTIONS)
    result = np.where(limbs & (lengths < BONE_TURNED * lengths[MIRROR]), lengths[MIRROR], lengths)
    for upper, lower in LIMBS:
        for bone, other in ((upper, lower), (lower, upper)):
            expected = PROPORTIONS[bone] / PROPORTIONS[other] * result[other]
            if result[bone] < BONE_TURNED * expected:
                result[bone] = expected
    heights = (result / PROPORTIONS)[[2, 5, 8, 11]]
    if np.isfinite(heights).any():
        person = PROPORTIONS * np.nanmax(heights)
        judged = np.isin(np.arange(18), (2, 3, 4, 5, 6, 7, 8, 11))
        result = np.where(judged & (result < ARM_TURNED * person), person, result)
    return result


def _shortest(lengths: np.ndarray) -> float:
    """What a bone must exceed to say something, given the lengths of the body's bones, (18,) with NaN for unknown ones."""
    known = lengths[CHILD][np.isfinite(lengths[CHILD])]
    typical = float(np.median(known)) if len(known) else 0.0
    return MIN_LENGTH * (float(lengths[0]) if lengths[0] > MIN_LENGTH * typical else typical)


def _start(pose: _Pose) -> np.ndarray:
    """Median place of the neck, (2,)."""
    return np.median(pose.points[pose.seen[:, NECK], NECK], axis=0)


def _way(cur: _Pose, src: _Pose, ratio: float) -> np.ndarray:
    """Where the neck goes, (F, 2): the driver's way, scaled, from the place of the reference's."""
    return src.points[0, NECK] + (cur.points[:, NECK] - _start(cur)) * ratio


def _ratio(reference_lengths: np.ndarray, lengths: np.ndarray, usable: np.ndarray, default: float) -> float:
    return float(reference_lengths[usable].sum() / lengths[usable].sum()) if usable.any() else default


def _body_ratio(cur: _Pose, src: _Pose, default: float) -> float:
    return _ratio(src.lengths, cur.lengths, (cur.lengths > 0) & (src.lengths > 0), default)


def _bone_ratio(bone: tuple[int, int], cur: _Pose, src: _Pose, least: tuple[float, ...]) -> float | None:
    """Reference length over the driver's median length, None where one of them is unknown or does not exceed its least."""
    if max(bone) >= min(cur.points.shape[1], src.points.shape[1]):
        return None
    length, reference_length = _distance(bone, cur), _distance(bone, src)
    return float(reference_length / length) if length > least[0] and reference_length > least[1] else None


def _distance(bone: tuple[int, int], pose: _Pose) -> float:
    """Length of a bone of the body, or else the median distance of two keypoints; NaN if they are never seen together."""
    parent, child = bone
    if child in OUTWARDS and TREE[child] == parent:
        return float(pose.lengths[child])
    both = pose.seen[:, parent] & pose.seen[:, child]
    distances = np.linalg.norm(pose.points[both, parent] - pose.points[both, child], axis=-1)
    return float(np.median(distances)) if both.any() else np.nan


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


def _moved(driving: PoseTrack, reference: PoseTrack, points: np.ndarray) -> PoseTrack:
    return PoseTrack(points[:, None].astype(np.float32), driving.scores, reference.size)
