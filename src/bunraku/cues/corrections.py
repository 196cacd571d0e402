"""Corrections: joints that a person put where they belong, and what follows from them for the frames around."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from bunraku.perception.pose import FACE, LEFT_HAND, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

FOLLOWERS = {0: FACE, 4: RIGHT_HAND, 7: LEFT_HAND, 10: slice(21, 24), 13: slice(18, 21)}
"""What goes where a joint goes: the face with the nose, a hand with its wrist, a foot with its ankle."""


@dataclass(frozen=True)
class Pin:
    """Where a joint of the body is in a frame: x and y in pixels; None: it is not to be seen."""

    frame: int
    person: int
    joint: int
    place: tuple[float, float] | None


def corrected(track: PoseTrack, pins: Iterable[Pin], reach: int = 0) -> PoseTrack:
    """Poses with joints moved to where they are pinned.

    A correction fades out over `reach` frames before and after its frame, linearly. Between two pins of a joint that are at most twice as
    far apart it goes linearly from one to the other, and a joint that was not seen there lies on the line between them.

    Args:
        track: (F, P, K).
        pins: of several for the same joint in the same frame the last counts.
        reach: in frames.

    Returns:
        (F, P, K); a pinned joint has score 1, a hidden one 0.

    >>> still = PoseTrack(np.zeros((1, 1, 18, 2), np.float32), np.zeros((1, 1, 18), np.float32), (64, 64))
    >>> moved = corrected(still, [Pin(0, 0, 4, (10, 20))])
    >>> moved.keypoints[0, 0, 4].tolist(), float(moved.scores[0, 0, 4])
    ([10.0, 20.0], 1.0)
    """
    keypoints, scores = track.keypoints.copy(), track.scores.copy()
    latest = {(pin.person, pin.joint, pin.frame): pin for pin in pins}
    ordered = sorted(latest.values(), key=lambda pin: (pin.person, pin.joint, pin.frame))
    for (person, joint), group in groupby(ordered, key=lambda pin: (pin.person, pin.joint)):
        own = list(group)
        placed = [pin for pin in own if pin.place is not None]
        if placed:
            seen = track.scores[:, person, joint] >= SEEN
            way = _way(track.keypoints[:, person, joint].astype(np.float64), seen, placed, reach)
            shift = (way - track.keypoints[:, person, joint]).astype(np.float32)
            found = np.isfinite(way).all(-1)
            keypoints[found, person, joint] = way[found]
            scores[found & ~seen, person, joint] = 1
            scores[[pin.frame for pin in placed], person, joint] = 1
            if track.keypoints.shape[2] == WHOLE_BODY and joint in FOLLOWERS:
                keypoints[found & seen, person, FOLLOWERS[joint]] += shift[found & seen, None]
        for pin in own:
            if pin.place is None:
                scores[pin.frame, person, joint] = 0
    return PoseTrack(keypoints, scores, track.size)


def _way(points: np.ndarray, seen: np.ndarray, pins: list[Pin], reach: int) -> np.ndarray:
    """Where a joint is in every frame, (F, 2); NaN where it stays unseen."""
    frames = np.array([pin.frame for pin in pins])
    places = np.array([pin.place for pin in pins], np.float64)
    start = np.where(seen[frames, None], points[frames], places)  # of an unseen joint nobody knows how far it is moved
    knots, offsets = [frames[0] - reach - 1], [np.zeros(2)]
    for number, frame in enumerate(frames):
        if number and frame - frames[number - 1] > 2 * reach:
            knots += [frames[number - 1] + reach + 1, frame - reach - 1]
            offsets += [np.zeros(2)] * 2
        knots.append(frame)
        offsets.append(places[number] - start[number])
    knots.append(frames[-1] + reach + 1)
    offsets.append(np.zeros(2))
    order, times = np.argsort(knots, kind="stable"), np.arange(len(points))
    shift = np.stack(
        [np.interp(times, np.array(knots)[order], np.array(offsets)[order][:, axis]) for axis in (0, 1)], -1
    )
    way = np.where(seen[:, None], points + shift, np.nan)
    for first, second, one, other in zip(frames, frames[1:], places, places[1:]):
        if second - first <= 2 * reach:
            between = np.arange(first + 1, second)
            share = ((between - first) / (second - first))[:, None]
            line = one + share * (other - one)
            way[between] = np.where(seen[between, None], way[between], line)
    way[frames] = places
    return way
