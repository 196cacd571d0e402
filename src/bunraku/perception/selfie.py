"""MediaPipe's selfie segmenter as a segmenter of photographed people: fast, with a halo, and blind to thin arms and drawings."""

import cv2
import numpy as np

from bunraku.perception.litert import Network


class SelfieSegmenter:
    """The network of MediaPipe's wheel, run by LiteRT (Apache-2.0).

    Raises:
        BunrakuError: mediapipe or ai-edge-litert is not installed.
    """

    name = "selfie"

    def __init__(self) -> None:
        self._network = Network("selfie_segmentation/selfie_segmentation")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """As `matte.Segmenter`."""
        side = self._network.side
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        (found,) = self._network(small)
        return np.clip(cv2.resize(found[..., 0], image.shape[1::-1], interpolation=cv2.INTER_LINEAR), 0, 1)
