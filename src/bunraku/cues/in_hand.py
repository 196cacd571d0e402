"""Things in hand: where the character's hands are elsewhere than the driver's, what these hold goes along."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from bunraku.cues.cues import Cues
from bunraku.media.frames import Pictures
from bunraku.media.images import resize
from bunraku.perception.plate import fill
from bunraku.perception.pose import SEEN, PoseTrack

HANDS = ((3, 4), (6, 7))
"""Elbow and wrist, right and left."""
REACH = 0.8
"""Lower arms from the wrist to a thing that the hand may hold."""
HELD = 0.6
"""A hand holds things if it is that near to one in so many of the frames that show any."""
STANDING = 0.9
"""A pixel that shows a thing in so many frames is a part of the scene, unless it is in a hand's reach."""
CALM = 0.05
"""Seconds, sigma over which the way from hand to hand is averaged: where a detector shakes, the thing does not."""
APART = 0.005
"""Of the longest side: hands nearer than this are at the same place."""
PALM, WIDE = 0.3, 1.5
"""Of the lower arm: so far beyond the wrist is the middle of the hand, and so wide may be what it hides of a thing."""
END = 5
"""Pixels round the end of a piece within which its thickness is looked for."""
SPECK, PIECES = 16, 8
"""Pixels of the smallest piece of a thing, and the most pieces in a frame."""


@dataclass(frozen=True, eq=False)
class InHand:
    """What one hand holds, or both together.

    Attributes:
        seen: uint8 (F, h, w), 255 where it is seen in the clip.
        whole: uint8 (F, h, w), with what the driver's fingers, or anything else of the driver, may hide of it.
        moves: float32 (F, 2), by how many pixels of the clip it goes along, x first.
        size: (height, width) of the clip.
    """

    seen: np.ndarray
    whole: np.ndarray
    moves: np.ndarray
    size: tuple[int, int]

    def moved(self, frame: int, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W) or (H, W, C) of a frame of the clip, as much aside as its things go."""
        height, width = picture.shape[:2]
        x, y = self.moves[frame] * (width / self.size[1], height / self.size[0])
        return np.asarray(cv2.warpAffine(picture, np.array([[1, 0, x], [0, 1, y]], np.float32), (width, height)))

    def over(self, frame: int, picture: np.ndarray, ground: np.ndarray, *, whole: bool = False) -> np.ndarray:
        """Its part of a frame of the clip, uint8 (H, W, 3), before another picture of that shape, where it is moved to.

        Args:
            whole: what is hidden of it is shown as well, in the colours round it.
        """
        seen, mask = (resize(one[frame][..., None], picture.shape[:2])[..., 0] for one in (self.seen, self.whole))
        if not (seen >= 128).any():
            return ground
        if whole:
            x, y, width, height = cv2.boundingRect(mask)
            box = np.s_[y : y + height, x : x + width]
            picture = picture.copy()
            picture[box] = fill(picture[box], seen[box] < 128)
        share = self.moved(frame, (mask if whole else seen).astype(np.float32) / 255)[..., None]
        return np.rint(share * self.moved(frame, picture) + (1 - share) * ground).astype(np.uint8)


def in_hand(objects: np.ndarray, figure: np.ndarray, driving: PoseTrack, poses: PoseTrack, fps: float) -> list[InHand]:
    """The things that go along with hands; none where the character's hands are where the driver's are.

    A thing is what hangs together in a frame. It goes with the hand that holds it, the nearer one of two, or, within reach of both, by the
    mean of their ways. What stands in the scene, and what no hand holds through most of the clip (a ball that is thrown), stays.

    Args:
        objects: uint8 (F, h, w), at least 128 where a thing is.
        figure: bool (F, h, w), where the driver is seen.
        driving: (F, 1, K), who holds them, in pixels of the clip.
        poses: (F, 1, K), the character's there; F frames of the same joints.
        fps: frames per second.

    Source: choice. Animate Anyone 2 shows things where the driver has them, and leaves it to the networks that the character's hand is elsewhere.
    """
    shown = objects >= 128
    if driving.people != 1 or poses.people != 1 or not shown.any():
        return []
    standing = np.asarray(shown.mean(0) > STANDING)
    spots = np.stack([_spots(mask) for mask in shown])
    scale = np.array([objects.shape[2] / driving.size[1], objects.shape[1] / driving.size[0]])
    arms = [driving.keypoints[:, 0, list(hand)] * scale for hand in HANDS]
    there = [np.asarray((driving.scores[:, 0, list(hand)] >= SEEN).all(1)) for hand in HANDS]
    lower = max(
        (np.median(np.linalg.norm(arm[ok, 1] - arm[ok, 0], axis=-1)) for arm, ok in zip(arms, there) if ok.any()),
        default=0,
    )
    near = [_near(spots, arm, ok, max(REACH * lower, 1)) for arm, ok in zip(arms, there)]
    ways = [_way(driving, poses, wrist, fps) for _, wrist in HANDS]
    frames = np.flatnonzero(shown.any((1, 2)))
    hands = [k for k in range(2) if np.isfinite(ways[k]).all() and (near[k][frames].min(1) < 1).mean() >= HELD]
    found: dict[tuple[int, ...], np.ndarray] = {}
    for frame in frames if hands else []:
        for number in range(1, int(spots[frame].max()) + 1):
            spot, distances = spots[frame] == number, {k: near[k][frame, number] for k in hands}
            within = tuple(k for k in hands if distances[k] < 1)
            if within or standing[spot].mean() <= 0.5:
                key = within or (min(hands, key=lambda k: distances[k]),)
                found.setdefault(key, np.zeros(objects.shape, np.uint8))[frame][spot] = 255
    things = [
        InHand(seen, _whole(seen, figure, WIDE * lower), np.mean([ways[k] for k in key], 0), driving.size)
        for key, seen in found.items()
    ]
    return things if any(_moves(thing.moves, driving.size) for thing in things) else []


def hands_apart(driving: PoseTrack, poses: PoseTrack, fps: float) -> bool:
    """Whether the character's hands are elsewhere than the driver's; arguments as of `in_hand`."""
    return any(_moves(_way(driving, poses, wrist, fps), driving.size) for _, wrist in HANDS)


def _moves(way: np.ndarray, size: tuple[int, int]) -> bool:
    return bool(np.abs(way).max() > APART * max(size))


def _spots(shown: np.ndarray) -> np.ndarray:
    """What hangs together in a mask (h, w): uint8, the numbers of its largest pieces from 1."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(shown.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = [i for i in np.argsort(-areas)[:PIECES] if areas[i] >= SPECK]
    numbers = np.zeros(len(stats), np.uint8)
    numbers[np.array(order, int) + 1] = np.arange(1, len(order) + 1)
    return numbers[labels]


def _near(spots: np.ndarray, arm: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """Distances (F, PIECES + 1) of the pieces (F, h, w) from a hand, as shares of its reach; infinite where there is none, or no hand.

    Args:
        arm: (F, 2, 2), elbow and wrist in their pixels.
        known: bool (F,), where the hand is.
    """
    near = np.full((len(spots), PIECES + 1), np.inf)
    middle = arm[:, 1] + PALM * (arm[:, 1] - arm[:, 0])
    for frame in np.flatnonzero(known):
        for number in range(1, int(spots[frame].max()) + 1):
            away = np.argwhere(spots[frame] == number)[:, ::-1] - middle[frame]
            near[frame, number] = np.linalg.norm(away, axis=-1).min() / reach
    return near


def _whole(seen: np.ndarray, figure: np.ndarray, hand: float) -> np.ndarray:
    """What is seen of a thing, uint8 (F, h, w), and what the figure hides of it: dents, and the rod between two pieces, as wide as a hand
    of so many pixels."""
    whole, rim, reach = seen.copy(), np.ones((3, 3), np.uint8), max(1.0, hand / 2)
    for now, hider in zip(whole, figure.astype(np.uint8)):
        if now.any():
            x, y, width, height = cv2.boundingRect(now)
            box = np.s_[y : y + height, x : x + width]
            filled = _closed(now[box], reach) | (_joined(now[box], hand) > 0)
            now[box][filled & (cv2.dilate(hider[box], rim) > 0)] = 255
    return whole


def _closed(mask: np.ndarray, reach: float) -> np.ndarray:
    """bool (h, w): a mask, uint8 (h, w), and all that no disc of radius `reach` pixels comes to without touching it."""
    free, margin = mask == 0, int(np.ceil(reach)) + 2
    outside = np.pad(free, margin, constant_values=True).astype(np.uint8)
    near = (cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach).astype(np.uint8)
    closed = cv2.distanceTransform(near, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > reach
    return np.asarray(closed[margin:-margin, margin:-margin] | ~free)


def _joined(mask: np.ndarray, gap: float) -> np.ndarray:
    """A mask, uint8 (h, w), whose pieces are joined to the largest one, over no more than a gap, as thick as they are there."""
    spots, joined = _spots(mask > 0), mask.copy()
    thick = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rims = [np.argwhere((spots == i) & (thick < 2)) for i in range(1, int(spots.max()) + 1)]
    for rim in rims[1:]:
        away, nearest = cKDTree(rims[0]).query(rim)
        at = int(away.argmin())
        if away[at] <= gap:
            one, other = (end[::-1].tolist() for end in (rim[at], rims[0][nearest[at]]))
            near = [cv2.circle(np.zeros_like(mask), end, END, 255, -1) > 0 for end in (one, other)]
            width = 2 * min(float(thick[ring].max()) for ring in near)
            cv2.line(joined, one, other, 255, max(1, round(width)))
    return joined


def _way(driving: PoseTrack, poses: PoseTrack, wrist: int, fps: float) -> np.ndarray:
    """From the driver's hand to the character's, float32 (F, 2), between the frames in which both are seen interpolated; NaN: they never are."""
    both = np.asarray((driving.scores[:, 0, wrist] >= SEEN) & (poses.scores[:, 0, wrist] >= SEEN))
    known = np.flatnonzero(both)
    if not len(known):
        return np.full((len(both), 2), np.nan, np.float32)
    ways = (poses.keypoints[:, 0, wrist] - driving.keypoints[:, 0, wrist])[known]
    way = np.stack([np.interp(np.arange(len(both)), known, axis) for axis in ways.T], -1).astype(np.float32)
    return gaussian_filter1d(way, CALM * fps, axis=0, mode="nearest")


@dataclass(frozen=True, eq=False)
class Carried:
    """Frames in which things are where the character's hands are.

    Attributes:
        ground: without them.
        pixels: of the clip, which show them.
        things: of `in_hand`.
        whole: see `InHand.over`.
    """

    ground: Pictures
    pixels: Pictures
    things: Sequence[InHand]
    whole: bool = False

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        grounds, pictures = np.asarray(self.ground[list(frames)]), np.asarray(self.pixels[list(frames)])
        return np.stack(
            [over(self.things, *each, whole=self.whole) for each in zip(frames, pictures, grounds, strict=True)]
        )


def over(
    things: Sequence[InHand], frame: int, picture: np.ndarray, ground: np.ndarray, *, whole: bool = False
) -> np.ndarray:
    """Things before a picture, see `InHand.over`."""
    return reduce(lambda made, thing: thing.over(frame, picture, made, whole=whole), things, ground)


def carried(cues: Cues, things: Sequence[InHand], ground: Pictures) -> Cues:
    """Cues with pixels and objects whose things are where the character's hands are; `ground`: the frames without them."""
    if not things or cues.pixels is None:
        return cues
    objects = cues.maps["objects"].copy()
    for thing in things:
        objects[thing.seen > 0] = 0
    for thing in things:
        for frame, mask in enumerate(thing.seen):
            objects[frame] = np.maximum(objects[frame], thing.moved(frame, mask))
    return replace(cues, maps=cues.maps | {"objects": objects}, pixels=Carried(ground, cues.pixels, things))
