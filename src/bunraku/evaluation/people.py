"""Several people in a clip: the mask of each, where they pass before each other, and whether everybody is still who they were."""

import cv2
import numpy as np

LEAST_SHARE = 0.001
"""The share of a frame's pixels from which on a person counts as seen in it."""
BINS = 8
"""Of the colour histograms, per channel."""


def people_masks(instances: np.ndarray) -> np.ndarray:
    """Each person by themselves.

    Args:
        instances: integers (F, H, W), 0 where nobody is.

    Returns:
        bool (P, F, H, W) in the order of the people's numbers; all False in frames in which a person has less than LEAST_SHARE of the pixels.
    """
    numbers = [number for number in np.unique(instances) if number]
    masks = np.stack([instances == number for number in numbers]) if numbers else np.zeros((0, *instances.shape), bool)
    return masks & (masks.mean((2, 3), keepdims=True) >= LEAST_SHARE)


def meetings(masks: np.ndarray) -> np.ndarray:
    """In which frames the masks of two people touch, as they do where one passes before another: bool (F,).

    Args:
        masks: bool (P, F, H, W), see `people_masks`.
    """
    kernel = np.ones((3, 3), np.uint8)
    return np.array([
        (np.sum([cv2.dilate(mask.astype(np.uint8), kernel) for mask in frame], axis=0) > 1).any()
        for frame in masks.swapaxes(0, 1)
    ])  # fmt: skip


def identity_accuracy(generated: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether everybody is who they should be, judged by their colours (the Identity Assignment Accuracy of WeLike2Party, 2026).

    The colours of the generated frame inside each person's true mask are compared with those of the true frame inside everybody's. A
    frame is right where each person is nearer to themselves than to anybody else. The distance is Hellinger's, of histograms of
    8x8x8 bins in RGB.

    Args:
        generated, truth: uint8 (F, H, W, 3).
        masks: bool (P, F, H, W), see `people_masks`.

    Returns:
        float64 (F,): 1 or 0; NaN in frames that show fewer than two people.
    """
    right = np.full(len(truth), np.nan)
    bins_generated, bins_truth = _bins(generated), _bins(truth)
    for t, frame in enumerate(masks.swapaxes(0, 1)):
        seen = [mask for mask in frame if mask.any()]
        if len(seen) < 2:
            continue
        made, true = (np.sqrt([_histogram(bins[t], mask) for mask in seen]) for bins in (bins_generated, bins_truth))
        distances = 1 - made @ true.T  # the square of Hellinger's distance, (P generated, P true)
        own = np.diag(distances)
        others = np.where(np.eye(len(seen), dtype=bool), np.inf, distances).min(1)
        right[t] = (own < others).all()
    return right


def _bins(frames: np.ndarray) -> np.ndarray:
    """The number of each pixel's colour bin, (F, H, W)."""
    coarse = frames.astype(np.intp) * BINS // 256
    return (coarse[..., 0] * BINS + coarse[..., 1]) * BINS + coarse[..., 2]


def _histogram(bins: np.ndarray, mask: np.ndarray) -> np.ndarray:
    counts = np.bincount(bins[mask], minlength=BINS**3)
    return counts / counts.sum()
