"""Objects: a thing in a clip, given by a click, a box, a mask or its name, and followed by flow and colour."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.machine import home, pick_device
from bunraku.media.images import IMAGE_SUFFIXES
from bunraku.perception.flow import DISFlow, FlowEstimator, checked_flow
from bunraku.perception.matte import read_matte

THING = re.compile(r"(.+?)(?:@(\d+))?")
NUMBER = r"(\d+(?:\.\d+)?)"
PLACE = re.compile(f"{NUMBER},{NUMBER}(?:,{NUMBER},{NUMBER})?")
NAME = re.compile(r"[a-z][a-z -]*", re.IGNORECASE)
REACH = 0.12  # of the longest side: how large a thing may be that a click names
LIKE = 12.0  # CIELAB: how alike a clicked thing is to the pixel under the click, at most
BAND = 0.01  # of the longest side: how far the edge of a followed thing is looked for anew
SEARCH = 0.08  # of the longest side: how far a thing is looked for beside where its last step leads
DETECTOR = "yolos-tiny"
"""Name of the weights of `bunraku models pull`."""


class Thing(Protocol):
    """A thing in a clip, and the frame from which on it is followed."""

    @property
    def frame(self) -> int: ...

    def check(self, size: tuple[int, int]) -> None:
        """Raises BunrakuError where it cannot be in frames of `size` (height, width)."""
        ...

    def find(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        """Its mask, bool (H, W), in a frame of the clip that is reduced to uint8 (H, W, 3) from `size`; None where it is not to be seen."""
        ...


def parse_thing(text: str) -> Thing:
    """Read a pixel "X,Y", a box "LEFT,TOP,RIGHT,BOTTOM", a picture file of its mask, or a name, each with "@FRAME" or not.

    Raises:
        BunrakuError: none of these.
    """
    match = THING.fullmatch(text.strip())
    what, frame = (match[1], int(match[2] or 0)) if match else ("", 0)
    if place := PLACE.fullmatch(what):
        return Click(tuple(float(value) for value in place.groups() if value is not None), frame)
    if Path(what).suffix.lower() in IMAGE_SUFFIXES:
        return Masked(Path(what), frame)
    if NAME.fullmatch(what):
        return Named(what, frame)
    raise BunrakuError(
        f"{text!r} names no thing: give X,Y or LEFT,TOP,RIGHT,BOTTOM in pixels, a picture with it white, or its name, and @FRAME unless it "
        "is the first (--object)"
    )


@dataclass(frozen=True)
class Click:
    """A place in a clip: a point (x, y), or a box (left, top, right, bottom), in pixels, and the frame it is in."""

    place: tuple[float, ...]
    frame: int = 0

    def check(self, size: tuple[int, int]) -> None:
        """As `Thing`."""
        height, width = size
        x, y = np.array(self.place[0::2]), np.array(self.place[1::2])
        first = x[0] < width and y[0] < height
        box = len(x) == 1 or (x[0] < x[1] <= width and y[0] < y[1] <= height)
        if not (first and box):
            raise BunrakuError(f"the place {self} is no part of a frame of {width}x{height} px (--object)")

    def find(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """As `Thing`; the smallest thing is a pixel."""
        factors = np.array([image.shape[1] / size[1], image.shape[0] / size[0]] * 2)
        place = np.minimum(
            np.array(self.place) * factors[: len(self.place)], np.array(image.shape[1::-1] * 2)[: len(self.place)]
        )
        return object_at(image, Click(tuple(place.tolist()), self.frame))

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in self.place) + f"@{self.frame}" * (self.frame > 0)


@dataclass(frozen=True)
class Masked:
    """A thing of which a picture file is the mask in one frame: of the clip's size, white where the thing is."""

    file: Path
    frame: int = 0

    def check(self, size: tuple[int, int]) -> None:
        """As `Thing`."""
        read_matte(self.file, size, "clip", "--object")

    def find(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """As `Thing`."""
        mask = read_matte(self.file, size, "clip", "--object")
        return cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_AREA) > 127


@dataclass(frozen=True)
class Named:
    """A thing that a detector finds by its name: the surest of them."""

    name: str
    frame: int = 0
    detector: "list[ObjectDetector]" = field(default_factory=list, compare=False, repr=False)

    def check(self, size: tuple[int, int]) -> None:
        """As `Thing`; loads the detector."""
        self._loaded().check(self.name)

    def find(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        """As `Thing`."""
        boxes = self._loaded()(image, self.name)
        return object_at(image, boxes[0]) if boxes else None

    def __str__(self) -> str:
        return self.name

    def _loaded(self) -> "ObjectDetector":
        if not self.detector:
            self.detector.append(ObjectDetector())
        return self.detector[0]


def object_at(frame: np.ndarray, click: Click, people: np.ndarray | None = None) -> np.ndarray:
    """The thing at a place of a frame: GrabCut in the box, or round the point among pixels like the one that was clicked.

    Args:
        frame: uint8 (H, W, 3) RGB.
        click: where; its frame number is not looked at.
        people: bool (H, W), pixels that are a person's and no thing.

    Returns:
        bool (H, W).

    Raises:
        BunrakuError: the place lies outside the frame, or nothing is found there.
    """
    height, width = frame.shape[:2]
    click.check((height, width))
    x, y = np.array(click.place[0::2]), np.array(click.place[1::2])
    state = np.full((height, width), cv2.GC_BGD, np.uint8)
    rows, columns = np.mgrid[:height, :width]
    if len(x) == 2:
        inside = (columns >= x[0]) & (columns < x[1]) & (rows >= y[0]) & (rows < y[1])
        state[inside] = cv2.GC_PR_FGD
    else:
        reach = REACH * max(height, width)
        near = np.hypot(columns + 0.5 - x[0], rows + 0.5 - y[0])
        lab = cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 1).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        like = np.linalg.norm(lab - lab[int(y[0]), int(x[0])], axis=-1) < LIKE
        state[near < reach] = cv2.GC_PR_BGD
        state[_part(like & (near < reach), int(x[0]), int(y[0]))] = cv2.GC_PR_FGD
        state[near < max(2.0, 0.005 * max(height, width))] = cv2.GC_FGD
    if people is not None:
        state[people & (state != cv2.GC_FGD)] = cv2.GC_BGD
    found = _grabbed(frame, state)
    if len(x) == 1:
        found = _part(found, int(x[0]), int(y[0]))
    if not found.any():
        raise BunrakuError(f"nothing stands out at {click}; give a box LEFT,TOP,RIGHT,BOTTOM or a mask (--object)")
    return found


def follow_object(
    frames: Iterable[np.ndarray], first: np.ndarray, estimator: FlowEstimator | None = None
) -> Iterator[np.ndarray]:
    """The mask of a thing in every frame: carried by flow, its edge found anew by colour in a narrow band.

    A thing that is hidden for a frame is lost: masks stay empty from there.

    Args:
        frames: uint8 (H, W, 3) from the one on that `first` is of.
        first: bool (H, W).

    Yields:
        bool (H, W) per frame, `first` for the first.
    """
    estimator, before, mask, step = estimator or DISFlow(), None, first, np.zeros(2)
    for frame in frames:
        if before is not None and mask.any():
            mask, step = _followed(before, frame, mask, step, estimator)
        yield mask
        before = frame


def _followed(
    before: np.ndarray, frame: np.ndarray, mask: np.ndarray, step: np.ndarray, estimator: FlowEstimator
) -> tuple[np.ndarray, np.ndarray]:
    """The mask in the next frame, and how far the thing went, (2,) in pixels.

    It is looked for by flow from where its last step leads, where it was, and where the picture is most like it: flow finds small ways
    best. As a whole it moves by a similarity, for flow at its edge is the background's as often as its own.
    """
    height, width = mask.shape
    matched = _matched(before, frame, mask, step)
    moves = [_moved_by(before, frame, mask, guess, estimator) for guess in (step, np.zeros(2), matched)]
    moves.append(np.concatenate([np.eye(2), matched[:, None]], 1))
    masks = [cv2.warpAffine(mask.astype(np.float32), move, (width, height)) > 0.5 for move in moves]
    errors = [_unlike(before, frame, mask, move) for move in moves]
    best = int(np.argmin(errors))
    move, moved = moves[best], masks[best]
    reach = 2 * max(1, round(BAND * max(mask.shape))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    inner, outer = (operation(moved.astype(np.uint8), kernel) > 0 for operation in (cv2.erode, cv2.dilate))
    state = np.where(moved, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    state[inner], state[~outer] = cv2.GC_FGD, cv2.GC_BGD
    found = _grabbed(frame, state)
    size, was = np.count_nonzero(found), np.count_nonzero(moved)
    y, x = np.nonzero(mask)
    middle = np.array([x.mean(), y.mean(), 1])
    return (found if 0.7 * was <= size <= 1.3 * was else moved), move @ middle - middle[:2]


def _moved_by(
    before: np.ndarray, frame: np.ndarray, mask: np.ndarray, guess: np.ndarray, estimator: FlowEstimator
) -> np.ndarray:
    """Similarity (2, 3) of a thing from one frame to the next, near a first guess of its step."""
    height, width = mask.shape
    x0, y0 = np.rint(guess)
    back = np.array([[1, 0, -x0], [0, 1, -y0]], float)
    shifted = cv2.warpAffine(frame, back, (width, height), borderMode=cv2.BORDER_REPLICATE)
    flow, trusted = checked_flow(before, shifted, estimator)
    use = mask & trusted if np.count_nonzero(mask & trusted) >= 8 else mask
    y, x = np.nonzero(use)
    start, way = np.stack([x, y], -1).astype(np.float64), flow[y, x] + (x0, y0)
    cv2.setRNGSeed(0)
    move = cv2.estimateAffinePartial2D(start, start + way, ransacReprojThreshold=1.0)[0] if len(x) >= 8 else None
    if move is None or not 0.8 < np.hypot(move[0, 0], move[1, 0]) < 1.25:
        move = np.concatenate([np.eye(2), np.median(way, axis=0)[:, None]], 1)
    return np.asarray(move)


def _matched(before: np.ndarray, frame: np.ndarray, mask: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The step (2,) to where a frame is most like the thing, within `SEARCH` round where its last step leads."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    reach = max(4, round(SEARCH * max(mask.shape)))
    x0, y0 = np.rint(step).astype(int) + (left - reach, top - reach)
    shift = np.array([[1, 0, -x0], [0, 1, -y0]], float)
    size = (width + 2 * reach, height + 2 * reach)
    window = cv2.warpAffine(frame, shift, size, borderMode=cv2.BORDER_REPLICATE)
    box = np.s_[top : top + height, left : left + width]
    thing = np.repeat(mask[box][..., None].astype(np.uint8), 3, -1)
    error = cv2.matchTemplate(window, np.ascontiguousarray(before[box]), cv2.TM_SQDIFF, mask=thing)
    y, x = np.unravel_index(int(np.argmin(error)), error.shape)
    return np.array([x0 + x - left, y0 + y - top], float)


def _unlike(before: np.ndarray, frame: np.ndarray, mask: np.ndarray, move: np.ndarray) -> float:
    """Mean difference of colours of the thing before and after a move."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(frame, move, mask.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(there, before)[mask].mean())


def _grabbed(frame: np.ndarray, state: np.ndarray) -> np.ndarray:
    """GrabCut within the smallest box that holds everything that is not certain background, and a margin."""
    y, x = np.nonzero(state != cv2.GC_BGD)
    if not len(y):
        return np.zeros(state.shape, bool)
    margin = 8 + max(np.ptp(y), np.ptp(x)) // 2
    box = np.s_[max(0, y.min() - margin) : y.max() + margin + 1, max(0, x.min() - margin) : x.max() + margin + 1]
    part = np.ascontiguousarray(state[box])
    figure = part % 2 == cv2.GC_FGD
    if figure.any() and not figure.all() and np.count_nonzero(figure) > 5:
        cv2.setRNGSeed(0)  # the colour models start from k-means
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(np.ascontiguousarray(frame[box]), part, None, *models, 3, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    found = np.zeros(state.shape, bool)
    found[box] = part % 2 == cv2.GC_FGD
    return found


def _part(mask: np.ndarray, x: int, y: int) -> np.ndarray:
    """The connected part of a mask that holds a pixel; empty if the pixel is not in it."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8))
    return (parts == parts[y, x]) & mask


class ObjectDetector:
    """Things by name, found by a transformers detector whose last class is "nothing" (DETR, YOLOS).

    Args:
        weights: a folder; None: where `bunraku models pull yolos-tiny` puts them.
        device: for torch; None: the best there is.

    Raises:
        BunrakuError: the weights are not here, or are of another kind of model.
    """

    def __init__(self, weights: Path | None = None, device: str | None = None) -> None:
        import torch
        from transformers import AutoModelForObjectDetection

        weights = weights or home() / DETECTOR
        try:
            model, report = AutoModelForObjectDetection.from_pretrained(
                weights, output_loading_info=True, local_files_only=True
            )
        except (OSError, ValueError, ImportError) as error:
            raise BunrakuError(
                f"the object detector in {weights} cannot be loaded ({str(error).splitlines()[0]}); fetch it once with "
                f"`bunraku models pull {DETECTOR}`, or say where the thing is by a pixel X,Y (--object)"
            ) from error
        wrong = [*report["missing_keys"], *report["unexpected_keys"], *(row[0] for row in report["mismatched_keys"])]
        if wrong:
            raise BunrakuError(f"{weights} does not fit its detector: {len(wrong)} weights differ, such as {wrong[0]}")
        self._device = torch.device(device or pick_device())
        self._model: Any = model.eval().to(self._device)

    @property
    def names(self) -> list[str]:
        """What it can find."""
        return [str(name) for name in self._model.config.id2label.values()]

    def check(self, name: str) -> None:
        """Raises BunrakuError where it knows no such thing."""
        if name not in self.names:
            known = ", ".join(name for name in self.names if name != "N/A")
            raise BunrakuError(f"the detector knows no {name!r} (--object); it knows {known}")

    def __call__(self, frame: np.ndarray, name: str, threshold: float = 0.5) -> list[Click]:
        """Boxes of the things called `name` in a frame, uint8 (H, W, 3) RGB, the surest first.

        Raises:
            BunrakuError: the detector knows no such thing.
        """
        import torch

        self.check(name)
        height, width = frame.shape[:2]
        factor = min(800 / min(height, width), 1333 / max(height, width))
        size = round(width * factor), round(height * factor)
        pixels = (cv2.resize(frame, size).astype(np.float32) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        with torch.inference_mode():
            batch = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1)[None]).to(self._device)
            found = self._model(pixel_values=batch)
        scores = found.logits[0].softmax(-1)[:, self.names.index(name)].cpu().numpy()
        x, y, w, h = found.pred_boxes[0].float().cpu().numpy().T * np.array([[width], [height], [width], [height]])
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1).clip(0, (width, height, width, height))
        return [Click(tuple(boxes[i].tolist())) for i in np.argsort(-scores) if scores[i] >= threshold]
