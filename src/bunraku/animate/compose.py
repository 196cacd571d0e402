"""Several stills, one per person, as one picture: the others are cut out and stand beside the people of the first."""

import logging
from dataclasses import replace

import cv2
import numpy as np

from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import Reference
from bunraku.cues.character_region import torso_lengths
from bunraku.perception.matte import create_segmenter, shared, still_mattes, unmixed
from bunraku.perception.pose import BODY, SEEN, PoseTrack, together

logger = logging.getLogger(__name__)

SEEN_FROM = 32
"""Of a matte: what covers less of a pixel takes no room."""

ENOUGH = 0.9
"""Share of a person's width that has to be free."""

Span = tuple[float, float]
"""Left and right in pixels."""


def composed(character: Reference, options: MotionOptions) -> Reference:
    """The reference with everybody who is to stand beside its people, in one picture; itself where nobody is.

    Each comes from a picture of their own, the largest person there: cut out, brought to the size of the first person by the lengths of their
    trunks, their feet on the same ground, in the widest free room to the left or right. They are numbered after the people of the
    first picture, in the order in which they are given.

    Raises:
        BunrakuError: nobody is found in one of the pictures, or somebody has no neck to be cut out by.
    """
    if not character.beside:
        return character
    people = character.people(options)
    mattes = _mattes(character, people)
    picture = character.image
    alone = replace(options, reference_pose=None, references=(), views=(), pairs=None, reference_person=0)
    for other in character.beside:
        found = other.people(alone)
        pose = found.person(0)
        alpha = _mattes(other, found)[0].astype(np.float32) / 255
        scale, shift = _placed(pose, alpha, people, [span for matte in mattes if (span := _span(matte))], other)
        figure, cover = _moved(unmixed(other.image, alpha), alpha, scale, shift, character.size)
        picture = np.rint(cover * figure + (1 - cover) * picture).astype(np.uint8)
        mattes = np.concatenate([
            np.rint((1 - cover[..., 0]) * mattes), np.rint(255 * cover[..., 0])[None]
        ]).astype(np.uint8)  # fmt: skip
        points = pose.keypoints * np.float32(scale) + shift.astype(np.float32)
        people = together([people, PoseTrack(points, pose.scores, character.size)])
        logger.info(
            "%s stands beside those of %s as person %d", other.path.name, character.path.name, people.people - 1
        )
    return replace(character, image=picture, known_people=people, matte=mattes, beside=())


def _mattes(still: Reference, people: PoseTrack) -> np.ndarray:
    """uint8 (P, H, W), how much each of the people of a still covers."""
    if still.matte is not None:
        return still.matte if still.matte.ndim == 3 else shared(still.matte / 255, people)
    return still_mattes(still.image, people, create_segmenter())


def _placed(
    pose: PoseTrack, alpha: np.ndarray, people: PoseTrack, taken: list[Span], other: Reference
) -> tuple[float, np.ndarray]:
    """From pixels of another still to those of the first: a scale, and then a shift (x, y)."""
    own, theirs = (float(torso_lengths(track)[0, 0]) for track in (pose, people))
    scale = theirs / own if np.isfinite(theirs / own) else _height(people) / _height(pose)
    left, right = _span(np.rint(255 * alpha).astype(np.uint8)) or (0.0, float(alpha.shape[1]))
    width = people.size[1]
    middle, room = _widest_room(taken, width)
    if room < ENOUGH * scale * (right - left):
        logger.warning(
            "there is little room for the person of %s: %d of %d pixels across; the people overlap, or hang over the edge. Take a wider "
            "picture as the first", other.path, room, round(scale * (right - left)),
        )  # fmt: skip
    x, y = middle - scale * (left + right) / 2, _ground(people) - scale * _ground(pose)
    return scale, np.array([x, y])


def _widest_room(taken: list[Span], width: int) -> tuple[float, float]:
    """Middle and width of the widest part of a picture in which nobody is.

    >>> _widest_room([(10, 30), (50, 60)], 100)
    (80.0, 40.0)
    """
    borders = [(0.0, 0.0), *sorted(taken), (float(width), float(width))]
    reached, rooms = 0.0, list[Span]()
    for left, right in borders:
        rooms.append((reached, left))
        reached = max(reached, right)
    left, right = max(rooms, key=lambda room: room[1] - room[0])
    return (left + right) / 2, right - left


def _span(matte: np.ndarray) -> Span | None:
    """The columns that a matte, uint8 (H, W), covers; None: none."""
    columns = np.flatnonzero((matte >= SEEN_FROM).any(0))
    return (float(columns[0]), float(columns[-1] + 1)) if len(columns) else None


def _seen(pose: PoseTrack) -> np.ndarray:
    """The body's joints that are seen of the first person, (N, 2)."""
    return pose.keypoints[0, 0, BODY][pose.scores[0, 0, BODY] >= SEEN]


def _ground(pose: PoseTrack) -> float:
    return float(_seen(pose)[:, 1].max())


def _height(pose: PoseTrack) -> float:
    return float(np.ptp(_seen(pose)[:, 1]))


def _moved(
    colours: np.ndarray, alpha: np.ndarray, scale: float, shift: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A figure's colours (H, W, 3) and what it covers (H, W) in a picture of `size`: float32 (H', W', 3) and (H', W', 1)."""
    smaller = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
    way = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    figure, cover = (cv2.resize(values, small, interpolation=smaller) for values in (colours, alpha))
    figure = cv2.warpAffine(figure, way, size[::-1], borderMode=cv2.BORDER_REPLICATE)
    return figure.astype(np.float32), cv2.warpAffine(cover, way, size[::-1])[..., None]
