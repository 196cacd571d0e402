"""The reference: the picture of the character, and its pose: given in a file, found beside the picture, or detected in it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from bunraku.animate.gallery import of_gallery
from bunraku.animate.options import MotionOptions
from bunraku.cues.identity import read_mattes
from bunraku.cues.openpose_json import read_openpose_json, sidecar
from bunraku.cues.perceive import people_in_words
from bunraku.cues.plausible import doubts
from bunraku.cues.retarget import MIRROR, turned_to_the_camera
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.media import read_image, resize, write_image
from bunraku.perception.detector import DetectorName, PoseDetector, create_pose_detector
from bunraku.perception.matte import alpha_channel
from bunraku.perception.pose import BODY, LEFT_HAND, RIGHT_HAND, SEEN, PoseTrack, together

logger = logging.getLogger(__name__)

COPIES = ((128, 0.0), (256, 0.25), (512, 0.25), (512, 0.5))
"""Longer side in pixels and margin around it, as a share of that side, of the copies that are tried."""

CLEAR = 0.9  # mean score of the body joints that needs no second look
SAME_WRIST = 0.1  # of a body: how far apart one wrist may be seen in two copies of a picture
STEADY = 0.2  # in trunks: the mirrored picture's pose is no farther off where a figure was understood
MIN_JOINTS = 8  # of the body; fewer place no character


@dataclass(frozen=True)
class Reference:
    """A reference that was opened and found usable; nothing slow has happened yet.

    Attributes:
        path: what the user gave.
        image: uint8 (H, W, 3) RGB.
        known_people: the poses of everybody in it, (1, P, K) in pixels of the image, if a file gives them.
        pose_file: that file.
        matte: how much of every pixel is covered, 255 wholly: uint8 (H, W) by anybody, or (P, H, W) by each of the known people; None:
            nothing says so.
        mask_file: the file of its own that the matte was read from.
        beside: pictures of further characters, who are to stand beside these (`compose.composed`).
        views: further pictures of the same character.
        doubtful: picture to write of a pose that is doubtful; None: none is written.
    """

    path: Path
    image: np.ndarray
    known_people: PoseTrack | None = None
    pose_file: Path | None = None
    matte: np.ndarray | None = None
    mask_file: Path | None = None
    beside: "tuple[Reference, ...]" = ()
    views: "tuple[Reference, ...]" = ()
    doubtful: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def files(self) -> list[Path]:
        """What is read, and must not be written to."""
        own = [file for file in (self.path, self.pose_file, self.mask_file) if file is not None]
        return [*own, *(file for other in (*self.beside, *self.views) for file in other.files)]

    def known_pose(self, options: MotionOptions) -> PoseTrack | None:
        """The pose of the one person of the options, (1, 1, K), if a file gives it."""
        return None if self.known_people is None else _chosen(self.known_people, self.path, options.reference_person)

    def pose(self, options: MotionOptions) -> PoseTrack:
        """The pose of the one person of the options, (1, 1, K): the known one, or else the one that is detected now.

        Raises:
            BunrakuError: nobody is found.
        """
        pose = self.known_pose(options)
        if pose is None:
            pose = reference_pose(self.image, self.path, options.detector, options.device, options.reference_person)
        self.tell_doubts(pose, options)
        return pose

    def people(self, options: MotionOptions) -> PoseTrack:
        """The poses of everybody, (1, P, K): the known ones, or else those that are detected now, the largest first.

        Raises:
            BunrakuError: nobody is found.
        """
        if self.known_people is not None:
            return self.known_people
        most = max(2, options.max_people, *(character + 1 for character, _ in options.pairs or ()))
        most = max(most, options.reference_person + 1)
        return people_of(self.image, self.path, options.detector, options.device, most)

    def matte_of(self, people: Sequence[int]) -> np.ndarray | None:
        """The matte of some people: uint8 (H, W) of all together, or (len(people), H, W).

        Raises:
            BunrakuError: it does not show one of them.
        """
        if self.matte is not None and not self.shows(max(people)):
            raise BunrakuError(
                f"the mask shows {len(self.matte)} people, and person {max(people)} of {self.path} is to be moved (--mask)"
            )
        return self.matte if self.matte is None or self.matte.ndim == 2 else self.matte[list(people)]

    def shows(self, person: int) -> bool:
        """Whether a matte of each of the people, if there is one, has one of this person."""
        return self.matte is None or self.matte.ndim == 2 or person < len(self.matte)

    def tell_doubts(self, pose: PoseTrack, options: MotionOptions) -> None:
        """Warn of what is doubtful in the pose of one person, (1, 1, K)."""
        if turned := turned_to_the_camera(pose):
            logger.warning(
                "the %s in %s are far shorter than a person's: they are taken to point at the camera, and retargeting gives "
                "them a person's length",
                " and ".join(turned), self.path,
            )  # fmt: skip
        if found := self._doubts(pose, options):
            shown = f"`bunraku retarget {self.path} DRIVING -o pose.png` draws it"
            if self.doubtful:
                write_image(self.doubtful, np.maximum(self.image // 3, draw_skeleton(pose, self.size)[0]))
                shown = f"{self.doubtful} shows it"
            logger.warning(
                "the pose of %s is doubtful: %s; %s; mend it where it is wrong (`bunraku perceive %s` writes it as a file for "
                "--reference-pose)",
                self.path, "; ".join(found), shown, self.path,
            )  # fmt: skip

    def _doubts(self, pose: PoseTrack, options: MotionOptions) -> list[str]:
        found = doubts(pose)
        if self.known_people is None:
            with closing(
                create_pose_detector(options.detector, max_people=2, device=options.device, video=False)
            ) as opened:
                if mirrored_distance(self.image, pose, opened) > STEADY:
                    found.append("in the mirrored picture the detector sees another one")
        return found


def open_reference(path: str | Path, options: MotionOptions = MotionOptions()) -> Reference:
    """Read a picture, its matte from its transparency or from NAME.mask.png beside it, and its pose from the file of the options or from
    NAME.pose.json beside it, where there are any; and the pictures that the options give beside it, each with what lies beside it.
    `gallery:KEY` is a character of the gallery.

    Raises:
        BunrakuError: not a picture, too small, or a pose or a mask that is not of this picture.
    """
    path = of_gallery(Path(path))
    known_at, mask = sidecar(path), path.with_suffix(".mask.png")
    image = read_image(path)
    file = options.reference_pose
    if file is None and known_at.is_file():
        file = known_at
        logger.info("the pose of the reference is read from %s", file)
    known = None if file is None else read_people(file, image.shape[:2])
    if known is not None:
        _check_person(known, file, options.reference_person)  # type: ignore[arg-type]
    alone = replace(options, reference_pose=None, references=(), views=(), reference_person=0)
    beside, views = (
        tuple(open_reference(other, alone) for other in more) for more in (options.references, options.views)
    )
    whole = Reference(path, image, known, file, alpha_channel(path), beside=beside, views=views)
    if whole.matte is not None or not mask.is_file():
        return whole
    logger.info("the mask of the reference is read from %s", mask)
    matte = read_mattes(mask, image.shape[:2], "it lies beside the picture")
    return replace(whole, matte=matte, mask_file=mask)


def read_people(path: Path, size: tuple[int, int]) -> PoseTrack:
    """The poses of everybody in an OpenPose JSON file, (1, P, K) in pixels of a picture of `size` (height, width).

    Raises:
        BunrakuError: not one OpenPose JSON frame, nobody in it, somebody without a neck, or a canvas of another shape.
    """
    if path.is_dir():
        raise BunrakuError(f"{path} is a folder; the pose of a reference is one OpenPose JSON file")
    track = read_openpose_json(path, size)
    if abs(track.size[0] * size[1] - track.size[1] * size[0]) > 0.02 * track.size[0] * size[1]:
        raise BunrakuError(
            f"{path} is for a picture of {track.size[1]}x{track.size[0]} px, the reference has {size[1]}x{size[0]}: the "
            "pose belongs to another picture; make it again or remove it"
        )
    usable = [i for i in range(track.people) if _usable(track.person(i)[:1])]
    if not usable:
        raise BunrakuError(f"{path} shows no person with at least {MIN_JOINTS} body joints, the neck among them")
    return PoseTrack(track.keypoints[:1, usable], track.scores[:1, usable], track.size).scaled(size)


def detect_people(image: np.ndarray, detector: PoseDetector) -> PoseTrack | None:
    """Everybody in a picture, uint8 (H, W, 3), the largest first; (1, P, 134), or None where nobody is found.

    Detectors are made for photographs. Drawn characters are often found in a smaller copy or in one with more room around
    it, so unless the picture itself gives a clear answer several copies are looked at, and the highest mean score of the
    largest person's body joints decides. (On 48 theatre puppets MediaPipe was right for 30 as they are, and for 36 this way.)
    """
    best: list[PoseTrack] = []
    seen: list[PoseTrack] = []
    for copy, scale, margin in _copies(image):
        found = detector(copy)
        people = PoseTrack((found.keypoints[None] - margin) / np.float32(scale), found.scores[None], image.shape[:2])
        usable = [people.person(i) for i in range(people.people) if _usable(people.person(i))]
        seen += usable
        largest_first = sorted(usable, key=_extent, reverse=True)
        if largest_first and (not best or _clarity(largest_first[0]) > _clarity(best[0])):
            best = largest_first
        if best and _clarity(best[0]) >= CLEAR:
            break
    if not best:
        return None
    return together([_with_hands(person, seen) for person in best])


def mirrored_distance(image: np.ndarray, pose: PoseTrack, detector: PoseDetector) -> float:
    """How far the joints of a detected pose, (1, 1, 134), are from those in the mirrored picture, on average in trunks.

    A detector that understands a figure sees the same pose in its mirror image. (Of 40 theatre puppets, which are far from
    photographs, it was above 0.2 for 8 of 14 that were detected wrongly and for 2 of 20 right ones; photographs have 0.02.)
    """
    seen = detect_people(np.ascontiguousarray(image[:, ::-1]), detector)
    body = pose.keypoints[0, 0, BODY]
    trunk = float(np.linalg.norm(body[1] - body[[8, 11]].mean(0)))
    distances = [np.inf]
    for person in range(seen.people if seen is not None else 0):
        points = seen.keypoints[0, person, BODY][MIRROR] * (-1, 1) + (image.shape[1], 0)  # type: ignore[union-attr]
        scores = np.minimum(seen.scores[0, person, BODY][MIRROR], pose.scores[0, 0, BODY])  # type: ignore[union-attr]
        limbs = [joint for joint in range(2, 14) if scores[joint] >= SEEN]
        if limbs:
            distances.append(float(np.linalg.norm(points - body, axis=-1)[limbs].mean()) / max(trunk, 1e-6))
    return min(distances)


def people_of(
    image: np.ndarray, path: Path, detector: DetectorName = "auto", device: str | None = None, most: int = 2
) -> PoseTrack:
    """As `detect_people` with a new detector for stills; nobody is an error that names `path` and the ways out."""
    with closing(create_pose_detector(detector, max_people=most, device=device, video=False)) as opened:
        track = detect_people(image, opened)
        if track is None:
            raise BunrakuError(
                f"no person was found in the reference {path} (detector: {opened.name}); use a picture that shows one whole "
                f"figure, or give its pose as OpenPose JSON (--reference-pose FILE, or {sidecar(path).name} beside it; "
                f"`bunraku perceive {path.name} --draft` writes one to be moved by hand)"
            )
    return track


def reference_pose(
    image: np.ndarray, path: Path, detector: DetectorName = "auto", device: str | None = None, person: int = 0
) -> PoseTrack:
    """One of `people_of`, (1, 1, 134); says whom there is to choose from."""
    people = people_of(image, path, detector, device, max(2, person + 1))
    return _chosen(people, path, person)


def _check_person(track: PoseTrack, path: Path, person: int) -> None:
    if person >= track.people:
        raise BunrakuError(
            f"there is no person {person} in {path} (--reference-person): {track.people} found, counted from 0, the largest first"
        )


def _chosen(track: PoseTrack, path: Path, person: int) -> PoseTrack:
    _check_person(track, path, person)
    if track.people > 1:
        logger.info(
            "%d people are in %s: %s. Person %d is moved; --reference-person chooses another",
            track.people, path, people_in_words(track[:1]), person,
        )  # fmt: skip
    return track.person(person)[:1]


def _copies(image: np.ndarray) -> Iterator[tuple[np.ndarray, float, int]]:
    """The picture, then copies: pixels, their scale, and the margin that was added in pixels."""
    yield image, 1.0, 0
    for side, share in COPIES:
        scale = side / max(image.shape[:2])
        size = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
        margin = round(share * side)
        yield (
            cv2.copyMakeBorder(resize(image, size), margin, margin, margin, margin, cv2.BORDER_REPLICATE),
            scale,
            margin,
        )


def _usable(pose: PoseTrack) -> bool:
    seen = pose.scores[0, 0, BODY] >= SEEN
    return bool(seen[1] and seen.sum() >= MIN_JOINTS)


def _with_hands(person: PoseTrack, sights: Sequence[PoseTrack]) -> PoseTrack:
    """A person, (1, 1, 134), with the hands that other `sights` of the same picture show at the same wrists, where this one shows none."""
    keypoints, scores = person.keypoints.copy(), person.scores.copy()
    for wrist, hand in ((4, RIGHT_HAND), (7, LEFT_HAND)):
        for other in sights:
            away = np.linalg.norm(other.keypoints[0, 0, wrist] - keypoints[0, 0, wrist])
            if not scores[0, 0, hand].any() and other.scores[0, 0, hand].all() and away < SAME_WRIST * _extent(person):
                keypoints[0, 0, hand], scores[0, 0, hand] = other.keypoints[0, 0, hand], other.scores[0, 0, hand]
    return PoseTrack(keypoints, scores, person.size)


def _clarity(pose: PoseTrack) -> float:
    return float(pose.scores[0, 0, BODY].mean())


def _extent(pose: PoseTrack) -> float:
    return float(np.linalg.norm(np.ptp(pose.keypoints[0, 0, BODY][pose.scores[0, 0, BODY] >= SEEN], axis=0)))
