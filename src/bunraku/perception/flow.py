"""Dense optical flow between frames, and where it can be trusted."""

from typing import NamedTuple, Protocol

import cv2
import numpy as np

SLACK, SHARE = 0.5, 0.05  # pixels, and share of the way, by which forward and backward flow may disagree


class FlowEstimator(Protocol):
    """Where every pixel of one frame is in another. `name` is the backend, for the user to see."""

    name: str

    def __call__(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        """float32 (H, W, 2), x first, in pixels, from two frames uint8 (H, W, 3) RGB."""
        ...


class DISFlow:
    """OpenCV's Dense Inverse Search, preset medium; no weights.

    Source: Kroeger et al., "Fast optical flow using dense inverse search", 2016.
    """

    name = "dis"

    def __init__(self) -> None:
        self._estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]

    def __call__(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        """As `FlowEstimator`."""
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (now, then)]
        return np.asarray(self._estimator.calc(*grey, None))


class CheckedFlow(NamedTuple):
    """Flow, and where flow back leads to where it came from.

    Attributes:
        flow: float32 (H, W, 2) in pixels, x first.
        trusted: bool (H, W).
    """

    flow: np.ndarray
    trusted: np.ndarray


def checked_flow(now: np.ndarray, then: np.ndarray, estimator: FlowEstimator | None = None) -> CheckedFlow:
    """Flow from one frame to another, checked by the flow back; what is covered then, or leaves the picture, is not trusted.

    A flat region is trusted where both flows agree on it, though nothing says that it did not move.

    Args:
        now, then: uint8 (H, W, 3) RGB.
        estimator: None: OpenCV's DIS.

    Source: Sundaram, Brox and Keutzer 2010: |w + w'(x + w)| <= `SHARE` * (|w| + |w'|) + `SLACK`.
    """
    estimator = estimator or DISFlow()
    forward, backward = estimator(now, then), estimator(then, now)
    back, inside = carried(backward, forward)
    lengths = np.linalg.norm(forward, axis=-1) + np.linalg.norm(back, axis=-1)
    return CheckedFlow(forward, inside & (np.linalg.norm(forward + back, axis=-1) <= SHARE * lengths + SLACK))


def carried(values: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the other frame shows where the flow leads: `values` (H, W[, C]) there, bilinear, and bool (H, W) whether that is inside."""
    height, width = flow.shape[:2]
    y, x = np.indices((height, width), np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside
