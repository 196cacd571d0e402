"""Depth: how near every pixel is, by a network. The order of people by their poses alone is `cues.depth_order.standing_nearness`."""

from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.machine import home, pick_device

WEIGHTS = "depth-anything"
"""Name of the weights of `bunraku models pull`."""
SIDE, PATCH = 518, 14  # pixels of the shorter side that the network sees, and of its patches
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def depth_is_here() -> bool:
    """Whether `bunraku models pull depth-anything` has been there."""
    return (home() / WEIGHTS / "config.json").is_file()


class DepthEstimator(Protocol):
    """How near the pixels of a picture are. `name` is the backend, for the user to see."""

    name: str

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Nearness, float32 (H, W), larger is nearer, in units of the backend's own, from uint8 (H, W, 3) RGB."""
        ...


class DepthAnything:
    """Depth Anything (Yang et al. 2024) by transformers: relative inverse depth.

    Args:
        weights: a folder; None: where `bunraku models pull depth-anything` puts them.
        device: for torch; None: the best there is.

    Raises:
        BunrakuError: the weights are not here, or are of another kind of model.
    """

    name = "depth-anything"

    def __init__(self, weights: Path | None = None, device: str | None = None) -> None:
        import torch
        from transformers import DepthAnythingForDepthEstimation

        weights = weights or home() / WEIGHTS
        try:
            model, report = DepthAnythingForDepthEstimation.from_pretrained(
                weights, output_loading_info=True, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise BunrakuError(
                f"the depth network in {weights} cannot be loaded ({str(error).splitlines()[0]}); fetch it once with "
                f"`bunraku models pull {WEIGHTS}` (--depth)"
            ) from error
        wrong = [*report["missing_keys"], *report["unexpected_keys"], *(row[0] for row in report["mismatched_keys"])]
        if wrong:
            raise BunrakuError(
                f"{weights} does not fit Depth Anything: {len(wrong)} weights differ, such as {wrong[0]}"
            )
        self._device = torch.device(device or pick_device())
        self._model: Any = model.eval().to(self._device)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """As `DepthEstimator`."""
        import torch

        height, width = frame.shape[:2]
        factor = SIDE / min(height, width)
        size = [max(1, round(side * factor / PATCH)) * PATCH for side in (width, height)]
        pixels = (cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255 - MEAN) / STD
        with torch.inference_mode():
            batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None]).to(self._device)
            found = self._model(pixel_values=batch).predicted_depth[0].float().cpu().numpy()
        return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
