"""The canvas: the picture that the model paints, where the reference and the driving poses lie on it, and what of it is written."""

import logging
import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from bunraku.animate.options import Fitting
from bunraku.cues.cues import Cues
from bunraku.cues.framing import framed, own_motion
from bunraku.cues.retarget import ANKLES, NECK, Method, Retarget, retarget_people
from bunraku.media import Affine, fit, placement
from bunraku.perception.pose import SEEN, PoseTrack, together

logger = logging.getLogger(__name__)

Box = tuple[int, int, int, int]
"""top, bottom, left, right in pixels."""
Mode = Literal["letterbox", "crop"]

MULTIPLE = 8  # pixels per latent
BLUR = 1 / 32  # of the longer side


@dataclass(frozen=True)
class Canvas:
    """A canvas with the reference on it.

    Attributes:
        size: (height, width) that the model paints.
        transform: from pixels of the reference to pixels of the canvas.
        reference: the part of the canvas that the reference covers.
        output: the part of the canvas that is written.
        mode: how the reference was brought onto the canvas.
        driving_mode: how driving pictures of another shape are brought into the reference's place.
        in_scene: whether the canvas is that of the driving picture, and the reference takes the driver's place in it.
    """

    size: tuple[int, int]
    transform: Affine
    reference: Box
    output: Box
    mode: Mode
    driving_mode: Mode
    in_scene: bool = False

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of what is written."""
        return _size(self.output)

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The output's part of frames (..., H, W, 3) of the canvas."""
        top, bottom, left, right = self.output
        return frames[..., top:bottom, left:right, :]

    def picture(self, image: np.ndarray) -> np.ndarray:
        """The reference on the canvas, uint8 (H, W, 3), its edges continued."""
        return continued(image[None], self.size, self.mode)[0]

    def matte(self, matte: np.ndarray) -> np.ndarray:
        """Mattes of the reference, uint8 (..., H, W), on the canvas; there is nothing of the figure in what it leaves free."""
        layers = np.repeat(matte.reshape(-1, *matte.shape[-2:], 1), 3, axis=-1)
        return fit(layers, self.size, self.mode, (0, 0, 0))[0][..., 0].reshape(*matte.shape[:-2], *self.size)

    def track(self, track: PoseTrack) -> PoseTrack:
        """Poses in pixels of the reference, on the canvas."""
        return PoseTrack(self.transform.points(track.keypoints), track.scores, self.size)

    def poses(self, cues: Cues, reference: PoseTrack | None, method: Retarget) -> PoseTrack | np.ndarray:
        """The driving poses on the canvas: keypoints, or drawn skeletons uint8 (F, H, W, 3).

        "grounded", "full", "align" and "fit" are those of `cues.retarget`, person by person. "off", drawn skeletons, and any method
        without a reference pose put the driving picture where the reference is; in a scene it is where it is there, and methods start
        from the reference at the driver's size and place (`_in_its_place`).
        """
        place = (0, self.size[0], 0, self.size[1]) if self.in_scene else self.reference
        top, bottom, left, right = place
        if cues.pose is None:
            skeletons = np.zeros((len(cues), *self.size, 3), np.uint8)
            skeletons[:, top:bottom, left:right], _ = fit(
                cues.skeleton, _size(place), self.driving_mode, (0, 0, 0)  # type: ignore[arg-type]
            )  # fmt: skip
            return skeletons
        if method == "off" or reference is None:
            return self._placed(cues, place)
        if self.in_scene:
            there = self._placed(cues, place)
            return retarget_people(there, _in_its_place(self.track(reference), there, method), method)
        return self.track(_framed(cues.pose, reference, method))

    def _placed(self, cues: Cues, place: Box) -> PoseTrack:
        """The driver's poses, its picture brought into a place of the canvas."""
        assert cues.pose is not None
        moved = placement(cues.size, _size(place), self.driving_mode)
        points = moved.points(cues.pose.keypoints) + np.array([place[2], place[0]], np.float32)
        return PoseTrack(points, cues.pose.scores, self.size)


def _in_its_place(reference: PoseTrack, there: PoseTrack, method: Method) -> PoseTrack:
    """A reference pose (1, P, K) in the size of the drivers (F, P, K), each with the neck where the driver's mostly is. A body that keeps its own
    proportions stands on the driver's ground: the lowest ankle is where the driver's mostly is, where both show one."""
    people = []
    for i in range(there.people):
        driver, still = there.person(i), reference.person(i)
        seen = driver.scores[:, 0, NECK] >= SEEN
        points = driver.keypoints[:, 0].astype(float)
        place = np.median(points[seen, NECK], 0) if seen.any() else points[0, NECK]
        own = retarget_people(still, driver[[int(seen.argmax())]], "fit")
        shift = place - own.keypoints[0, 0, NECK]
        feet, own_feet = (track.scores[:, 0, ANKLES] >= SEEN for track in (driver, own))
        if method != "fit" and feet.any() and own_feet.any():
            lowest = np.where(feet, points[:, ANKLES, 1], -np.inf).max(1)[feet.any(1)]
            shift[1] = np.median(lowest) - own.keypoints[0, 0, ANKLES, 1][own_feet[0]].max()
        people.append(PoseTrack((own.keypoints + shift).astype(np.float32), own.scores, own.size))
    return together(people)


def _framed(driving: PoseTrack, reference: PoseTrack, method: Method) -> PoseTrack:
    """Retargeted poses in pixels of the reference, each in its place in the picture; a warning says what was done for it."""
    people = []
    for i, moved in enumerate(retarget_people(driving, reference, method).person(i) for i in range(driving.people)):
        own = own_motion(driving.person(i), reference.person(i))
        track, said = (own, []) if own is not None else framed(moved, driving.person(i), reference.person(i))
        for words in said:
            logger.warning("%s%s", f"person {i}: " if driving.people > 1 else "", words)
        people.append(track)
    return together(people)


def choose_canvas(
    reference: tuple[int, int],
    model: tuple[int, int],
    *,
    any_size: bool,
    fitting: Fitting = "auto",
    size: tuple[int, int] | None = None,
    multiple: int = MULTIPLE,
    scene: tuple[int, int] | None = None,
) -> Canvas:
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
        scene: (height, width) of a scene that the character comes into: the picture has its aspect ratio instead of the reference's, and
            the reference lies in it whole.
    """
    if scene is not None:
        factor = math.sqrt(math.prod(model) / math.prod(scene))
        own = (multiple * round(scene[0] * factor / multiple), multiple * round(scene[1] * factor / multiple))
        whole = choose_canvas(
            reference, model, any_size=False, size=size or (own if any_size else model), multiple=multiple
        )
        if any_size or size is not None:
            return replace(whole, driving_mode="crop", in_scene=True)
        # a model of one size sees the whole scene; what is added to it is cut off again
        output = _even(_covered(scene, model, "letterbox"), model)
        return replace(whole, driving_mode="letterbox", in_scene=True, output=output)
    own_shape = fitting == "auto" and size is None and any_size
    if own_shape:
        factor = math.sqrt(math.prod(model) / math.prod(reference))
        size = round(reference[0] * factor), round(reference[1] * factor)
    canvas = _rounded(size, multiple, logging.INFO if own_shape else logging.WARNING) if size else model
    mode: Mode = "crop" if fitting == "crop" or own_shape else "letterbox"
    transform = placement(reference, canvas, mode)
    covered = _covered(reference, canvas, mode)
    output = (0, canvas[0], 0, canvas[1]) if size else _even(covered, canvas)
    return Canvas(canvas, transform, covered, output, mode, "crop" if fitting == "crop" else "letterbox")


def continued(images: np.ndarray, size: tuple[int, int], mode: Mode) -> np.ndarray:
    """Pictures uint8 (F, H, W, 3) brought to `size`, (F, *size, 3). What they leave free continues their edges, blurred: bars of one
    colour would be taken for a part of the scene."""
    top, bottom, left, right = _covered((images.shape[1], images.shape[2]), size, mode)
    fitted = fit(images, size, mode)[0]
    if (top, left) == (0, 0) and (bottom, right) == tuple(size):
        return fitted
    inner = fitted[:, top:bottom, left:right]
    border = (top, size[0] - bottom, left, size[1] - right)
    wide = [cv2.copyMakeBorder(image, *border, cv2.BORDER_REPLICATE) for image in inner]
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), BLUR * max(size)) for image in wide])
    blurred[:, top:bottom, left:right] = inner
    return blurred


def _covered(shape: tuple[int, int], canvas: tuple[int, int], mode: Mode) -> Box:
    """The part of a canvas that a picture of (height, width) covers."""
    corners = np.rint(placement(shape, canvas, mode).points(np.array([(0, 0), shape[::-1]], float)))
    (left, top), (right, bottom) = np.clip(corners, 0, canvas[::-1]).astype(int).tolist()
    return top, bottom, left, right


def _even(box: Box, canvas: tuple[int, int]) -> Box:
    """With even sides, as video codecs want it."""
    top, bottom, left, right = box
    return top, min(bottom + (bottom - top) % 2, canvas[0]), left, min(right + (right - left) % 2, canvas[1])


def _size(box: Box) -> tuple[int, int]:
    top, bottom, left, right = box
    return bottom - top, right - left


def _rounded(size: tuple[int, int], multiple: int, level: int) -> tuple[int, int]:
    height, width = (max(32, multiple * round(side / multiple)) for side in size)
    if (height, width) != tuple(size):
        logger.log(
            level, "the size %dx%d is rounded to %dx%d (height x width): the model paints multiples of %d pixels",
            *size, height, width, multiple,
        )  # fmt: skip
    return height, width
