"""From frames to cues: the poses of everybody in a clip, and then of the one person who is followed."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.plausible import WORDS, Judged, judge
from bunraku.cues.smoothing import smooth
from bunraku.cues.tracking import MIN_JOINTS, bridge, from_behind, hold, join, largest_first, link, lost_ranges
from bunraku.errors import BunrakuError
from bunraku.media import Frames
from bunraku.perception.clothes import clothes
from bunraku.perception.detector import DetectorName, PoseDetector, create_pose_detector
from bunraku.perception.pose import BODY, FACE, SEEN, WHOLE_BODY, PoseTrack, together
from bunraku.perception.shots import Shots

logger = logging.getLogger(__name__)

LONGEST_GAP = 0.5  # seconds that are bridged
IN_FACE = np.isin(np.arange(WHOLE_BODY), [0, 14, 15, *range(FACE.start, FACE.stop)])


def perceive_frames(
    frames: Frames,
    name: str,
    detector: DetectorName | PoseDetector = "auto",
    *,
    max_people: int = 2,
    device: str | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Cues:
    """The poses of the people in a clip, frame by frame, each with one identity over the clip.

    The frames are streamed. Gaps of up to half a second are bridged joint by joint; what is lost for longer stays missing.
    Nose, eyes and face are missing (score 0) where a person shows the back.

    Args:
        frames: of one clip.
        name: what messages and the cues call it.
        detector: backend, or a detector of one's own (fresh: it may track from frame to frame).
        max_people: at most so many people per frame are looked for.
        device: of the detector; None takes the best there is.
        on_frame: called with the number of frames done and the number of all frames.

    Raises:
        BunrakuError: a frame that cannot be read, no usable detector, or nobody in any frame.
    """
    if isinstance(detector, str):
        detector = create_pose_detector(detector, max_people=max_people, device=device)
    found, colours, cuts, shots = [], [], [], Shots()
    with closing(detector):
        for number, frame in enumerate(frames, 1):
            if shots(frame):
                cuts.append(number - 1)
                detector.restart()
            detections = detector(frame)
            found.append((detections.keypoints, detections.scores))
            colours.append(clothes(frame, detections.keypoints, detections.scores))
            if on_frame:
                on_frame(number, len(frames))
    if cuts:
        logger.warning(
            "%s is cut before frame%s %s: each shot is looked at afresh, people are recognised by their clothes, whoever is "
            "new after a cut takes the place of whoever is gone, and the character jumps as the picture does", name, "s" * (len(cuts) > 1), in_words(cuts),
        )  # fmt: skip
    if shots.blank:
        logger.warning("there is nothing to see in frames %s of %s", in_words(shots.blank), name)
    track = link(found, frames.size, max_people=None if cuts else max_people, clothes=colours, cuts=cuts)
    if cuts:
        joined = largest_first(join(track))
        track = replace(track, keypoints=joined.keypoints[:, :max_people], scores=joined.scores[:, :max_people])
    if not track.people:
        raise BunrakuError(
            f"no person was found in any of the {len(found)} frames of {name} (detector: {detector.name}); use a video "
            "that shows one whole person, or another detector, or give the motion as OpenPose JSON, BVH or cues"
        )
    behind = from_behind(track)  # as found: which way most frames look, and a missing face, is what later steps mend
    judged = judge(track, cuts=cuts, behind=behind)
    _tell_faults(judged, name)
    track = mended(judged.track, frames.fps, cuts)
    scores = track.scores.copy()
    scores[behind] = np.where(IN_FACE, 0, scores[behind])
    source = f"{Path(name).name}, {detector.name} on {detector.provider}"
    return Cues(frames.fps, frames.size, source, replace(track, scores=scores))


def _tell_faults(judged: Judged, name: str) -> None:
    for kind, where in judged.faults.items():
        for person in np.flatnonzero(where.any(0)):
            whom = f" of person {person}" if judged.track.people > 1 else ""
            frames = np.flatnonzero(where[:, person]).tolist()
            logger.warning("poses%s in frames %s of %s: %s", whom, in_words(frames), name, WORDS[kind])


def mended(track: PoseTrack, fps: Fraction, cuts: Collection[int] = ()) -> PoseTrack:
    """Detected poses without their gaps of up to half a second within a shot, joint by joint. Returns (F, P, K)."""
    return bridge(track, round(LONGEST_GAP * fps), cuts=cuts)


def in_words(frames: Sequence[int]) -> str:
    """Frame numbers in ascending order as ranges: "3, 7-9"."""
    groups = np.split(np.array(frames, int), np.flatnonzero(np.diff(frames) > 1) + 1)
    return ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else str(group[0]) for group in groups if len(group))


def people_in_words(track: PoseTrack) -> str:
    """Where each person is, for somebody who has to choose by number.

    Example: "0 at 31 % of the width, in all 48 frames; 1 at 74 % of the width, in 40 of 48 frames"; of a still, the place alone.
    """
    words = []
    for person in range(track.people):
        seen = track.scores[:, person, BODY] >= SEEN
        there = int((seen.sum(-1) >= MIN_JOINTS).sum())
        place = np.median(track.keypoints[:, person, BODY, 0][seen]) / track.size[1] if seen.any() else np.nan
        frames = f", in {'all' if there == len(track) else f'{there} of'} {len(track)} frames" if len(track) > 1 else ""
        words.append(f"{person} at {100 * place:.0f} % of the width{frames}")
    return "; ".join(words)


def follow(cues: Cues, person: int = 0, *, smoothing: bool = False) -> Cues:
    """The cues of one person, held in its last pose while it is lost; a warning names the frames.

    Args:
        cues: with poses; drawn skeletons come back as they are.
        person: index, 0 is the largest.
        smoothing: One-Euro filter on the joints.

    Raises:
        BunrakuError: there is no such person, or it has no pose in any frame.
    """
    track = cues.pose
    if track is None:
        if person or smoothing:
            logger.warning("%s is drawn already: person and smoothing have no effect on it", cues.source)
        return cues
    if not 0 <= person < track.people:
        raise BunrakuError(
            f"there is no person {person} in {cues.source} (--person): {track.people} found, counted from 0, the largest first"
        )
    whom, track = f"person {person}" if track.people > 1 else "the person", track.person(person)
    if lost := lost_ranges(track, 0):
        if lost == [(0, len(track))]:
            raise BunrakuError(f"person {person} of {cues.source} has fewer than 3 joints in every frame")
        ranges = in_words([frame for first, stop in lost for frame in range(first, stop)])
        total = sum(stop - first for first, stop in lost)
        ends = f"; after frame {lost[-1][0] - 1} nobody sees it again" if lost[-1][1] == len(track) else ""
        logger.warning(
            "%s is lost in %d of %d frames of %s and held still there: %s%s",
            whom, total, len(track), cues.source, ranges, ends,
        )  # fmt: skip
        track = hold(track)
    return cues.with_people([person], smooth(track, cues.fps) if smoothing else track)


def follow_all(cues: Cues, people: Sequence[int], *, smoothing: bool = False) -> Cues:
    """The cues of several people, in that order, each as `follow` gives it."""
    tracks: list[PoseTrack] = [follow(cues, person, smoothing=smoothing).pose for person in people]  # type: ignore[misc]
    return cues.with_people(people, together(tracks))
