"""Tracking: who is who from frame to frame, and what to do where a detector lost somebody."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from bunraku.perception.clothes import likeness
from bunraku.perception.pose import BODY, FACE, SEEN, PoseTrack

SPREAD = 0.25  # how far a joint moves in one frame, in person sizes (one standard deviation)
MIN_SIMILARITY = 0.1
MIN_JOINTS = 3  # fewer body joints are not a person
ALIKE = 0.5  # least likeness of the clothes of somebody who comes back, or is seen again after a cut
RETURN = 0.3  # what such a likeness counts at most, against somebody who is where they were expected
SAME_PLACE = 0.5  # of a person's size: how far joints are from where the same person was seen last
LONGEST_ABSENCE = 60  # frames after which nobody is taken for the same person
NECK, HIPS, RIGHT_SIDE, LEFT_SIDE = 1, [8, 11], [2, 8], [5, 11]
TURNED = 0.35  # of the trunk's length: how far shoulders and hips, added, must be turned for a back


def link(
    detections: Sequence[tuple[np.ndarray, np.ndarray]],
    size: tuple[int, int],
    *,
    max_lost: int = 60,
    min_frames: int = 3,
    max_people: int | None = None,
    threshold: float = SEEN,
    clothes: Sequence[np.ndarray] | None = None,
    cuts: Collection[int] = (),
) -> PoseTrack:
    """Give the people of every frame identities that are stable over the clip.

    Frame by frame, detections are assigned to the people known so far by the Hungarian method on the similarity

        OKS = mean_k exp(-|d_k - t_k|^2 / (2 n (0.25 s)^2))

    over body joints k seen in both, with d the detection, t the person's last pose moved on with its last velocity, s
    its size and n the number of frames since it was seen. Where the clothes are known the similarity is OKS (1 + C) / 2 with
    their likeness C, so that people who cross keep their own; and somebody whom no motion leads to (who was gone, or stood
    elsewhere before a cut) is recognised by clothes and size alone, where C is at least a half. A detection that is similar to nobody
    starts a new person.

    Args:
        detections: for each frame keypoints (P_i, K, 2) in pixels and scores (P_i, K), people in any order.
        size: (height, width) of the frames in pixels.
        max_lost: a person who is gone for more frames, and is not known by their clothes, counts as a new one afterwards.
        min_frames: people seen in fewer frames (or in fewer than all of a shorter clip) are dropped.
        max_people: keep only so many, the largest. Default: all.
        threshold: joints with a lower score do not count as seen.
        clothes: for each frame the colours of its people's clothes (P_i, 2, C), see `perception.clothes`.
        cuts: numbers of the frames with which a new shot begins: no motion leads there.

    Returns:
        (F, P, K) with people ordered by mean size, the largest first; where a person was not found, scores are 0.

    Source: object keypoint similarity (Ronchi and Perona 2017), the assignment of SORT (Bewley et al. 2016), with appearance
    as in DeepSORT (Wojke et al. 2017), there from a network.
    """
    people: list[_Person] = []
    shot = 0
    for frame, (keypoints, scores) in enumerate(detections):
        shot += frame in cuts
        seen = _seen(keypoints, scores, threshold)
        found = [
            _Sight(frame, shot, i, keypoints[i, BODY], seen[i], None if clothes is None else clothes[frame][i])
            for i in range(len(seen))
            if seen[i].sum() >= MIN_JOINTS
        ]
        similarity = np.array([[person.similarity(sight, max_lost) for sight in found] for person in people])
        rows, columns = linear_sum_assignment(-similarity) if similarity.size else ([], [])
        matched = {c: people[r] for r, c in zip(rows, columns) if similarity[r, c] >= MIN_SIMILARITY}
        for number, sight in enumerate(found):
            if number not in matched:
                people.append(matched.setdefault(number, _Person()))
            matched[number].add(sight)

    enough = min(min_frames, len(detections))
    people = sorted((p for p in people if len(p.frames) >= enough), key=lambda p: -p.mean_size)[:max_people]
    joints = detections[0][0].shape[1] if detections else BODY.stop
    track_keypoints = np.zeros((len(detections), len(people), joints, 2), np.float32)
    track_scores = np.zeros((len(detections), len(people), joints), np.float32)
    for p, person in enumerate(people):
        for frame, i in zip(person.frames, person.indices):
            track_keypoints[frame, p], track_scores[frame, p] = (array[i] for array in detections[frame])
    return PoseTrack(track_keypoints, track_scores, size)


class _Sight(NamedTuple):
    """One detection: the frame and its shot, the detection's number in it, its body (18, 2), which joints are seen, its clothes."""

    frame: int
    shot: int
    number: int
    body: np.ndarray
    seen: np.ndarray
    clothes: np.ndarray | None

    @property
    def extent(self) -> float:
        return max(1.0, float(np.linalg.norm(np.ptp(self.body[self.seen], axis=0))))


@dataclass
class _Person:
    """One identity: where it was found, its latest body pose, and its clothes as they were on average."""

    frames: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    body: np.ndarray = field(default_factory=lambda: np.zeros((18, 2)))
    seen: np.ndarray = field(default_factory=lambda: np.zeros(18, bool))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    clothes: np.ndarray | None = None
    shot: int = 0

    @property
    def mean_size(self) -> float:
        return float(np.mean(self.sizes))

    def similarity(self, sight: _Sight, max_lost: int) -> float:
        alike = (
            likeness(self.clothes, sight.clothes) if self.clothes is not None and sight.clothes is not None else None
        )
        motion = (
            self._motion(sight) if sight.shot == self.shot and sight.frame - self.frames[-1] <= max_lost + 1 else 0.0
        )
        if alike is None:
            return motion
        ratio = min(sight.extent, self.mean_size) / max(sight.extent, self.mean_size)
        return max(motion * (1 + alike) / 2, RETURN * alike * np.sqrt(ratio) if alike >= ALIKE else 0.0)

    def _motion(self, sight: _Sight) -> float:
        common, gap = sight.seen & self.seen, sight.frame - self.frames[-1]
        if not common.any():
            return 0.0
        # a velocity measured between two frames says little about where someone is ten frames later
        predicted = self.body + self.velocity * min(gap, 5)
        distance = np.square(sight.body - predicted).sum(-1)[common]
        return float(np.exp(-distance / (2 * gap * (SPREAD * self.mean_size) ** 2)).mean())

    def add(self, sight: _Sight) -> None:
        common = sight.seen & self.seen
        if self.frames and sight.shot != self.shot:
            self.velocity = np.zeros(2)
        elif common.any():
            self.velocity = np.median((sight.body - self.body)[common], axis=0) / (sight.frame - self.frames[-1])
        self.body, self.seen = np.where(sight.seen[:, None], sight.body, self.body), sight.seen | self.seen
        if sight.clothes is not None:
            self.clothes = _blended(self.clothes, sight.clothes, 1 / min(len(self.frames) + 1, 25))
        self.frames.append(sight.frame)
        self.indices.append(sight.number)
        self.sizes.append(sight.extent)
        self.shot = sight.shot


def _blended(known: np.ndarray | None, new: np.ndarray, share: float) -> np.ndarray:
    """Clothes (2, C) as they were so far, and a share of the new ones; a part that only one shows is that one's."""
    if known is None:
        return new
    known = np.where(known.sum(-1, keepdims=True) > 0, known, new)
    return np.where(new.sum(-1, keepdims=True) > 0, known + share * (new - known), known)


def bridge(track: PoseTrack, max_gap: int, *, threshold: float = SEEN, cuts: Collection[int] = ()) -> PoseTrack:
    """Interpolate joints linearly over gaps of at most `max_gap` frames.

    Every joint by itself, between its seen neighbours in time; nothing is extrapolated before the first or after the
    last sight, nor over `cuts` (the frames with which new shots begin), and longer gaps stay missing. A bridged joint scores
    the lower of its two ends. Returns (F, P, K).
    """
    seen = _seen(track.keypoints, track.scores, threshold, slice(None))
    frames = np.arange(len(track))[:, None, None]
    before = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, frames, len(track))[::-1], axis=0)[::-1]
    gap = ~seen & (before >= 0) & (after < len(track)) & (after - before - 1 <= max_gap)
    shot = np.isin(np.arange(len(track)), list(cuts)).cumsum()
    gap &= shot[before.clip(0)] == shot[after.clip(max=len(track) - 1)]
    start, end = np.where(gap, before, frames), np.where(gap, after, frames)
    weight = ((frames - start) / np.maximum(end - start, 1))[..., None]
    values = [np.take_along_axis(track.keypoints, at[..., None], axis=0) for at in (start, end)]
    scores = [np.take_along_axis(track.scores, at, axis=0) for at in (start, end)]
    return replace(
        track,
        # where, not arithmetic alone: keypoints outside gaps stay bit for bit
        keypoints=np.where(gap[..., None], values[0] + weight * (values[1] - values[0]), track.keypoints).astype(
            np.float32
        ),
        scores=np.where(gap, np.minimum(*scores), track.scores),
    )


def join(track: PoseTrack, *, threshold: float = SEEN) -> PoseTrack:
    """The same poses with fewer people: who takes over from somebody is that person.

    Trackers change identities, and shots cut. Somebody who appears for the first time in the frame after another one has
    gone for good, or within 60 frames of another one's going and in the same place (joints less than half the person's size
    away), is taken for that one until the two are there at once. Returns (F, P', K), P' <= P; people who are nowhere are dropped.
    """
    there = np.asarray((track.scores > 0).any(-1)).astype(int)  # F P
    edges = np.diff(there, axis=0, prepend=0, append=0)
    runs = sorted(
        (start, stop, p)
        for p in range(track.people)
        for start, stop in zip(np.flatnonzero(edges[:, p] > 0).tolist(), np.flatnonzero(edges[:, p] < 0).tolist())
    )
    starts, ends = {p: start for start, _, p in reversed(runs)}, {p: stop for _, stop, p in runs}
    chains: list[list[tuple[int, int, int]]] = []
    for run in runs:
        start, _, p = run
        gone = [chain for chain in chains if chain[-1][1] <= start]
        own = [chain for chain in gone if any(p == other for *_, other in chain)]
        reach = []
        for chain in gone:
            _, stop, last = chain[-1]
            distance = _distance(track, (stop - 1, last), (start, p), threshold)
            for_good = start == stop == ends[last] and start == starts[p]
            if for_good or (start - stop <= LONGEST_ABSENCE and distance < SAME_PLACE):
                reach.append((distance, chain))
        if own or reach:
            (own[-1] if own else min(reach, key=lambda item: item[0])[1]).append(run)
        else:
            chains.append([run])
    keypoints = np.zeros((len(track), len(chains), *track.keypoints.shape[2:]), np.float32)
    scores = np.zeros(keypoints.shape[:3], np.float32)
    for i, chain in enumerate(chains):
        for start, stop, p in chain:
            keypoints[start:stop, i], scores[start:stop, i] = (
                track.keypoints[start:stop, p],
                track.scores[start:stop, p],
            )
    return PoseTrack(keypoints, scores, track.size)


def _distance(track: PoseTrack, before: tuple[int, int], after: tuple[int, int], threshold: float) -> float:
    """Median distance of the body joints of two (frame, person), in sizes of the first; infinite if none is in both."""
    seen = [_seen(track.keypoints[at], track.scores[at], threshold) for at in (before, after)]
    common = seen[0] & seen[1]
    if not common.any():
        return np.inf
    a, b = track.keypoints[before][BODY], track.keypoints[after][BODY]
    return float(np.median(np.linalg.norm(b - a, axis=-1)[common]) / _extent(a[seen[0]]))


def largest_first(track: PoseTrack, *, threshold: float = SEEN) -> PoseTrack:
    """People in the order of their mean size over the frames that show them. Returns (F, P, K)."""
    seen = _seen(track.keypoints, track.scores, threshold)  # F P 18
    sizes = [
        [_extent(points[s]) for points, s in zip(track.keypoints[:, p, BODY], seen[:, p]) if s.any()]
        for p in range(track.people)
    ]
    order = sorted(range(track.people), key=lambda p: -np.mean(sizes[p]) if sizes[p] else 0.0)
    return PoseTrack(track.keypoints[:, order], track.scores[:, order], track.size)


def from_behind(track: PoseTrack, *, threshold: float = SEEN) -> np.ndarray:
    """Where people of a whole-body detection show their back, bool (F, P).

    Detectors of bodies give nose and eyes to a head that is seen from behind, and sometimes exchange left and right there.
    So a frame shows a back where no face was found and the right shoulder and hip are right of the left ones, as seen along
    the trunk; in a run of frames without a face in which most show a back, all do.

    Args:
        track: (F, P, 134) of a detector that looks for faces.
    """
    seen = _seen(track.keypoints, track.scores, threshold, slice(None))
    joints = track.keypoints[:, :, BODY].astype(np.float64)
    trunk = joints[:, :, NECK] - joints[:, :, HIPS].mean(2)
    left = (joints[:, :, LEFT_SIDE] - joints[:, :, RIGHT_SIDE]).sum(2)
    # positive where the left side is on the right of the trunk's own up, in the picture's coordinates with y down
    turn = (left[..., 1] * trunk[..., 0] - left[..., 0] * trunk[..., 1]) / np.maximum(np.square(trunk).sum(-1), 1)
    known = seen[:, :, [NECK, *HIPS, *LEFT_SIDE, *RIGHT_SIDE]].all(-1)
    faceless, back = ~seen[:, :, FACE].any(-1), known & (turn < -TURNED)
    result = faceless & back
    edges = np.diff(faceless.astype(int), axis=0, prepend=0, append=0)
    for p in range(track.people):
        for start, stop in zip(np.flatnonzero(edges[:, p] > 0), np.flatnonzero(edges[:, p] < 0)):
            if back[start:stop, p].mean() > 0.5:
                result[start:stop, p] = True
    return result


def hold(track: PoseTrack, *, threshold: float = SEEN) -> PoseTrack:
    """Freeze people in their last seen pose while they are lost (before the first sight: in their first).

    Returns (F, P, K); people who are never seen stay missing.
    """
    lost = _lost(track, threshold)  # F P
    frames = np.arange(len(track))[:, None]
    last = np.maximum.accumulate(np.where(lost, -1, frames), axis=0)
    source = np.where(last < 0, np.argmin(lost, axis=0), last)[..., None]
    return replace(
        track,
        keypoints=np.take_along_axis(track.keypoints, source[..., None], axis=0),
        scores=np.take_along_axis(track.scores, source, axis=0),
    )


def lost_ranges(track: PoseTrack, person: int, *, threshold: float = SEEN) -> list[tuple[int, int]]:
    """Where a person is lost (fewer than 3 body joints seen): frame ranges (start, stop), stop not included."""
    edges = np.flatnonzero(np.diff(_lost(track, threshold)[:, person].astype(int), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2]))


def _seen(keypoints: np.ndarray, scores: np.ndarray, threshold: float, joints: slice = BODY) -> np.ndarray:
    scores = scores[..., joints]
    return (scores >= threshold) & (scores > 0) & np.isfinite(keypoints[..., joints, :]).all(-1)


def _lost(track: PoseTrack, threshold: float) -> np.ndarray:
    return _seen(track.keypoints, track.scores, threshold).sum(-1) < MIN_JOINTS


def _extent(points: np.ndarray) -> float:
    """Diagonal of the box around points (N, 2), at least 1."""
    return max(1.0, float(np.linalg.norm(np.ptp(points, axis=0))))
