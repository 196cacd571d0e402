"""Body: a figure's measures in the reference's pose, and where its joints are in the driven frames."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, LEFT_HAND, PARENTS, RIGHT_HAND, SEEN, PoseTrack

NECK = 1
TRUNK = [1, 2, 5, 8, 11]
SHOULDERS, HIPS = [2, 5], [8, 11]
FACE, EARS = [0, 14, 15, 16, 17], [16, 17]
LIMBS = ((2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13))
"""Joints of the right arm, left arm, right leg and left leg."""
ARMS, LEGS = (0, 1), (2, 3)

TAPER = 1.4  # an upper bone is at most so many times as thick as the lower
THINNEST = 0.055  # half thickness of a limb in lengths of the trunk; less is a joint beside its limb
SHORTEST_HEM = 0.5  # in thighs; shorter is a crotch
LEAST = 3  # of nine points of a bone that lie on the figure, for its thickness to be measured
GAP, FLARE = 2.6, 2.2  # in half thicknesses of the shin: between the legs, and beside them, what makes it a skirt
LEVELS = np.linspace(0.25, 1.9, 34)

Move = Callable[[np.ndarray], np.ndarray]
"""Points (N, 2) to points (N, 2)."""


@dataclass(frozen=True, eq=False)
class Body:
    """A body in the reference's pose; lengths in pixels.

    Attributes:
        joints: float64 (18, 2), shoulders and hips guessed where the reference does not show them.
        seen: bool (18,), which joints it shows.
        radii: half thickness of the bones whose joints it shows, {(limb, 0 upper or 1 lower): length}.
        arm, leg: half thickness where arms and legs join the trunk.
        head, head_radius: its middle (2,) and half its height.
        hem: how far down a skirt reaches: 0 none, 1 to the knees, 2 to the ankles.
        hands: points (21, 2) of the hands that are known, by limb.
    """

    joints: np.ndarray
    seen: np.ndarray
    radii: dict[tuple[int, int], float]
    arm: float
    leg: float
    head: np.ndarray
    head_radius: float
    hem: float
    hands: dict[int, np.ndarray]

    @staticmethod
    def of(pose: PoseTrack, mask: np.ndarray, corner: tuple[int, int], index: int) -> "Body":
        """Measure person `index`.

        Args:
            pose: (1, 1, K) in pixels of the picture.
            mask: bool (H, W), where the person is, in the part of the picture whose top left corner is `corner` (x, y);
                the body's coordinates are of that part.

        Raises:
            BunrakuError: no neck, or nothing besides.
        """
        points, seen = (values[0] for values in seen_joints(pose))
        if not seen[NECK] or seen.sum() < 2:
            raise BunrakuError(
                f"the reference's pose does not show the neck of person {index} and one more joint; use a picture with both "
                "shoulders visible, or give the pose as OpenPose JSON"
            )
        joints = with_trunk(points - corner, seen)
        inside = from_edge(mask)
        trunk = float(np.linalg.norm(joints[HIPS].mean(0) - joints[NECK]))
        radii = _radii(joints, seen, inside, THINNEST * trunk)
        arm = min((radii[limb, 0] for limb in ARMS if (limb, 0) in radii), default=0.12 * trunk)
        leg = min((radii[limb, 0] for limb in LEGS if (limb, 0) in radii), default=0.16 * trunk)
        shin = min((radii[limb, 1] for limb in LEGS if (limb, 1) in radii), default=leg)
        face = [joint for joint in EARS if seen[joint]] or [joint for joint in FACE if seen[joint]]
        head = joints[face].mean(0) if face else joints[NECK] - 0.4 * (joints[HIPS].mean(0) - joints[NECK])
        head_radius = max(1.0, min(0.8 * float(np.linalg.norm(head - joints[NECK])), _crown(head, joints[NECK], mask)))
        if seen[EARS].all():
            head_radius = max(head_radius, float(np.linalg.norm(joints[16] - joints[17])) / 2)
        hem = _hem(joints, mask, shin) if seen[8:14].all() else 0.0
        hands = {limb: hand - corner for limb, hand in _hands(pose).items()}
        return Body(joints, seen, radii, arm, leg, head, head_radius, hem, hands)


@dataclass(frozen=True, eq=False)
class Movement:
    """Where a body's joints are in F frames.

    Attributes:
        joints: float64 (F, 18, 2) in pixels of the picture, complete.
        seen: bool (F, 18), joints that both the frame and the reference show; the others are where the body carries them.
        scale: size of the driven body over the reference's, one for the clip: lengths of bones change with every turn.
        known: bool (18,), joints that have a place in the reference; what `joints` says of others means nothing.
    """

    joints: np.ndarray
    seen: np.ndarray
    scale: float
    known: np.ndarray

    @staticmethod
    def of(track: PoseTrack, body: Body, index: int) -> "Movement":
        """The movement of person `index` from its driving poses (F, 1, K).

        A frame with fewer than two joints of the trunk takes all from the nearest frame that has them.

        Raises:
            BunrakuError: there is no such frame.
        """
        points, seen = seen_joints(track)
        seen &= body.seen
        anchored = np.flatnonzero(seen[:, TRUNK].sum(1) >= 2)
        if not len(anchored):
            raise BunrakuError(
                f"the driving poses never show two joints of the trunk of person {index} (neck, shoulders, hips) that the "
                "reference shows as well, so nothing says where it is"
            )
        scale = _scale(points, seen, body.joints)
        times = anchored[np.abs(anchored[None] - np.arange(len(points))[:, None]).argmin(1)]
        joints = np.stack([_completed(points[time], seen[time], body.joints, scale) for time in times])
        known = body.seen.copy()
        known[TRUNK] = True
        return Movement(joints, seen[times], scale, known)

    def at(self, time: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Joints (18, 2), seen (18,) and scale in a frame."""
        return self.joints[time], self.seen[time], self.scale


def seen_joints(track: PoseTrack) -> tuple[np.ndarray, np.ndarray]:
    """Body joints float64 (F, 18, 2) of one person, 0 where unseen, and bool (F, 18) which are seen."""
    points = track.keypoints[:, 0, BODY].astype(np.float64)
    seen = (track.scores[:, 0, BODY] >= SEEN) & np.isfinite(points).all(-1)
    return np.where(seen[..., None], points, 0), seen


def with_trunk(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Joints (18, 2) with a guess for every shoulder and hip that is not seen: by symmetry, or by usual proportions."""
    points = points.copy()
    neck = points[NECK]
    for one, other in ((2, 5), (5, 2)):
        if not seen[one]:
            points[one] = 2 * neck - points[other] if seen[other] else neck
    across = points[5] - points[2]
    hips, face = [joint for joint in HIPS if seen[joint]], [joint for joint in FACE if seen[joint]]
    if hips:
        down = points[hips].mean(0) - neck
    elif across.any():
        level = turned(across)
        down = 1.4 * (level if level[1] >= 0 else -level)
    else:
        down = 2 * (neck - points[face].mean(0)) if face else np.array([0.0, 10.0])
    if not across.any():
        across = -0.7 * turned(down)
        points[SHOULDERS] = neck - across / 2, neck + across / 2
    for one, other, side in ((8, 11, -1), (11, 8, 1)):
        if not seen[one]:
            points[one] = points[other] + 0.6 * side * across if seen[other] else neck + down + 0.3 * side * across
    return points


def leg_point(joints: np.ndarray, side: int, level: float) -> np.ndarray:
    """The point of the right (0) or left (1) leg at a level: 0 the hip, 1 the knee, 2 the ankle."""
    bone = min(int(level), 1)
    start, end = joints[list(LIMBS[2 + side][bone : bone + 2])]
    return np.asarray(start + (level - bone) * (end - start))


def rigid(start: np.ndarray, end: np.ndarray, weights: np.ndarray, scale: float, mirrored: bool = False) -> Move:
    """The rotation (or reflection) and shift, with a given scale, that brings points (N, 2) nearest to others: weighted least squares."""
    weights = weights / weights.sum()
    from_middle, to_middle = weights @ start, weights @ end
    plane = np.array([1, -1j if mirrored else 1j])
    a, b = (start - from_middle) @ plane, (end - to_middle) @ np.array([1, 1j])
    turn = (weights * b * a.conj()).sum()
    turn = scale * (turn / abs(turn) if abs(turn) > 1e-9 else 1)

    def move(points: np.ndarray) -> np.ndarray:
        z = ((points - from_middle) @ plane) * turn
        return np.stack([z.real, z.imag], -1) + to_middle

    return move


def unit(vector: np.ndarray, otherwise: np.ndarray | tuple[float, float]) -> np.ndarray:
    """A vector (2,) of length 1, or `otherwise` where it has none."""
    length = np.linalg.norm(vector)
    return np.asarray(vector / length if length > 1e-6 else otherwise, np.float64)


def turned(vector: np.ndarray) -> np.ndarray:
    """Turned by a right angle, from right to down."""
    return np.array([-vector[1], vector[0]])


def from_edge(mask: np.ndarray) -> np.ndarray:
    """Distance in pixels of every pixel of a figure, bool (H, W), from its edge, float32; the picture's border is one."""
    return np.asarray(cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1])


# --- measures --------------------------------------------------------------------------------------------------------------------


def _hands(pose: PoseTrack) -> dict[int, np.ndarray]:
    found = {}
    for limb, hand in zip(ARMS, (RIGHT_HAND, LEFT_HAND)):
        points, scores = pose.keypoints[0, 0, hand].astype(np.float64), pose.scores[0, 0, hand]
        if len(points) and (scores >= SEEN).all() and np.isfinite(points).all():
            found[limb] = points
    return found


def _crown(head: np.ndarray, neck: np.ndarray, mask: np.ndarray) -> float:
    """Pixels from the head's middle to the figure's last pixel above it, away from the neck; infinite where the picture's border cuts it."""
    reach = np.arange(0.5, 2 * float(np.linalg.norm(head - neck)) + 1, 0.5)
    x, y = np.floor(head + reach[:, None] * unit(head - neck, (0, -1))).astype(int).T
    within = np.logical_and.accumulate((x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0]))
    covered = np.flatnonzero(mask[y[within], x[within]])
    return float(reach[covered[-1]]) if len(covered) and covered[-1] < within.sum() - 1 else np.inf


def _radii(joints: np.ndarray, seen: np.ndarray, inside: np.ndarray, thinnest: float) -> dict[tuple[int, int], float]:
    """Half thickness of every bone whose joints are seen, at least `thinnest`, from `inside` (H, W), the distance to the figure's edge.

    It is measured at the limb's middle, the ridge beside the bone, because joints are found beside it. Where a limb lies
    against something there is no ridge, and the other side's counts, or else what is measured on the bone. The thinner of a
    pair counts for both, and an upper bone is at most TAPER times as thick as the lower. Bones that lie outside of the figure, or beyond the
    picture, say nothing: they are as thick as the other bones of the pair.
    """
    height, width = inside.shape
    shares, offsets = np.linspace(0.25, 0.95, 9)[:, None], np.linspace(-1, 1, 13)
    ridges: dict[tuple[int, int], float] = {}
    on_bones: dict[tuple[int, int], float] = {}

    def within(points: np.ndarray) -> np.ndarray:
        return np.asarray(((points >= 0) & (points < (width, height))).all(-1))

    def thickness(points: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(np.clip(points, 0, (width - 1, height - 1)).astype(int), -1, 0)
        return np.asarray(inside[y, x])

    bones = {
        (limb, bone): (start, end)
        for limb, chain in enumerate(LIMBS)
        for bone, (start, end) in enumerate(pairwise(chain))
        if seen[start] and seen[end]
    }
    for (limb, bone), (start, end) in bones.items():
        points = joints[start] + shares * (joints[end] - joints[start])
        points = points[within(points) & (thickness(points) > 0)]
        if len(points) >= LEAST:
            reach = max(thinnest, float(np.median(thickness(points))))
            across = reach * turned(unit(joints[end] - joints[start], (0, 1)))
            profile = np.percentile(thickness(points[:, None] + offsets[:, None] * across), 30, axis=0)
            on_bones[limb, bone] = max(thinnest, float(profile[6]))
            if 0 < profile.argmax() < 12:
                ridges[limb, bone] = max(thinnest, float(profile.max()))
    radii = {}
    for limb, bone in bones:
        pair = [(limb, bone), (limb ^ 1, bone)]
        if not any(one in on_bones for one in pair):
            pair = [(limb, 1 - bone), (limb ^ 1, 1 - bone)]
        measured = ridges if any(one in ridges for one in pair) else on_bones
        radii[limb, bone] = min((measured[one] for one in pair if one in measured), default=thinnest)
    return {
        (limb, bone): min(radius, TAPER * radii.get((limb, 1), np.inf)) if bone == 0 else radius
        for (limb, bone), radius in radii.items()
    }


def _hem(joints: np.ndarray, mask: np.ndarray, shin: float) -> float:
    """How far down, in thighs and shins, the figure is closed between legs that stand apart, or is much wider than the legs."""
    height, width = mask.shape

    def covered(points: np.ndarray) -> np.ndarray:
        x, y = np.floor(points).astype(int).T
        within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return within & mask[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]

    def room(start: np.ndarray, way: np.ndarray) -> float:
        """Pixels from `start` to the figure's edge."""
        reach = np.arange(0, 2 * FLARE * shin, 0.5)
        return 0.5 * float(np.argmin(np.append(covered(start + reach[:, None] * way), False)))

    hem = 0.0
    for level in LEVELS:
        right, left = leg_point(joints, 0, level), leg_point(joints, 1, level)
        gap = float(np.linalg.norm(left - right))
        outwards = unit(left - right, (1, 0)) * (1 if (left - right) @ (joints[11] - joints[8]) >= 0 else -1)
        if not covered(right + np.linspace(0, 1, max(3, round(2 * gap)))[:, None] * (left - right)).all():
            break
        if gap > GAP * shin + 2 or min(room(right, -outwards), room(left, outwards)) > FLARE * shin:
            hem = float(level)
    return hem if hem > SHORTEST_HEM else 0.0


# --- movement --------------------------------------------------------------------------------------------------------------------


def _scale(points: np.ndarray, seen: np.ndarray, rest: np.ndarray) -> float:
    """The median over frames of the median over bones of driven length over length at rest."""
    bones = np.array([(joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0 and joint < 14])
    lengths = np.linalg.norm(points[:, bones[:, 0]] - points[:, bones[:, 1]], axis=-1)  # F B
    own = np.linalg.norm(rest[bones[:, 0]] - rest[bones[:, 1]], axis=-1)
    ratios = np.where(seen[:, bones].all(-1) & (own > 1), lengths / np.maximum(own, 1), np.nan)
    measured = ~np.isnan(ratios).all(1)
    return float(np.clip(np.median(np.nanmedian(ratios[measured], axis=1)), 0.1, 10)) if measured.any() else 1.0


def _completed(points: np.ndarray, seen: np.ndarray, rest: np.ndarray, scale: float) -> np.ndarray:
    """Joints (18, 2); those that are not seen are where the rest of the body carries them, with the reference's angles."""
    if seen.all():
        return points
    points = points.copy()
    anchors = [joint for joint in TRUNK if seen[joint]]
    with_body = rigid(rest[anchors], points[anchors], np.ones(len(anchors)), scale)
    lost = [joint for joint in TRUNK if not seen[joint]]
    points[lost] = with_body(rest[lost])
    for limb in LIMBS:
        move = with_body
        for parent, joint in pairwise(limb):
            if not seen[joint]:
                points[joint] = points[parent] + move(rest[joint]) - move(rest[parent])
            move = rigid(rest[[parent, joint]], points[[parent, joint]], np.ones(2), scale)
    face, lost = [joint for joint in FACE if seen[joint]], [joint for joint in FACE if not seen[joint]]
    if face:
        head = [NECK, *face]
        points[lost] = rigid(rest[head], points[head], np.ones(len(head)), scale)(rest[lost])
    else:
        points[lost] = points[NECK] + with_body(rest[lost]) - with_body(rest[[NECK]])
    return points
