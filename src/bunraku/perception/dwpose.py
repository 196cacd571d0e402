"""DWPose through ONNX Runtime: a YOLOX-L person detector, then the 133-keypoint model `dw-ll_ucoco_384` on each person.

Sources: Ge et al., "YOLOX" (2021), section 2 (anchor-free head: box centre relative to the grid cell, exponential
size, both in strides); Jiang et al., "RTMPose" (2023) with SimCC coordinate classification (Li et al., 2022: two
classifications over x and y at twice the resolution of the crop); Yang et al., "DWPose" (2023) for the weights.

Colour order: YOLOX was trained on BGR values 0-255, the pose model on RGB normalised with ImageNet's mean and
deviation. Public ports disagree here (some feed BGR to both); this follows the training configurations.

COCO-WholeBody's 133 keypoints (17 body, 6 feet, 68 face, 2x21 hands) become the 134 of `bunraku.perception.pose`
by reordering the body and inserting the neck: the midpoint of the shoulders, score the smaller of the two.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.machine import home
from bunraku.perception.crowd import MoreThanFollowed
from bunraku.perception.pose import BODY, WHOLE_BODY, Detections

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)

WEIGHTS = ("yolox_l.onnx", "dw-ll_ucoco_384.onnx")
SOURCE = "https://huggingface.co/yzd-v/DWPose"

DETECTOR_SIZE = 640  # pixels, square
POSE_SIZE = (384, 288)  # height, width
STRIDES = (8, 16, 32)
MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # RGB
STD = np.array([58.395, 57.12, 57.375], np.float32)
SCORE_THRESHOLD = 0.3
IOU_THRESHOLD = 0.45
BOX_PADDING = 1.25
SIMCC_SPLIT = 2  # bins per pixel of the crop

BODY_FROM_COCO = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO keypoint of each body joint; the neck (1) is overwritten by the shoulders' midpoint."""

PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}


class DWPose:
    """Pose detector on DWPose; a person is a YOLOX box, the largest `max_people` of them.

    Where no box is found the whole frame is tried, as the public system does: drawn figures often have none.
    People without one body joint above 0.3 are dropped.

    Args:
        max_people: at most so many people per frame.
        device: "cuda", "cuda:1", "mps" or "cpu"; None takes the first of these that ONNX Runtime has.
        models: folder of the weight files, see `locate_weights`.

    Raises:
        BunrakuError: ONNX Runtime or a weight file is missing, or a file is no ONNX model.
    """

    name = "dwpose"

    def __init__(self, max_people: int = 1, device: str | None = None, models: Path | None = None) -> None:
        detector, pose = locate_weights(models)
        self._detector = _session(detector, device)
        self._pose = _session(pose, device)
        self._max_people, self._more = max_people, MoreThanFollowed(max_people)
        self.provider = f"onnxruntime {self._pose.get_providers()[0]}"

    def __call__(self, frame: np.ndarray) -> Detections:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"expected a frame uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        boxes = self._boxes(frame)
        if not len(boxes):
            boxes = np.array([[0, 0, frame.shape[1], frame.shape[0]]], np.float32)
        self._more(len(boxes))
        largest = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")[: self._max_people]
        people = [coco_to_openpose(*self._keypoints(frame, box)) for box in boxes[largest]]
        return Detections.of([person for person in people if (person[1][BODY] > SCORE_THRESHOLD).any()])

    def restart(self) -> None:
        """Nothing to forget: every frame is looked at afresh."""

    def close(self) -> None:
        del self._detector, self._pose

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        image, ratio = letterbox(frame)
        (predictions,) = _run(self._detector, image[..., ::-1].transpose(2, 0, 1))
        return person_boxes(predictions[0]) / ratio

    def _keypoints(self, frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        center, scale = center_and_scale(box)
        image = (crop(frame, center, scale) - MEAN) / STD
        simcc_x, simcc_y = _run(self._pose, image.transpose(2, 0, 1))
        keypoints, scores = decode_simcc(simcc_x[0], simcc_y[0])
        return keypoints * (scale / POSE_SIZE[::-1]) + center - scale / 2, scores


def weights_folder(models: Path | None = None) -> Path:
    """Where DWPose's weights belong: `models`, else `$BUNRAKU_HOME/dwpose` (BUNRAKU_HOME: ~/.cache/bunraku)."""
    return models or home() / "dwpose"


def missing_weights(models: Path | None = None) -> list[str]:
    """Names of the weight files that `weights_folder` lacks."""
    return [name for name in WEIGHTS if not (weights_folder(models) / name).is_file()]


def locate_weights(models: Path | None = None) -> tuple[Path, Path]:
    """Paths of the person detector and of the pose model.

    Raises:
        BunrakuError: names the missing files, where they come from and where they go.
    """
    folder = weights_folder(models)
    if missing := missing_weights(models):
        raise BunrakuError(
            f"DWPose's weights are missing: run `bunraku models pull dwpose`, or put {' and '.join(missing)} from {SOURCE} into {folder}."
        )
    return folder / WEIGHTS[0], folder / WEIGHTS[1]


def letterbox(frame: np.ndarray, size: int = DETECTOR_SIZE) -> tuple[np.ndarray, float]:
    """`frame` fitted into the top left of a square of grey 114, float32 (size, size, 3), and the factor of the fit."""
    height, width = frame.shape[:2]
    ratio = min(size / height, size / width)
    fitted = cv2.resize(frame, (max(1, int(width * ratio)), max(1, int(height * ratio))))
    square = np.full((size, size, 3), 114, np.float32)
    square[: fitted.shape[0], : fitted.shape[1]] = fitted
    return square, ratio


def decode_grid(predictions: np.ndarray, size: int = DETECTOR_SIZE) -> np.ndarray:
    """Boxes (N, 4) as x0, y0, x1, y1 in pixels of the `size` square, from YOLOX's raw (N, >= 4) cell predictions."""
    cells = [np.mgrid[: size // stride, : size // stride].reshape(2, -1).T[:, ::-1] for stride in STRIDES]
    strides = np.repeat(STRIDES, [len(cell) for cell in cells])[:, None]
    center = (predictions[:, :2] + np.concatenate(cells)) * strides
    half = np.exp(predictions[:, 2:4]) * strides / 2
    return np.concatenate([center - half, center + half], axis=1).astype(np.float32)


def person_boxes(predictions: np.ndarray, size: int = DETECTOR_SIZE) -> np.ndarray:
    """Boxes (P, 4) of people after non-maximum suppression, best first, from raw predictions (N, 5 + classes)."""
    scores = predictions[:, 4] * predictions[:, 5]  # objectness x class 0, the person
    candidates = scores > SCORE_THRESHOLD
    boxes, scores = decode_grid(predictions, size)[candidates], scores[candidates]
    return boxes[non_maximum_suppression(boxes, scores)]


def non_maximum_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float = IOU_THRESHOLD) -> list[int]:
    """Indices of the boxes (N, 4) to keep, best score first; a box is as wide as the pixels it covers (x1 - x0 + 1)."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    order = np.argsort(-scores, kind="stable")
    keep = []
    while len(order):
        best, order = order[0], order[1:]
        keep.append(int(best))
        top_left = np.maximum(boxes[best, :2], boxes[order, :2])
        bottom_right = np.minimum(boxes[best, 2:], boxes[order, 2:])
        intersection = np.prod((bottom_right - top_left + 1).clip(0), axis=1)
        order = order[intersection / (area[best] + area[order] - intersection) <= threshold]
    return keep


def center_and_scale(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (x, y) and size (width, height) in pixels of the padded crop of `box`, of the pose model's aspect ratio."""
    height, width = POSE_SIZE
    center = (box[:2] + box[2:]) / 2
    w, h = (box[2:] - box[:2]) * BOX_PADDING
    aspect = width / height
    scale = (w, w / aspect) if w > h * aspect else (h * aspect, h)
    return center, np.array(scale, np.float32)


def crop(frame: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The part of `frame` around `center` of size `scale`, resampled to POSE_SIZE, black outside; uint8 (384, 288, 3)."""
    height, width = POSE_SIZE
    zoom = width / scale[0]
    shift = np.array([width, height]) / 2 - zoom * center
    warp = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    return cv2.warpAffine(frame, warp, (width, height), flags=cv2.INTER_LINEAR)


def decode_simcc(simcc_x: np.ndarray, simcc_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (K, 2) in pixels of the crop and scores (K,) in [0, 1] from SimCC responses (K, bins).

    The score is the smaller of the two peaks; a peak of zero or less is not seen.
    """
    keypoints = np.stack([simcc_x.argmax(axis=1), simcc_y.argmax(axis=1)], axis=1) / np.float32(SIMCC_SPLIT)
    scores = np.minimum(simcc_x.max(axis=1), simcc_y.max(axis=1)).clip(0, 1)
    return keypoints, scores


def coco_to_openpose(keypoints: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """COCO-WholeBody (133, 2), (133,) -> the (134, 2), (134,) of `bunraku.perception.pose`."""
    order = [*BODY_FROM_COCO, *range(17, WHOLE_BODY - 1)]
    keypoints, scores = keypoints[order].astype(np.float32), scores[order].astype(np.float32)
    keypoints[1], scores[1] = keypoints[[2, 5]].mean(axis=0), scores[[2, 5]].min()
    return keypoints, scores


def choose_providers(device: str | None, available: list[str]) -> list[str | tuple[str, dict[str, str]]]:
    """ONNX Runtime providers for `device`, best first and the CPU last; warns where the device asked for is not there.

    Raises:
        BunrakuError: a device that is neither None, "cuda", "cuda:<number>", "mps" nor "cpu".
    """
    kind, _, index = (device or "").partition(":")
    if kind and (kind not in PROVIDERS or (index and (kind != "cuda" or not index.isdigit()))):
        raise BunrakuError(f"Unknown device {device!r}, expected 'cuda', 'cuda:<number>', 'mps' or 'cpu'.")
    wanted = [PROVIDERS[kind]] if kind else list(PROVIDERS.values())
    if kind and PROVIDERS[kind] not in available:
        logger.warning(
            "Device %r was asked for, but ONNX Runtime offers only %s: DWPose runs on the CPU, many times slower. "
            "For CUDA install onnxruntime-gpu in place of onnxruntime.",
            device,
            ", ".join(available),
        )
    chosen: list[str | tuple[str, dict[str, str]]] = [
        (provider, {"device_id": index}) if index else provider for provider in wanted if provider in available
    ]
    return chosen if PROVIDERS["cpu"] in chosen else [*chosen, PROVIDERS["cpu"]]


def _session(path: Path, device: str | None) -> "onnxruntime.InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise BunrakuError(
            f"The dwpose pose detector needs ONNX Runtime ({error}); `pip install '.[onnx]'`, "
            "or `onnxruntime-gpu` for CUDA."
        ) from error
    providers = choose_providers(device, onnxruntime.get_available_providers())
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
    except Exception as error:  # onnxruntime's own exception types share no public base
        raise BunrakuError(
            f"{path} cannot be read as an ONNX model; fetch it again from {SOURCE}. ({error})"
        ) from error
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if session.get_providers()[0] != first:
        logger.warning("ONNX Runtime could not start %s and runs %s on the CPU, many times slower.", first, path.name)
    return session


def _run(session: "onnxruntime.InferenceSession", image: np.ndarray) -> list[np.ndarray]:
    """All outputs for one image (3, H, W)."""
    return session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(image[None], np.float32)})
