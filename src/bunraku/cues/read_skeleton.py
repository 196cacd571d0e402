"""SkeletonReader: keypoints out of drawn skeletons, so that whoever has nothing but a drawing can be retargeted, paired and cut out.

Limbs are recognised by their colours (`cues.skeleton`), which differ from the joints' in brightness and from each other in hue. Each
is an ellipse, so its ends follow from its pixels; a person is what hangs together at a neck. Hands and faces are not read.
"""

from collections.abc import Sequence
from colorsys import rgb_to_hsv
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from bunraku.cues.skeleton import COLOURS, LIMBS
from bunraku.perception.pose import WHOLE_BODY, Detections

NECK, NOSE = 1, 0
FACE = (14, 15, 16, 17)
"""Eyes and ears."""
DARK, BRIGHT = (100, 200), 205
"""Largest channels of limbs, drawn at 153, and the least of joints, drawn at 255."""
COLOURFUL = 0.65  # least saturation
HUE = 9  # degrees that a colour may be off: half the way to its neighbour
WHITE = 200  # least of all channels of a face's dots
BROKEN = 6.0  # half thicknesses: longest gap that something drawn over a limb leaves in it
MEETING = 3.0, 0.02  # half thicknesses, frame heights: how far ends of limbs lie apart that meet
SCRAP = 0.25  # of the largest: what is smaller are remains of limbs that others are drawn over
HEAD = 0.9  # of the distance from neck to nose: how far from it eyes and ears may be


class Segment(NamedTuple):
    """A limb's two ends (2, 2) in pixels, and half its thickness."""

    ends: np.ndarray
    half: float


@dataclass
class SkeletonReader:
    """A pose detector (`perception.detector.PoseDetector`) for drawings in the colours of OpenPose and DWPose, thick or thin.

    Args:
        max_people: at most so many per frame, the largest.
    """

    max_people: int = 8
    name: str = "drawn skeletons"
    provider: str = "CPU"

    def __call__(self, frame: np.ndarray) -> Detections:
        """The skeletons in a frame, uint8 (H, W, 3) RGB on black; body joints alone."""
        hue, bright, colourful = _hues(frame)
        limbs = colourful & (bright >= DARK[0]) & (bright <= DARK[1])
        segments = [_segments(limbs & (_apart(hue, COLOURS[i]) <= HUE)) for i in range(len(LIMBS))]
        people = _people(segments, frame.shape[0])
        points, scores = (
            np.zeros((len(people), WHOLE_BODY, 2), np.float32),
            np.zeros((len(people), WHOLE_BODY), np.float32),
        )
        discs = colourful & (bright >= BRIGHT)
        for i, joints in enumerate(people):
            for joint, at in (joints | _face(joints, frame, hue, discs)).items():
                points[i, joint], scores[i, joint] = at, 1
        reach = np.array([np.ptp(p[s > 0], axis=0).max() for p, s in zip(points, scores)])
        largest = np.argsort(-reach, kind="stable")[: self.max_people]
        whole = [i for i in largest if reach[i] > SCRAP * reach.max()]
        return Detections(points[whole], scores[whole])

    def restart(self) -> None:
        """Frames are read one by one."""

    def close(self) -> None:
        """There is nothing to free."""


def is_readable(frames: Sequence[np.ndarray]) -> bool:
    """Whether most of some frames, uint8 (H, W, 3), show somebody with at least half of the body's joints."""
    found = [SkeletonReader()(frame).scores for frame in frames]
    return float(np.median([(scores[0] > 0).sum() if len(scores) else 0 for scores in found])) >= 9


def _hues(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees, largest channel, and whether a pixel has a colour at all, each (H, W)."""
    hsv = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    return hsv[..., 0], frame.max(-1), hsv[..., 1] >= COLOURFUL


def _apart(hue: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Degrees between hues and a colour's."""
    own = 360 * rgb_to_hsv(*(channel / 255 for channel in colour))[0]
    away = np.abs(hue - own)
    return np.minimum(away, 360 - away)


def _segments(mask: np.ndarray) -> list[Segment]:
    """The ellipses of one colour, the largest first; what something is drawn across is one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA]))
    parts = [np.argwhere(labels == i)[:, ::-1] + 0.5 for i in order if stats[i, cv2.CC_STAT_AREA] >= 3]
    found: list[np.ndarray] = []
    for part in parts:
        whole = next((i for i, other in enumerate(found) if _continues(part, other)), None)
        if whole is None:
            found.append(part)
        else:
            found[whole] = np.concatenate([found[whole], part])
    return [_ellipse(points) for points in found]


def _continues(part: np.ndarray, other: np.ndarray) -> bool:
    """Whether pixels (N, 2) lie on the line of others, not far from their ends."""
    (a, b), half = _ellipse(other)
    along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
    t, n = (part - a) @ along, (part - a) @ np.array([-along[1], along[0]])
    gap = max(float(t.min() - np.linalg.norm(b - a)), float(-t.max()))
    return float(np.abs(n).max()) < 2 * half + 1 and gap < BROKEN * half + 2


def _ellipse(points: np.ndarray) -> Segment:
    """Of its pixels (N, 2); the joints' discs hide its ends by half its thickness."""
    middle = points.mean(0)
    away = points - middle
    along = np.linalg.eigh(away.T @ away)[1][:, 1]
    t, n = away @ along, away @ np.array([-along[1], along[0]])
    half = max(1.0, float(np.ptp(n)) / 2 + 0.5)
    reach = np.array([t.min() - half, t.max() + half])
    return Segment(middle + reach[:, None] * along, half)


def _people(segments: list[list[Segment]], height: int) -> list[dict[int, np.ndarray]]:
    """Joints (2,) by number, person by person: limbs that meet in a neck, and what hangs on them."""
    free = [list(of_limb) for of_limb in segments]
    half = max((segment.half for of_limb in free for segment in of_limb), default=1.0)
    near = max(MEETING[0] * half, MEETING[1] * height)
    people = []
    while (neck := _neck(free, near)) is not None:
        joints = {NECK: neck}
        order = sorted(
            range(len(LIMBS)), key=lambda i: i if LIMBS[i][0] in (NECK, 2, 5, 8, 11, 3, 6, 9, 12) else i + 99
        )
        for limb in order:
            start, end = (int(joint) for joint in LIMBS[limb])
            if start in joints and free[limb]:
                taken = _nearest(free[limb], joints[start], near)
                if taken is not None:
                    number, far = taken
                    joints[end] = far
                    del free[limb][number]
        people.append(joints)
    return people


def _neck(free: list[list[Segment]], near: float) -> np.ndarray | None:
    """Where the ends of most limbs that start at a neck meet; at least three."""
    own = [i for i, limb in enumerate(LIMBS) if limb[0] == NECK]
    ends = [end for limb in own for segment in free[limb] for end in segment.ends]
    best, meeting = None, 2
    for end in ends:
        close = [_closest(free[limb], end) for limb in own if free[limb]]
        met = [point for point in close if np.linalg.norm(point - end) < near]
        if len(met) > meeting:
            best, meeting = np.median(met, axis=0), len(met)
    return best


def _closest(segments: list[Segment], point: np.ndarray) -> np.ndarray:
    """The end of one of some segments that is nearest to a point."""
    ends = np.concatenate([segment.ends for segment in segments])
    return np.asarray(ends[np.linalg.norm(ends - point, axis=1).argmin()])


def _nearest(segments: list[Segment], joint: np.ndarray, near: float) -> tuple[int, np.ndarray] | None:
    """The number of the segment that starts at a joint, and its other end."""
    away = np.array([np.linalg.norm(segment.ends - joint, axis=1) for segment in segments])
    number, end = np.unravel_index(away.argmin(), away.shape)
    return None if away[number, end] > near else (int(number), segments[number].ends[1 - end])


def _face(
    joints: dict[int, np.ndarray], frame: np.ndarray, hue: np.ndarray, discs: np.ndarray
) -> dict[int, np.ndarray]:
    """Nose, eyes and ears: a face's white dots hide the limbs between them, but not the discs at its sides."""
    if NOSE not in joints:
        return {}
    nose = joints[NOSE]
    y, x = np.indices(hue.shape, dtype=np.float32) + 0.5
    size = float(np.linalg.norm(nose - joints[NECK]))
    found = {}
    white = (frame.min(-1) >= WHITE) & (np.hypot(x - nose[0], y - nose[1]) < 2 * size)
    if white.sum() > 9:
        nose = found[NOSE] = np.array([x[white].mean(), y[white].mean()])
        size = float(np.linalg.norm(nose - joints[NECK]))
    around = np.hypot(x - nose[0], y - nose[1]) < HEAD * size
    for joint in FACE:
        own = discs & around & (_apart(hue, COLOURS[joint]) <= HUE)
        if own.sum() >= 2:
            found[joint] = np.array([x[own].mean(), y[own].mean()])
    return found
