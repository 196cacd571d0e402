"""The pose detector: what every backend gives per frame, and the choice between the backends."""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.crowd import MOST_PEOPLE
from bunraku.perception.pose import Detections

logger = logging.getLogger(__name__)

DetectorName = Literal["auto", "mediapipe", "dwpose"]


class PoseDetector(Protocol):
    """Finds people and their keypoints in the consecutive frames of one clip; use a new detector for another clip.

    `name` is the backend, `provider` what it computes on, for the user to see.
    """

    name: str
    provider: str

    def __call__(self, frame: np.ndarray) -> Detections:
        """The people in `frame`, uint8 (H, W, 3) RGB."""
        ...

    def restart(self) -> None:
        """Forget the frames so far: the next one belongs to another shot."""
        ...

    def close(self) -> None:
        """Free the models; the detector cannot be used afterwards."""
        ...


def create_pose_detector(
    name: DetectorName = "auto",
    *,
    max_people: int = 1,
    device: str | None = None,
    models: Path | None = None,
    video: bool = True,
) -> PoseDetector:
    """The pose detector called `name`.

    Args:
        name: the backend. "auto" is the first of these that can run here, and downloads nothing: DWPose, the better one,
            where ONNX Runtime is installed and its weights are on disk; else MediaPipe's networks, which come with the
            `mediapipe` extra.
        max_people: at most so many people per frame, the largest; 1 to 8.
        device: "cuda", "cuda:1", "mps" (CoreML) or "cpu"; None takes the best there is. MediaPipe has the CPU only.
        models: folder of DWPose's weight files; default `$BUNRAKU_HOME/dwpose`, see `dwpose.locate_weights`.
        video: frames follow one another, so tracking and smoothing between them may help; False for unrelated stills.

    Raises:
        BunrakuError: unknown name, max_people beyond 1 to 8, or a backend that is not installed or lacks its weights.
    """
    if not 1 <= max_people <= MOST_PEOPLE:
        raise BunrakuError(f"the number of people to look for is 1 to {MOST_PEOPLE}, not {max_people} (--people)")
    if name == "auto":
        name = _best_backend(models)
    detector: PoseDetector
    if name == "dwpose":
        from bunraku.perception.dwpose import DWPose

        detector = DWPose(max_people=max_people, device=device, models=models)
    elif name == "mediapipe":
        from bunraku.perception.mediapipe_pose import MediaPipePose

        if device not in (None, "cpu"):
            logger.warning("the mediapipe pose detector runs on the CPU only; device %r is not used for it", device)
        detector = MediaPipePose(max_people=max_people, video=video)
    else:
        raise BunrakuError(f"unknown pose detector {name!r}; there are auto, mediapipe and dwpose")
    logger.info("pose detector: %s on %s", detector.name, detector.provider)
    return detector


def _best_backend(models: Path | None) -> DetectorName:
    from bunraku.perception.dwpose import SOURCE, WEIGHTS, missing_weights, weights_folder

    missing = missing_weights(models)
    if not missing and find_spec("onnxruntime"):
        return "dwpose"
    if find_spec("mediapipe") and find_spec("ai_edge_litert"):
        return "mediapipe"
    raise BunrakuError(
        "no pose detector can run here; either install MediaPipe (`pip install '.[mediapipe]'`), or install ONNX Runtime "
        f"(`pip install '.[onnx]'`) and put {' and '.join(WEIGHTS)} from {SOURCE} into {weights_folder(models)}"
    )
