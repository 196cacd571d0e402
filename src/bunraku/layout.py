"""Layout: where the reference and the driving poses lie on the picture that the model paints, and what of it is the output."""

import logging
import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.retarget import retarget_people
from bunraku.media import Affine, fit, placement
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

Fitting = Literal["auto", "letterbox", "crop"]
Retarget = Literal["full", "align", "fit", "off"]
Box = tuple[int, int, int, int]
"""top, bottom, left, right in pixels."""

MULTIPLE = 8  # pixels per latent
BLUR = 1 / 32  # of the longer side


@dataclass(frozen=True)
class Layout:
    """A canvas with the reference on it.

    Attributes:
        canvas: (height, width) that the model paints.
        transform: from pixels of the reference to pixels of the canvas.
        reference: the part of the canvas that the reference covers.
        output: the part of the canvas that is written.
        fit: how pictures of another shape are brought into a box, "letterbox" or "crop".
    """

    canvas: tuple[int, int]
    transform: Affine
    reference: Box
    output: Box
    fit: Literal["letterbox", "crop"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the output."""
        top, bottom, left, right = self.output
        return bottom - top, right - left

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The output's part of frames (..., H, W, 3) of the canvas."""
        top, bottom, left, right = self.output
        return frames[..., top:bottom, left:right, :]

    def picture(self, image: np.ndarray) -> np.ndarray:
        """The reference on the canvas, uint8 (H, W, 3). What it leaves free continues its edges, blurred: bars of one
        colour would be taken for a part of the scene."""
        top, bottom, left, right = self.reference
        height, width = self.canvas
        covered = (top, bottom, left, right) == (0, height, 0, width)
        inner = fit(image, self.canvas, "crop" if covered else "letterbox")[0][top:bottom, left:right]
        wide = cv2.copyMakeBorder(inner, top, height - bottom, left, width - right, cv2.BORDER_REPLICATE)
        blurred = cv2.GaussianBlur(wide, (0, 0), BLUR * max(self.canvas))
        blurred[top:bottom, left:right] = inner
        return blurred

    def track(self, track: PoseTrack) -> PoseTrack:
        """Poses in pixels of the reference, on the canvas."""
        return PoseTrack(self.transform.points(track.keypoints), track.scores, self.canvas)

    def poses(self, cues: Cues, reference: PoseTrack | None, method: Retarget) -> PoseTrack | np.ndarray:
        """The driving poses on the canvas: keypoints, or drawn skeletons uint8 (F, H, W, 3).

        "full", "align" and "fit" are those of `cues.retarget`, person by person. "off", drawn skeletons, and any method
        without a reference pose put the driving picture where the reference is.
        """
        top, bottom, left, right = self.reference
        box = bottom - top, right - left
        if cues.pose is None:
            skeletons = np.zeros((len(cues), *self.canvas, 3), np.uint8)
            skeletons[:, top:bottom, left:right], _ = fit(cues.skeleton, box, self.fit, (0, 0, 0))  # type: ignore[arg-type]
            return skeletons
        if method == "off" or reference is None:
            points = placement(cues.size, box, self.fit).points(cues.pose.keypoints) + np.array([left, top], np.float32)
            return PoseTrack(points, cues.pose.scores, self.canvas)
        return self.track(retarget_people(cues.pose, reference, method))


def lay_out(
    reference: tuple[int, int],
    model: tuple[int, int],
    *,
    any_size: bool,
    fitting: Fitting = "auto",
    size: tuple[int, int] | None = None,
    multiple: int = MULTIPLE,
) -> Layout:
    """Choose the canvas and the output's part of it.

    Args:
        reference: (height, width) of the picture.
        model: (height, width) that the model was trained at.
        any_size: whether the model serves other sizes as well.
        fitting: "letterbox", "crop", or "auto": a model for any size gets a canvas of its own area with the reference's
            aspect ratio, others letterbox.
        size: (height, width) of canvas and output, rounded to multiples of `multiple`. None: the canvas is the model's size, and
            what letterboxing added is cut off again.
        multiple: of pixels that the model paints.
    """
    own_shape = fitting == "auto" and size is None and any_size
    if own_shape:
        factor = math.sqrt(math.prod(model) / math.prod(reference))
        size = round(reference[0] * factor), round(reference[1] * factor)
    canvas = _rounded(size, multiple, logging.INFO if own_shape else logging.WARNING) if size else model
    mode: Literal["letterbox", "crop"] = "crop" if fitting == "crop" or own_shape else "letterbox"
    transform = placement(reference, canvas, mode)
    corners = np.rint(transform.points(np.array([(0, 0), reference[::-1]], float)))
    (left, top), (right, bottom) = np.clip(corners, 0, canvas[::-1]).astype(int).tolist()
    if size:
        output = (0, canvas[0], 0, canvas[1])
    else:  # even, as video codecs want it
        output = (top, min(bottom + (bottom - top) % 2, canvas[0]), left, min(right + (right - left) % 2, canvas[1]))
    return Layout(canvas, transform, (top, bottom, left, right), output, "crop" if fitting == "crop" else "letterbox")


def _rounded(size: tuple[int, int], multiple: int, level: int) -> tuple[int, int]:
    height, width = (max(32, multiple * round(side / multiple)) for side in size)
    if (height, width) != tuple(size):
        logger.log(
            level, "the size %dx%d is rounded to %dx%d (height x width): the model paints multiples of %d pixels",
            *size, height, width, multiple,
        )  # fmt: skip
    return height, width
