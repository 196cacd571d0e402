"""How a camera moves: the background of one frame laid onto that of another."""

from collections.abc import Sequence

import cv2
import numpy as np

from bunraku.perception.plate import grown

CORNERS, MIN_POINTS = 400, 6
TOLERANCE = 1.0  # pixels at 512 px by which background may lie beside where the motion says
AROUND = 0.02  # of the longest side: rim of people that is left out, for their edges move with them
ROUNDS, PRECISION, BLUR = 60, 1e-5, 5
EXPLAINED, SIMPLER = (
    0.8,
    0.9,
)  # of the difference between frames: what a motion may leave, and what makes a finer one worth it


def camera_motion(now: np.ndarray, then: np.ndarray, people: np.ndarray | None = None) -> np.ndarray | None:
    """The map that the background makes from one frame to another, found where there are no people.

    Corners are followed from one frame to the other and back, and most of them agree on a similarity. It is refined to an affine map on
    all pixels of the background, and found there alone where there are too few corners. The one that explains the next frame best is
    taken, the simpler one where they are alike.

    Args:
        now, then: uint8 (H, W, 3) RGB.
        people: bool (H, W), what is no background in either frame; None: nobody.

    Returns:
        float64 (3, 3), pixels to pixels, (0, 0) at the corner of the first pixel; None where nothing explains the next frame clearly
        better than rest does.

    Source: Lucas and Kanade's tracker with RANSAC; enhanced correlation coefficient, Evangelidis and Psarakis 2008.
    """
    side = max(now.shape[:2])
    usable = np.full(now.shape[:2], 255, np.uint8)
    if people is not None:
        usable[grown(people, AROUND)] = 0
    if not usable.any():
        return None
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (now, then)]
    motion = _by_corners(grey[0], grey[1], usable, TOLERANCE * side / 512)
    if motion is None or _unexplained(grey, usable, motion) > EXPLAINED * _unexplained(grey, usable, np.eye(3)):
        turned = _by_pixels(grey, usable, np.eye(3), cv2.MOTION_EUCLIDEAN)
        motion = motion if turned is None else turned
    if motion is None:
        return None
    fine = _by_pixels(grey, usable, motion, cv2.MOTION_AFFINE)
    if fine is not None and _unexplained(grey, usable, fine) < SIMPLER * _unexplained(grey, usable, motion):
        motion = fine
    found = _cornered(motion)
    clear = _unexplained(grey, usable, motion) <= EXPLAINED * _unexplained(grey, usable, np.eye(3))
    return found if clear or rests(found, now.shape[:2]) else None


def _unexplained(grey: Sequence[np.ndarray], usable: np.ndarray, motion: np.ndarray) -> float:
    """Mean difference of grey levels between the first picture and the second laid onto it, on the usable pixels."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpPerspective(grey[1].astype(np.float32), motion, usable.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return float(np.abs(laid - grey[0])[usable > 0].mean())


def _by_pixels(grey: Sequence[np.ndarray], usable: np.ndarray, start: np.ndarray, kind: int) -> np.ndarray | None:
    """Map (3, 3) between pixel centres of two grey pictures that starts from another; None where it does not converge."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ROUNDS, PRECISION)
    try:
        _, warp = cv2.findTransformECC(grey[0], grey[1], start[:2].astype(np.float32), kind, criteria, usable, BLUR)
    except cv2.error:
        return None
    return np.vstack([warp, (0, 0, 1)]).astype(np.float64)


def _by_corners(now: np.ndarray, then: np.ndarray, usable: np.ndarray, tolerance: float) -> np.ndarray | None:
    """Similarity (3, 3) between pixel centres that most corners of two grey pictures agree on, None without agreement."""
    points = cv2.goodFeaturesToTrack(now, CORNERS, 0.01, 5, mask=usable)
    if points is None or len(points) < MIN_POINTS:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(now, then, points, None)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(then, now, there, None)  # type: ignore[call-overload]
    good = (found[:, 0] > 0) & (returned[:, 0] > 0) & (np.linalg.norm(back - points, axis=-1)[:, 0] < tolerance)
    if good.sum() < MIN_POINTS:
        return None
    cv2.setRNGSeed(0)
    motion, held = cv2.estimateAffinePartial2D(points[good], there[good], ransacReprojThreshold=tolerance)
    if motion is None or held.sum() < max(MIN_POINTS, 0.3 * good.sum()):
        return None
    return np.vstack([motion, (0, 0, 1)])


def _cornered(motion: np.ndarray) -> np.ndarray:
    """A map between pixel centres, as OpenCV counts, as one between points counted from the corner of the first pixel."""
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(shift @ motion @ np.linalg.inv(shift))


def motion_flow(motion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where a map (3, 3) takes the pixels of a picture of (height, width): float32 (H, W, 2), x first."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    points = np.stack([x, y, np.ones_like(x)], -1) @ motion.T
    return np.asarray(points[..., :2] / points[..., 2:] - np.stack([x, y], -1), np.float32)


def rests(motion: np.ndarray, size: tuple[int, int], tolerance: float = 0.25) -> bool:
    """Whether a map (3, 3) moves no corner of a picture of (height, width) by more than `tolerance` pixels."""
    corners = np.array([(0, 0, 1), (size[1], 0, 1), (0, size[0], 1), (size[1], size[0], 1)], float)
    moved = corners @ motion.T
    return bool(np.abs(moved[:, :2] / moved[:, 2:] - corners[:, :2]).max() <= tolerance)
