"""Drawn skeletons: a PoseTrack as the coloured stick figures that pose-conditioned networks are trained on."""

from colorsys import hsv_to_rgb
from typing import Literal

import cv2
import numpy as np

from bunraku.perception.pose import FACE, HAND_BONES, LEFT_HAND, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

LIMBS = np.array(
    [
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
        (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
    ]
)  # fmt: skip
"""The 17 limbs in drawing order; limb i has colour i."""

COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
"""RGB colour of each of the 18 joints."""

LIMB_COLOURS = tuple(tuple(int(channel * 0.6) for channel in colour) for colour in COLOURS)
HAND_COLOURS = tuple(tuple(255 * channel for channel in hsv_to_rgb(bone / 20, 1, 1)) for bone in range(20))


def draw_skeleton(
    track: PoseTrack,
    size: tuple[int, int] | None = None,
    *,
    style: Literal["openpose", "dwpose"] = "openpose",
    line_width: float | None = None,
    threshold: float = SEEN,
    hands: bool = True,
    face: bool | None = None,
) -> np.ndarray:
    """Draw every person of every frame on black.

    Args:
        track: F frames of P people; hands and face are drawn where it has them (K = 134).
        size: (height, width) of the drawing; the poses are scaled to it. Default: the track's own size.
        style: both draw limbs as filled ellipses at 0.6 of the joint colour under full-colour joint discs, and hands
            as lines round the hue circle with blue joints; "dwpose" adds the face as white dots.
        line_width: half width of a limb and radius of a joint in pixels, rounded, at least 1. Default: the convention's
            4 px on a 512 px short side, in proportion. Hand lines are half as thick, face dots 3/4 as large.
        threshold: keypoints with a lower score are not drawn, nor are limbs that end in one.
        hands: draw hands.
        face: draw the face. Default: what the style does.

    Returns:
        uint8 (F, H, W, 3) RGB.

    Source: the drawing code of ControlNet (Zhang et al. 2023) and DWPose (Yang et al. 2023); at 512 px equal to it to
    the pixel.

    >>> scores = np.zeros((1, 1, 18), np.float32)
    >>> scores[0, 0, 1] = 1  # the neck, in the middle of the picture
    >>> drawn = draw_skeleton(PoseTrack(np.full((1, 1, 18, 2), 8, np.float32), scores, (16, 16)))
    >>> drawn.shape, drawn[0, 8, 8].tolist()
    ((1, 16, 16, 3), [255, 85, 0])
    """
    if style not in ("openpose", "dwpose"):
        raise ValueError(f"style is 'openpose' or 'dwpose', not {style!r}")
    height, width = size or track.size
    if (height, width) != track.size:
        track = track.scaled((height, width))
    radius = max(1, round(min(height, width) * 4 / 512 if line_width is None else line_width))
    points = track.keypoints.astype(np.float64)
    # coordinates beyond OpenCV's 16-bit drawing range (NaN included) cannot be drawn
    seen = (track.scores >= threshold) & (track.scores > 0) & (np.abs(points) < 2**15).all(-1)
    points = np.where(seen[..., None], points, 0)

    canvas = np.zeros((len(track), height, width, 3), np.uint8)
    _draw_limbs(canvas, points, seen, radius)
    _draw_dots(canvas, points[:, :, :18], seen[:, :, :18], radius, COLOURS)
    if track.keypoints.shape[2] == WHOLE_BODY:
        for hand in (LEFT_HAND, RIGHT_HAND) if hands else ():
            for person in range(track.people):
                at = np.s_[:, person : person + 1, hand]
                _draw_hand(canvas, points[at], seen[at], radius)
        if style == "dwpose" if face is None else face:
            _draw_dots(canvas, points[:, :, FACE], seen[:, :, FACE], int(0.75 * radius), ((255, 255, 255),) * 68)
    return canvas


def _draw_limbs(canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, radius: int) -> None:
    start, end = points[:, :, LIMBS[:, 0]], points[:, :, LIMBS[:, 1]]  # F P 17 2
    visible = np.all(seen[:, :, LIMBS], axis=-1)
    middle = ((start + end) / 2).astype(int)
    along = start - end
    half_length = (np.hypot(along[..., 0], along[..., 1]) / 2).astype(int)
    angle = np.degrees(np.arctan2(along[..., 1], along[..., 0])).astype(int)
    # limb by limb, then person by person: the order decides what lies on top where limbs cross
    for frame, limb, person in np.argwhere(visible.transpose(0, 2, 1)).tolist():
        at = (frame, person, limb)
        outline = cv2.ellipse2Poly(middle[at].tolist(), (int(half_length[at]), radius), int(angle[at]), 0, 360, 1)
        cv2.fillConvexPoly(canvas[frame], np.asarray(outline), LIMB_COLOURS[limb])


def _draw_dots(canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, radius: int, colours: tuple) -> None:
    pixels = points.astype(int)
    for frame, joint, person in np.argwhere(seen.transpose(0, 2, 1)).tolist():
        cv2.circle(canvas[frame], pixels[frame, person, joint].tolist(), radius, colours[joint], thickness=-1)


def _draw_hand(canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, radius: int) -> None:
    pixels = points.astype(int)
    visible = np.all(seen[:, :, HAND_BONES], axis=-1)  # F P 20
    for frame, person, bone in np.argwhere(visible).tolist():
        start, end = pixels[frame, person, HAND_BONES[bone]].tolist()
        cv2.line(canvas[frame], start, end, HAND_COLOURS[bone], thickness=max(1, radius // 2))
    _draw_dots(canvas, points, seen, radius, ((0, 0, 255),) * 21)
