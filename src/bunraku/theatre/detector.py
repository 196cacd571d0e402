"""What a failing pose detector makes of the exact keypoints that the theatre knows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack


@dataclass(frozen=True)
class Corruption:
    """How badly a detector fails; counts are per person and clip, lengths in frames (shortest and longest).

    Attributes:
        jitter: standard deviation of every joint in every frame, in frame heights.
        dropped: how often a limb (elbow and wrist, or knee and ankle, of one side) is not seen for a while; dropped_frames: for how long.
        swapped: how often both arms, or both legs, are taken for the other side's; swapped_frames: for how long.
    """

    jitter: float
    dropped: int
    dropped_frames: tuple[int, int]
    swapped: int
    swapped_frames: tuple[int, int]


LEVELS: Mapping[int, Corruption] = {
    1: Corruption(jitter=0.004, dropped=1, dropped_frames=(2, 4), swapped=1, swapped_frames=(1, 2)),
    2: Corruption(jitter=0.01, dropped=3, dropped_frames=(3, 6), swapped=2, swapped_frames=(2, 4)),
    3: Corruption(jitter=0.02, dropped=6, dropped_frames=(4, 9), swapped=4, swapped_frames=(3, 6)),
}
"""1 light, 2 medium, 3 heavy."""

_LIMBS = ((3, 4), (6, 7), (9, 10), (12, 13))
_PAIRS = (((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13)))


def corrupt(track: PoseTrack, level: int, rng: np.random.Generator) -> PoseTrack:
    """What a failing detector makes of a track: limbs dropped and sides swapped for stretches of frames, and jitter.

    Args:
        track: (F, P, 18).
        level: a key of LEVELS.
        rng: says what happens when; the same draws at every size of the frames.

    Returns:
        a new track; dropped joints have score 0 and lie at (0, 0).

    Raises:
        BunrakuError: unknown level.
    """
    if level not in LEVELS:
        raise BunrakuError(f"corruption has the levels {', '.join(map(str, LEVELS))}; got {level}")
    how, frames = LEVELS[level], len(track)
    keypoints, scores = track.keypoints.astype(float), track.scores.copy()

    def stretch(shortest: int, longest: int) -> slice:
        length = int(rng.integers(shortest, longest + 1))
        start = int(rng.integers(max(frames - length, 0) + 1))
        return slice(start, start + length)

    for person in range(track.people):
        for _ in range(how.swapped):
            right, left = (list(joints) for joints in _PAIRS[int(rng.integers(2))])
            when = stretch(*how.swapped_frames)
            for values in (keypoints, scores):
                values[when, person, right + left] = values[when, person, left + right]
        keypoints[:, person] += rng.normal(0, how.jitter, (frames, 18, 2)) * track.size[0]
        for _ in range(how.dropped):
            limb = list(_LIMBS[int(rng.integers(4))])
            scores[stretch(*how.dropped_frames), person, limb] = 0
    keypoints[scores == 0] = 0
    return PoseTrack(keypoints.astype(np.float32), scores, track.size)
