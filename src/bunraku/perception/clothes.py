"""The colours of people's clothes: what tells them apart when they cross, embrace, leave and come back."""

import cv2
import numpy as np

from bunraku.perception.pose import BODY, SEEN

SIDE = 320  # longest side in pixels at which colours are looked at
BINS = (4, 8, 8)  # of lightness, green to red, blue to yellow
REACH = 64  # of the two colour axes about grey, in units of CIELAB
COLOURS = int(np.prod(BINS))
"""Bins of one histogram."""


def clothes(frame: np.ndarray, keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Histograms of the colours on the trunk and on the legs of each person.

    Args:
        frame: uint8 (H, W, 3).
        keypoints: (P, 18 or more, 2) in pixels.
        scores: (P, 18 or more).

    Returns:
        float32 (P, 2, 256): trunk and legs; each sums to 1, or to 0 where that part is not seen.
    """
    result = np.zeros((len(keypoints), 2, COLOURS), np.float32)
    if not len(keypoints):
        return result
    factor = min(1.0, SIDE / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    bins = _bins(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
    points = keypoints[:, BODY] * np.array([size[0] / frame.shape[1], size[1] / frame.shape[0]])
    for person, (body, seen) in enumerate(zip(points, scores[:, BODY] >= SEEN)):
        for part, mask in enumerate(_parts(body, seen, small.shape[:2])):
            if mask.any():
                counts = np.bincount(bins[mask > 0], minlength=COLOURS)
                result[person, part] = counts / counts.sum()
    return result


def likeness(one: np.ndarray, other: np.ndarray) -> float | None:
    """How alike two people's clothes (2, 256) are, from 0 to 1; None where they show no part in common.

    Source: histogram intersection, Swain and Ballard, "Color Indexing" (1991).
    """
    common = (one.sum(-1) > 0) & (other.sum(-1) > 0)
    if not common.any():
        return None
    return float(np.minimum(one, other).sum(-1)[common].mean())


def _bins(lab: np.ndarray) -> np.ndarray:
    """int (H, W): the bin of each pixel's colour."""
    shares = np.stack([lab[..., 0] / 100, *((lab[..., i] + REACH) / (2 * REACH) for i in (1, 2))], -1)
    cells = (shares * BINS).astype(int).clip(0, np.array(BINS) - 1)
    return (cells[..., 0] * BINS[1] + cells[..., 1]) * BINS[2] + cells[..., 2]


def _parts(body: np.ndarray, seen: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (H, W): the middle of the trunk, and the thighs and shins."""
    trunk, legs = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    seen = seen & (np.abs(body) < 1e4).all(-1)  # OpenCV draws no further, nor to places that are not finite
    body = np.where(seen[:, None], body, 0)
    corners = body[[2, 5, 11, 8]]
    if seen[[2, 5, 11, 8]].all():
        inner = corners.mean(0) + 0.7 * (corners - corners.mean(0))
        cv2.fillConvexPoly(trunk, np.rint(inner).astype(np.int32), 1)
        width = np.linalg.norm(corners[:2].mean(0) - corners[2:].mean(0))
        # seen from the side the trunk has hardly a width between its joints
        top, bottom = np.rint([inner[:2].mean(0), inner[2:].mean(0)]).astype(int).tolist()
        cv2.line(trunk, top, bottom, 1, max(1, round(width / 6)))
    for start, end in ((8, 9), (9, 10), (11, 12), (12, 13)):
        if seen[start] and seen[end]:
            length = float(np.linalg.norm(body[end] - body[start]))
            ends = np.rint(body[[start, end]]).astype(int).tolist()
            cv2.line(legs, ends[0], ends[1], 1, max(1, round(length / 8)))
    return trunk, legs
