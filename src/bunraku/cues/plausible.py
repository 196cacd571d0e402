"""Plausible poses: what no body can do is mended where the frames around say how, and is called unsure elsewhere.

Detectors exchange left and right for a frame, take a head for hips, an ear for an arm, a forearm for a leg. Every rule
here compares a pose with the same person's other frames, or with what bodies have in common; lengths count in lengths of the trunk
(neck to the middle of the hips), and only joints that are seen count.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from bunraku.cues.retarget import MIRROR, TREE
from bunraku.perception.pose import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

NECK, HIPS = 1, [8, 11]
SIDES = {"arms": ((2, 3, 4), (5, 6, 7)), "legs": ((8, 9, 10), (11, 12, 13))}
"""Right and left, from the trunk outwards."""
EYES_AND_EARS = ((14, 16), (15, 17))

BONES = [(joint, int(TREE[joint])) for joint in range(18) if joint != NECK]
HEAD = [0, 14, 15, 16, 17]

LONGEST_FLIP = 6  # frames; whoever stays turned for longer has turned
FLIP_COST = 0.05  # per frame and limb: what exchanging left and right must gain
TOO_LONG = 1.5  # times the person's own bone; foreshortening only shortens
SPIKE = 0.5  # how far a joint jumps out of its way for one frame
UPSIDE = np.cos(np.radians(120))  # of the angle between two directions that are taken for opposite
UPRIGHT = 0.5  # how much more people stand than hang, in shares of the clip
TOGETHER = 0.06  # how near two joints are that are one and the same
BESIDE_HEAD = 0.45  # how near the head's middle elbow and wrist are where an ear was taken for an arm

SHORT_ARM = 0.7  # shorter than an arm that is raised beside the head (about 1.1)

Pair = tuple[tuple[int, ...], tuple[int, ...]]
Kind = Literal["exchanged", "inverted", "stretched", "jumped", "doubled", "ear"]
WORDS: dict[Kind, str] = {
    "exchanged": "left and right were exchanged, which was put right",
    "inverted": "the body is upside down against the frames around it or against its face; it counts as not seen",
    "stretched": "a limb is longer than it is elsewhere; its joint counts as not seen",
    "jumped": "a joint leaves its way for one frame; it counts as not seen",
    "doubled": "a limb lies on another one; it counts as not seen",
    "ear": "an arm lies wholly beside the head, as where an ear was taken for it; it counts as not seen",
}


@dataclass(frozen=True)
class Judged:
    """Poses after judgement.

    Attributes:
        track: what was exchanged is put right; what no body can do has score 0.
        faults: kind -> bool (F, P), the frames and people in which it was found.
    """

    track: PoseTrack
    faults: dict[Kind, np.ndarray]


def judge(
    track: PoseTrack, *, threshold: float = SEEN, cuts: Collection[int] = (), behind: np.ndarray | None = None
) -> Judged:
    """Judge every pose of a clip, person by person and shot by shot.

    Args:
        track: (F, P, 18 or 134).
        threshold: joints with a lower score count as missing.
        cuts: numbers of the frames with which new shots begin.
        behind: bool (F, P), where people show their back (`tracking.from_behind`): a back that was taken for a front has left and right
            exchanged, however long; and whoever turns between two frames is not turned back. None: nobody does.

    In theatre dances of 48 frames every fault that was put in is found and at most 1 frame in 100 falsely; in 594 frames of
    real dancers and a player 1 frame is called faulty.
    """
    if inner := sorted(cut for cut in cuts if 0 < cut < len(track)):
        parts = [
            judge(track[a:b], threshold=threshold, behind=None if behind is None else behind[a:b])
            for a, b in pairwise([0, *inner, len(track)])
        ]
        whole = {kind: np.concatenate([part.faults[kind] for part in parts]) for kind in WORDS}
        keypoints, scores = (
            np.concatenate([getattr(p.track, name) for p in parts]) for name in ("keypoints", "scores")
        )
        return Judged(PoseTrack(keypoints, scores, track.size), whole)
    faults: dict[Kind, np.ndarray] = {kind: np.zeros((len(track), track.people), bool) for kind in WORDS}
    behind = np.zeros((len(track), track.people), bool) if behind is None else behind
    people = [_judge_person(track.person(i), i, faults, threshold, behind[:, i]) for i in range(track.people)]
    if not people:
        return Judged(track, faults)
    keypoints, scores = (np.concatenate([getattr(p, name) for p in people], 1) for name in ("keypoints", "scores"))
    return Judged(replace(track, keypoints=keypoints, scores=scores), faults)


def doubts(pose: PoseTrack, *, threshold: float = SEEN) -> list[str]:
    """What is doubtful about the pose of a still, (1, 1, K), in sentences; empty where it is plausible."""
    body = _Body(pose, threshold)
    words = []
    if not body.trunk[0] > 0:
        return ["neck and hips are not both seen, so the pose cannot be judged"]
    down = body.down()[0]
    if down[1] < UPSIDE:
        words.append("the body is upside down")
    elif body.seen[0, [0, NECK]].all() and (body.points[0, 0] - body.points[0, NECK]) @ down > 0.25 * body.trunk[0]:
        words.append("the head is below the shoulders")
    if body.face_inverted()[0]:
        words.append("the face is upside down against the body")
    for name, side in (("right", 0), ("left", 1)):
        if body.beside_head(SIDES["arms"][side])[0]:
            words.append(f"the {name} arm lies wholly beside the head, as where an ear was taken for it")
    doubled = [limb for limb, where in body.doubled() if where[0]]
    words += [f"the {_name(limb)} lies on another limb" for limb in doubled]
    for joint, parent in BONES:
        if joint not in HEAD and body.length(joint, parent)[0] > 1.8 * body.trunk[0]:
            words.append(f"the bone from joint {parent} to joint {joint} is longer than any body's")
    return words


class _Body:
    """One person of a track: float64 points (F, 18, 2), which are seen (F, 18), and the trunk's lengths (F,), 0 where unknown."""

    def __init__(self, track: PoseTrack, threshold: float) -> None:
        points, scores = track.keypoints[:, 0].astype(np.float64), track.scores[:, 0]
        finite: np.ndarray = np.asarray(np.isfinite(points).all(-1))
        self.points = np.where(finite[..., None], points, 0)[:, BODY]
        everything = (scores >= threshold) & (scores > 0) & finite
        self.seen = everything[:, BODY]
        hips = self.seen[:, HIPS].any(-1) & self.seen[:, NECK]
        length = np.linalg.norm(self._hips() - self.points[:, NECK], axis=-1)
        self.trunk = np.where(hips, length, 0)
        self.face = None
        if track.keypoints.shape[2] == WHOLE_BODY:
            ends = [FACE.start + 27, FACE.start + 8]  # top of the nose, chin
            known = everything[:, ends].all(-1)
            self.face = np.where(known[:, None], points[:, ends[1]] - points[:, ends[0]], 0)

    def _hips(self) -> np.ndarray:
        weight = self.seen[:, HIPS, None] + 1e-9
        return (self.points[:, HIPS] * weight).sum(1) / weight.sum(1)

    def down(self) -> np.ndarray:
        """From the neck to the hips, of length 1, (F, 2); 0 where unknown."""
        way = np.where(self.trunk[:, None] > 0, self._hips() - self.points[:, NECK], 0)
        return np.asarray(way / np.maximum(self.trunk, 1e-9)[:, None])

    def size(self) -> np.ndarray:
        """The trunk's length as it is over the frames around, (F,): a trunk that bends forward is no smaller body."""
        return _typical(np.where(self.trunk > 0, self.trunk, np.nan), 90)

    def length(self, joint: int, parent: int) -> np.ndarray:
        """Length of a bone (F,), NaN where it is not seen."""
        bone = np.linalg.norm(self.points[:, joint] - self.points[:, parent], axis=-1)
        return np.where(self.seen[:, joint] & self.seen[:, parent], bone, np.nan)

    def order(self, pair: Pair) -> np.ndarray:
        """Above 0 where the left one of two limbs begins on the right in the picture, along the trunk's own up, as of a front; 0 unknown."""
        right, left = pair[0][0], pair[1][0]
        way, down = self.points[:, left] - self.points[:, right], self.down()
        return np.where(self.seen[:, [right, left]].all(-1), way[:, 0] * down[:, 1] - way[:, 1] * down[:, 0], 0)

    def face_inverted(self) -> np.ndarray:
        """Where the face's own up is the body's down, bool (F,)."""
        if self.face is None:
            return np.zeros(len(self.points), bool)
        length = np.linalg.norm(self.face, axis=-1)
        cosine = (self.face * self.down()).sum(-1) / np.maximum(length, 1e-9)
        return np.asarray((length > 0) & (self.trunk > 0) & (cosine < UPSIDE))

    def beside_head(self, arm: tuple[int, ...]) -> np.ndarray:
        """Where an arm is short, elbow and wrist both lie at the head and both above the shoulder, bool (F,)."""
        head = self.seen[:, HEAD]
        middle = (self.points[:, HEAD] * head[..., None]).sum(1) / np.maximum(head.sum(-1), 1)[:, None]
        near = np.linalg.norm(self.points[:, arm[1:]] - middle[:, None], axis=-1) < BESIDE_HEAD * self.size()[:, None]
        above = ((self.points[:, arm[1:]] - self.points[:, [arm[0]]]) * self.down()[:, None]).sum(-1) < 0
        bones = np.linalg.norm(np.diff(self.points[:, arm], axis=1), axis=-1).sum(-1)
        short = bones < SHORT_ARM * self.size()
        return np.asarray(self.seen[:, arm].all(-1) & head.any(-1) & (near & above).all(-1) & short)

    def doubled(self) -> list[tuple[tuple[int, ...], np.ndarray]]:
        """Limbs whose two outer joints lie on those of another limb though their roots are apart: limb, bool (F,)."""
        limbs = [limb for pair in SIDES.values() for limb in pair]
        size = self.size()
        result: list[tuple[tuple[int, ...], np.ndarray]] = []
        for i, limb in enumerate(limbs):
            where = np.zeros(len(self.points), bool)
            for other in limbs[:i]:
                apart = (
                    np.linalg.norm(self.points[:, limb] - self.points[:, other], axis=-1)
                    / np.maximum(size, 1e-9)[:, None]
                )
                seen = self.seen[:, limb].all(-1) & self.seen[:, other].all(-1) & (size > 0)
                where |= seen & (apart[:, 1:] < TOGETHER).all(-1) & (apart[:, 0] > 0.2)
            result.append((limb, where))
        return result


def _judge_person(
    track: PoseTrack, person: int, faults: dict[Kind, np.ndarray], threshold: float, behind: np.ndarray
) -> PoseTrack:
    inverted = _inverted(_Body(track, threshold))
    faults["inverted"][:, person] = inverted
    track = replace(track, scores=np.where(inverted[:, None, None], 0, track.scores))
    body = _Body(track, threshold)
    turns = np.flatnonzero(np.diff(behind)) + 1
    for pair in (*SIDES.values(), EYES_AND_EARS):
        taken_for_front = behind & (body.order(pair) > 0)
        faults["exchanged"][:, person] |= taken_for_front
        track = _exchanged(track, taken_for_front, pair)
        body = _Body(track, threshold)
        flipped = _flipped(body, pair, turns)
        faults["exchanged"][:, person] |= flipped
        track = _exchanged(track, flipped, pair)
    scores = track.scores.copy()
    body = _Body(track, threshold)
    for limb, where in body.doubled():
        faults["doubled"][:, person] |= where
        scores[where, 0] = np.where(_with(limb[1:], scores.shape[2]), 0, scores[where, 0])
    for arm in SIDES["arms"]:
        where, there = body.beside_head(arm), body.seen[:, arm].all(-1)
        where &= where.sum() > there.sum() / 2  # an ear stays; a raised arm comes down again
        faults["ear"][:, person] |= where
        scores[where, 0] = np.where(_with(arm[1:], scores.shape[2]), 0, scores[where, 0])
    for kind, joints in (("stretched", _stretched(body)), ("jumped", _jumped(body))):
        faults[kind][:, person] |= joints.any(-1)  # type: ignore[index]
        for joint in np.flatnonzero(joints.any(0)):
            where = joints[:, joint]
            scores[where, 0] = np.where(_with((int(joint),), scores.shape[2]), 0, scores[where, 0])
    return replace(track, scores=scores)


def _flipped(body: _Body, pair: Pair, turns: Collection[int] = ()) -> np.ndarray:
    """Where exchanging two limbs makes the motion shorter, bool (F,), for runs of up to LONGEST_FLIP frames within which nobody turns round.

    The shortest way through the frames, each as it is or exchanged, where being exchanged has a cost: dynamic programming.
    """
    right, left = (list(limb) for limb in pair)
    both, swapped = right + left, left + right
    known = body.seen[:, right] & body.seen[:, left]
    usable = (known.sum(-1) >= 2) & (body.size() > 0)
    result = np.zeros(len(body.points), bool)
    for start, stop in pairwise([0, *turns, len(body.points)]):
        result |= _flipped_between(body, both, swapped, known, np.flatnonzero(usable[start:stop]) + start)
    for start, stop in _runs(result):
        if stop - start > LONGEST_FLIP:
            result[start:stop] = False
    return result


def _flipped_between(
    body: _Body, both: list[int], swapped: list[int], known: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    result = np.zeros(len(body.points), bool)
    if len(frames) < 3:
        return result
    points = body.points[frames] / body.size()[frames, None, None]
    versions = np.stack([points[:, both], points[:, swapped]])  # 2 f joints 2
    seen = np.concatenate([known, known], axis=1)[frames]
    cost, came = np.array([0.0, FLIP_COST]), []
    for at in range(1, len(frames)):
        common = seen[at] & seen[at - 1]
        distance = np.linalg.norm(versions[None, :, at] - versions[:, None, at - 1], axis=-1)  # from, to, joint
        way = (distance * common).sum(-1) / max(1, common.sum())
        gap = frames[at] - frames[at - 1]
        total = cost[:, None] + way / gap + np.array([0, FLIP_COST])
        came.append(total.argmin(0))
        cost = total.min(0)
    state = [int(cost.argmin())]
    for previous in reversed(came):
        state.append(int(previous[state[-1]]))
    result[frames] = np.array(state[::-1], bool)
    return result


def _exchanged(track: PoseTrack, frames: np.ndarray, pair: Pair) -> PoseTrack:
    """The track with two limbs, and what hangs on them, exchanged in some frames."""
    order = np.arange(track.keypoints.shape[2])
    joints = [*pair[0], *pair[1]]
    order[joints] = MIRROR[joints]
    if len(order) == WHOLE_BODY:
        if pair == SIDES["arms"]:
            order[LEFT_HAND], order[RIGHT_HAND] = np.arange(WHOLE_BODY)[RIGHT_HAND], np.arange(WHOLE_BODY)[LEFT_HAND]
        else:
            order[FEET] = [21, 22, 23, 18, 19, 20]
    keypoints, scores = track.keypoints.copy(), track.scores.copy()
    keypoints[frames], scores[frames] = keypoints[frames][:, :, order], scores[frames][:, :, order]
    return replace(track, keypoints=keypoints, scores=scores)


def _inverted(body: _Body) -> np.ndarray:
    """Where the trunk points against the rest of the clip after a jump, or against the face, bool (F,).

    Whoever really goes on their hands gets there through the frames between.
    """
    down = body.down()
    frames = np.flatnonzero(body.trunk > 0)
    result = body.face_inverted() & (down[:, 1] < 0)
    if len(frames) < 3:
        return result
    jumps = np.flatnonzero((down[frames[1:]] * down[frames[:-1]]).sum(-1) < 0) + 1
    pieces = np.split(frames, jumps)
    usual = down[frames].mean(0) + (0, UPRIGHT)
    for piece in pieces if len(pieces) > 1 else ():
        if down[piece].mean(0) @ usual < UPSIDE * np.linalg.norm(usual):
            result[piece] = True
    return result


def _stretched(body: _Body) -> np.ndarray:
    """Joints whose bones are longer than the person's own ever are around, bool (F, 18): of each two the one with more of them."""
    size = body.size()
    lengths = {bone: body.length(*bone) / np.where(size > 0, size, np.nan) for bone in BONES}
    result = np.zeros(body.seen.shape, bool)
    bad: dict[tuple[int, int], np.ndarray] = {}
    for joint, parent in BONES:
        twin = (int(MIRROR[joint]), int(MIRROR[parent]))
        both = np.concatenate([lengths[joint, parent], lengths[twin if twin in lengths else (joint, parent)]])
        if np.isfinite(both).sum() >= 6:
            with np.errstate(invalid="ignore"):
                bad[joint, parent] = lengths[joint, parent] > TOO_LONG * np.nanpercentile(both, 80)
    for frame in np.flatnonzero(np.any(list(bad.values()), 0)) if bad else ():
        left = [bone for bone, where in bad.items() if where[frame]]
        while left:
            counts = {joint: sum(joint in bone for bone in left) for bone in left for joint in bone}
            most = max(counts.values())
            # where both ends have as many, it is the outer one
            outer = [bone[0] for bone in left if counts[bone[0]] == most]
            worst = outer[0] if outer else max(counts, key=lambda joint: counts[joint])
            result[frame, worst] = True
            left = [bone for bone in left if worst not in bone]
    return result


def _jumped(body: _Body) -> np.ndarray:
    """Joints that leave their way for one frame and are back in the next, bool (F, 18)."""
    points, seen, size = body.points, body.seen, body.size()
    result = np.zeros(seen.shape, bool)
    if len(points) < 3:
        return result
    before, now, after = points[:-2], points[1:-1], points[2:]
    out = np.linalg.norm(now - (before + after) / 2, axis=-1)
    way = np.linalg.norm(after - before, axis=-1)
    known = seen[:-2] & seen[1:-1] & seen[2:] & (size[1:-1] > 0)[:, None]
    result[1:-1] = known & (out > SPIKE * size[1:-1, None]) & (way < out / 2)
    return result


def _typical(values: np.ndarray, percentile: float, reach: int = 24) -> np.ndarray:
    """A percentile over the known values of the frames around each one, (F,); 0 where none is known."""
    result = np.zeros(len(values))
    for i in range(len(values)):
        near = values[max(0, i - reach) : i + reach + 1]
        near = near[np.isfinite(near)]
        result[i] = np.percentile(near, percentile) if len(near) else 0
    return result


def _with(joints: tuple[int, ...], count: int) -> np.ndarray:
    """Some joints and everything that hangs on them, bool (count,)."""
    result = np.zeros(count, bool)
    result[list(joints)] = True
    for joint in range(count):
        if joint >= BODY.stop and TREE[joint] in joints:
            result[joint] = True
    return result


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(values.astype(int), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2]))


def _name(limb: tuple[int, ...]) -> str:
    return {2: "right arm", 5: "left arm", 8: "right leg", 11: "left leg"}[limb[0]]
