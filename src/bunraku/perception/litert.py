"""The networks that lie in MediaPipe's wheel, run one by one by LiteRT: offline, on the CPU, without MediaPipe's graphs."""

import importlib.metadata
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bunraku.errors import BunrakuError

logger = logging.getLogger(__name__)


class Network:
    """One of MediaPipe's networks: an image in, arrays out.

    Args:
        name: its file below mediapipe/modules without the extension, such as "pose_landmark/pose_landmark_full".

    Raises:
        BunrakuError: mediapipe or ai-edge-litert is not installed, or this release of mediapipe lacks the file.
    """

    def __init__(self, name: str) -> None:
        path = network_file(name)
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BunrakuError(
                f"the mediapipe pose detector needs LiteRT ({error}); `pip install '.[mediapipe]'`"
            ) from error
        with _stderr_to_log():
            self._interpreter = Interpreter(str(path))
            self._interpreter.allocate_tensors()
        (image,) = self._interpreter.get_input_details()
        self._input = image["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]
        self.side = int(image["shape"][1])

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """The outputs, each without its batch axis, for float32 (side, side, 3) in the network's own range."""
        self._interpreter.set_tensor(self._input, image[None].astype(np.float32, copy=False))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def network_file(name: str) -> Path:
    """Where MediaPipe keeps a network; MediaPipe itself is not imported.

    Raises:
        BunrakuError: mediapipe is not installed, or is a release without its networks.
    """
    package = find_spec("mediapipe")
    if package is None or not package.submodule_search_locations:
        raise BunrakuError("the mediapipe pose detector needs MediaPipe; `pip install '.[mediapipe]'`")
    path = Path(next(iter(package.submodule_search_locations))) / "modules" / f"{name}.tflite"
    if not path.is_file():
        raise BunrakuError(
            f"mediapipe {importlib.metadata.version('mediapipe')} comes without the network {path.name} that this detector "
            "needs; `pip install mediapipe==0.10.21`"
        )
    return path


@contextmanager
def _stderr_to_log() -> Iterator[None]:
    """Sends what C++ code writes to file descriptor 2 to the log (DEBUG): LiteRT offers no switch for its chatter."""
    with tempfile.TemporaryFile() as chatter:
        saved = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            chatter.seek(0)
            for line in chatter.read().decode(errors="replace").splitlines():
                logger.debug("litert: %s", line)
