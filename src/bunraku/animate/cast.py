"""The cast: who of the driving clip moves whom of the reference."""

import logging
from dataclasses import dataclass

import numpy as np

from bunraku.animate.driving import Driving
from bunraku.animate.options import MotionOptions, Order
from bunraku.animate.reference import Reference
from bunraku.cues.cues import Cues
from bunraku.cues.depth_order import (
    contradictions,
    describe_contradictions,
    fixed_ranks,
    lasting_ranks,
    ranks_over_time,
    standing_nearness,
)
from bunraku.cues.drawn import draw_instances
from bunraku.cues.perceive import SEEN, follow_all
from bunraku.cues.tracking import MIN_JOINTS
from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, PoseTrack, together
from bunraku.progress import Progress, silent

logger = logging.getLogger(__name__)

PRESENT = 0.25
"""Share of the frames in which somebody must be seen to drive without being asked to."""

Pairs = tuple[tuple[int, int], ...]
"""(character, driver), counted from 0, the largest first."""


@dataclass(frozen=True)
class Cast:
    """Who moves, and who does not.

    Attributes:
        moved: poses of the characters who are moved, (1, N, K); numbers: theirs in the reference.
        cues: of their drivers, in the same order.
        still: poses of the characters whom nobody drives, (1, M, K), who stay as they are; still_numbers: theirs.
    """

    moved: PoseTrack
    numbers: list[int]
    cues: Cues
    still: PoseTrack
    still_numbers: list[int]


def perceive_cast(character: Reference, clip: Driving, options: MotionOptions, report: Progress = silent) -> Cast:
    """Find everybody in the reference and in the clip, and decide who follows whom; says so.

    Args:
        character: composed already (`compose.composed`).
        clip: with keypoints.

    Raises:
        BunrakuError: nobody in the reference or in the clip, or a pair of somebody who is not there.
    """
    people = character.people(options)
    cues = clip.cues(options, on_frame=lambda done, total: report("perceive", done, total))
    pairs = choose_pairs(people, cues.pose, options)  # type: ignore[arg-type]
    _tell(pairs, people, cues.pose, character, clip)  # type: ignore[arg-type]
    moved = [one for one, _ in pairs]
    for one in moved:
        character.tell_doubts(people.person(one), options)
    still = [one for one in range(people.people) if one not in moved]
    followed = follow_all(cues, [driver for _, driver in pairs], smoothing=options.smoothing)
    return Cast(people.chosen(moved), moved, followed, people.chosen(still), still)


def depth_order(cast: Cast, poses: PoseTrack, order: Order) -> np.ndarray:
    """Who is in front of whom, frame by frame: int64 (F, N + M), 0 the farthest, of those who move and those who stay.

    The order of the drivers is that of their depth where it was perceived, else of where and how large they stand; it changes only on
    evidence that lasts. Who stays has a place among those who move by where all of them stand in the picture.

    Args:
        poses: of all of them on the canvas, (F, N + M, K).
        order: "reference": one order, that of the reference, for the whole clip.
    """
    if order == "reference":
        return fixed_ranks(standing_nearness(together([cast.moved, cast.still]))[0], len(poses))
    assert cast.cues.pose is not None
    ranks = lasting_ranks(cast.cues.pose, cast.cues.maps.get("nearness"))
    _tell_contradictions(cast.cues, ranks)
    if not cast.still.people:
        return ranks
    places = standing_nearness(poses)
    own = np.sort(np.where(np.isfinite(places), places, -np.inf)[:, : ranks.shape[1]], 1)
    places[:, : ranks.shape[1]] = np.take_along_axis(own, ranks, 1)
    return ranks_over_time(places)


def _tell_contradictions(cues: Cues, ranks: np.ndarray) -> None:
    """Warn where the mattes of the drivers show another order than is taken."""
    if "mattes" not in cues.maps or cues.pose is None or cues.pose.people < 2:
        return
    mattes = cues.maps["mattes"]
    size = (mattes.shape[2], mattes.shape[3])
    instances = np.concatenate([draw_instances(cues, size)([i])[..., 0] for i in range(len(cues))])  # type: ignore[misc]
    if found := contradictions(cues.pose.scaled(size), ranks, instances):
        logger.warning(
            "%s of %s; see `bunraku perceive --matte --debug`, or take the order of the picture (--order reference)",
            describe_contradictions(found, len(cues)), cues.source,
        )  # fmt: skip


def choose_pairs(people: PoseTrack, driving: PoseTrack, options: MotionOptions) -> Pairs:
    """Who of `people` (1, P, K) follows whom of the driving people (F, Q, K), in the order of the characters' numbers.

    The pairs of the options; or one pair, where these choose somebody; or the largest of both, as many as there are, from left to right. Who is
    seen in less than a quarter of the frames does not drive unless nobody else does.

    Raises:
        BunrakuError: a pair of somebody who is not there.
    """
    if options.pairs:
        for number, (one, driver) in enumerate(options.pairs):
            if one >= people.people or driver >= driving.people:
                raise BunrakuError(
                    f"pair {number} of --pairs, {one}:{driver}, names nobody: {people.people} characters and {driving.people} driving "
                    "people were found, counted from 0, the largest first (CHARACTER:DRIVER)"
                )
        return tuple(sorted(options.pairs))
    if options.person or options.reference_person:
        return ((options.reference_person, options.person),)
    there = (driving.scores[:, :, BODY] >= SEEN).sum(-1) >= MIN_JOINTS  # F Q
    drivers = [i for i in range(driving.people) if there[:, i].mean() >= PRESENT] or [0]
    count = min(people.people, len(drivers))
    return tuple(sorted(zip(_left_to_right(people, list(range(count))), _left_to_right(driving, drivers[:count]))))


def _left_to_right(track: PoseTrack, people: list[int]) -> list[int]:
    """People in the order of where they stand when they are first seen."""

    def place(person: int) -> float:
        seen = track.scores[:, person, BODY] >= SEEN
        frame = int((seen.sum(-1) >= MIN_JOINTS).argmax())
        return float(track.keypoints[frame, person, BODY, 0][seen[frame]].mean()) if seen[frame].any() else np.inf

    return sorted(people, key=place)


def _tell(pairs: Pairs, people: PoseTrack, driving: PoseTrack, character: Reference, clip: Driving) -> None:
    if people.people == driving.people == 1:
        return
    logger.info(
        "%s of %s (character as driver; --pairs chooses others)",
        ", ".join(f"person {one} moves as person {driver}" for one, driver in pairs), clip.path.name,
    )  # fmt: skip
    if still := sorted(set(range(people.people)) - {one for one, _ in pairs}):
        logger.info("nobody drives person %s of %s", " and ".join(map(str, still)), character.path.name)
    if left := sorted(set(range(driving.people)) - {driver for _, driver in pairs}):
        logger.info("person %s of %s is left out", " and ".join(map(str, left)), clip.path.name)
