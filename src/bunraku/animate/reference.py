"""The reference: the picture of the character, and its pose: given in a file, found beside the picture, or detected in it."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bunraku.animate.options import MotionOptions
from bunraku.cues.openpose_json import read_openpose_json, sidecar
from bunraku.errors import BunrakuError
from bunraku.media import read_image, resize
from bunraku.perception.detector import DetectorName, PoseDetector, create_pose_detector
from bunraku.perception.pose import BODY, PoseTrack

logger = logging.getLogger(__name__)

COPIES = ((128, 0.0), (256, 0.25), (512, 0.25), (512, 0.5))
"""Longer side in pixels and margin around it, as a share of that side, of the copies that are tried."""

CLEAR = 0.9  # mean score of the body joints that needs no second look
SEEN = 0.3
MIN_JOINTS = 8  # of the body; fewer place no character


@dataclass(frozen=True)
class Reference:
    """A reference that was opened and found usable; nothing slow has happened yet.

    Attributes:
        path: what the user gave.
        image: uint8 (H, W, 3) RGB.
        known_pose: its pose, (1, 1, K) in pixels of the image, if a file gives it.
    """

    path: Path
    image: np.ndarray
    known_pose: PoseTrack | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def pose(self, options: MotionOptions) -> PoseTrack:
        """The known pose, or else the one that is detected now.

        Raises:
            BunrakuError: nobody is found.
        """
        if self.known_pose is not None:
            return self.known_pose
        return reference_pose(self.image, self.path, options.detector, options.device)


def open_reference(path: str | Path, options: MotionOptions = MotionOptions()) -> Reference:
    """Read a picture, and its pose from the file of the options or from NAME.pose.json beside it, where there is one.

    Raises:
        BunrakuError: not a picture, too small, or a pose that is not of this picture.
    """
    path, beside = Path(path), sidecar(Path(path))
    image = read_image(path)
    file = options.reference_pose
    if file is None and beside.is_file():
        file = beside
        logger.info("the pose of the reference is read from %s", file)
    return Reference(path, image, None if file is None else read_pose(file, image.shape[:2]))


def read_pose(path: Path, size: tuple[int, int]) -> PoseTrack:
    """The pose of the first person in an OpenPose JSON file, (1, 1, K) in pixels of a picture of `size` (height, width).

    Raises:
        BunrakuError: not one OpenPose JSON frame, nobody in it, no neck, or a canvas of another shape.
    """
    if path.is_dir():
        raise BunrakuError(f"{path} is a folder; the pose of a reference is one OpenPose JSON file")
    track = read_openpose_json(path, size)
    if abs(track.size[0] * size[1] - track.size[1] * size[0]) > 0.02 * track.size[0] * size[1]:
        raise BunrakuError(
            f"{path} is for a picture of {track.size[1]}x{track.size[0]} px, the reference has {size[1]}x{size[0]}: the "
            "pose belongs to another picture; make it again or remove it"
        )
    if not track.people or not _usable(track.person(0)[:1]):
        raise BunrakuError(f"{path} shows no person with at least {MIN_JOINTS} body joints, the neck among them")
    return track.person(0)[:1].scaled(size)


def detect_pose(image: np.ndarray, detector: PoseDetector) -> PoseTrack | None:
    """The pose of the largest person in a picture, uint8 (H, W, 3); (1, 1, 134), or None where nobody is found.

    Detectors are made for photographs. Drawn characters are often found in a smaller copy or in one with more room around
    it, so unless the picture itself gives a clear answer several copies are looked at, and the highest mean score of the
    body joints decides. (On 48 theatre puppets MediaPipe was right for 30 as they are, and for 36 this way.)
    """
    best: PoseTrack | None = None
    for copy, scale, margin in _copies(image):
        found = detector(copy)
        people = PoseTrack((found.keypoints[None] - margin) / np.float32(scale), found.scores[None], image.shape[:2])
        candidates = [people.person(i) for i in range(people.people) if _usable(people.person(i))]
        if candidates:
            largest = max(candidates, key=_extent)
            if best is None or _clarity(largest) > _clarity(best):
                best = largest
            if _clarity(best) >= CLEAR:
                break
    return best


def reference_pose(
    image: np.ndarray, path: Path, detector: DetectorName = "auto", device: str | None = None
) -> PoseTrack:
    """As `detect_pose` with a new detector for stills; nobody is an error that names `path` and the ways out."""
    with closing(create_pose_detector(detector, max_people=2, device=device, video=False)) as opened:
        track = detect_pose(image, opened)
        if track is None:
            raise BunrakuError(
                f"no person was found in the reference {path} (detector: {opened.name}); use a picture that shows one whole "
                f"figure, or give its pose as OpenPose JSON (--reference-pose FILE, or {sidecar(path).name} beside it)"
            )
    return track


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


def _clarity(pose: PoseTrack) -> float:
    return float(pose.scores[0, 0, BODY].mean())


def _extent(pose: PoseTrack) -> float:
    return float(np.linalg.norm(np.ptp(pose.keypoints[0, 0, BODY][pose.scores[0, 0, BODY] >= SEEN], axis=0)))
