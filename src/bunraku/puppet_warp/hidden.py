"""Colours of what nobody has seen: a part goes on under what hides it."""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

HEMS = 6.0  # how much more a pixel along a bone counts than one across it
SEAM = 2.0  # sigma in pixels that smooths what is continued under another part
SAME_HUE = 20.0  # difference of CIELAB's a and b within which a darker colour is a shadow


def continued(picture: np.ndarray, sources: np.ndarray, along: np.ndarray | tuple[float, float] = (0, 0)) -> np.ndarray:
    """A picture, uint8 (H, W, 3), whose pixels beside `sources`, bool (H, W), take the nearest source's colour, a little smoothed: so seams and
    hems go on as they are. A pixel's way `along` a direction, (x, y) of length 1, counts more than across: hems lie across bones."""
    _, nearest = distance_transform_edt(~sources, sampling=1 + HEMS * np.abs(along)[::-1], return_indices=True)
    whole = picture[tuple(nearest)]
    return np.where(sources[..., None], picture, cv2.GaussianBlur(whole, (0, 0), SEAM))


def bridged(
    picture: np.ndarray, sources: np.ndarray, along: np.ndarray, deep: float, otherwise: np.ndarray
) -> np.ndarray:
    """A picture, uint8 (H, W, 3), continued from `sources`, bool (H, W), on either side across a bone that lies `along` a direction, (x, y) of
    length 1: from the nearer one more, each the mean of what is at most `deep` pixels behind its edge. So hems go on, and a shadow on one
    side does not. Where there is none across, as in the picture `otherwise`.
    """
    height, width = sources.shape
    side = int(np.ceil(np.hypot(height, width))) + 2
    turn = np.array([[along[1], -along[0], 0], [along[0], along[1], 0]])  # `along` downwards
    turn[:, 2] = side / 2 - turn[:, :2] @ (width / 2, height / 2)
    there = cv2.warpAffine(sources.astype(np.uint8) * 255, turn, (side, side)) > 254
    across, known = _across(cv2.warpAffine(picture, turn, (side, side)), there, deep)
    shares, colours = (
        cv2.warpAffine(values, turn, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        for values in (known.astype(np.float32), across * known[..., None])
    )
    whole = colours + (1 - shares[..., None]) * otherwise
    return np.where(sources[..., None], picture, np.rint(cv2.GaussianBlur(whole, (0, 0), SEAM)).astype(np.uint8))


def _across(picture: np.ndarray, sources: np.ndarray, deep: float) -> tuple[np.ndarray, np.ndarray]:
    """Every row of a picture (H, W, 3) interpolated between the ends of its sources, bool (H, W): float32 (H, W, 3), and bool (H, W) where the
    row has any. An end is the mean of its run, at most `deep` pixels of it."""
    width = sources.shape[1]
    column = np.arange(width)
    first = np.maximum.accumulate(np.where(sources, -1, column), axis=1) + 1  # of each pixel's run
    last = np.minimum.accumulate(np.where(sources, width, column)[:, ::-1], axis=1)[:, ::-1] - 1
    sums = np.pad(np.cumsum(picture * sources[..., None], axis=1, dtype=np.float64), ((0, 0), (1, 0), (0, 0)))
    rows = np.arange(len(sources))[:, None]

    def mean(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Of the pixels from `start` up to and without `end`."""
        return (sums[rows, end] - sums[rows, start]) / np.maximum(end - start, 1)[..., None]

    before = np.maximum.accumulate(np.where(sources, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(sources, column, width)[:, ::-1], axis=1)[:, ::-1]
    left, right = before.clip(0), after.clip(max=width - 1)
    reach = max(1, round(deep))
    colours = (
        mean(np.maximum(first[rows, left], left + 1 - reach), left + 1),
        mean(right, np.minimum(last[rows, right], right + reach - 1) + 1),
    )
    share = np.where(before < 0, 1.0, np.where(after >= width, 0.0, (column - before) / np.maximum(after - before, 1)))
    known = np.broadcast_to(sources.any(1, keepdims=True), sources.shape)
    return ((1 - share[..., None]) * colours[0] + share[..., None] * colours[1]).astype(np.float32), known


def shadow(picture: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """bool (H, W): where one picture, uint8 (H, W, 3), shows the same as the other in shadow: darker, in the same hue."""
    here, there = (cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for image in (picture, lit))
    darker = (here[..., 0] < there[..., 0]) & (np.linalg.norm((here - there)[..., 1:], axis=-1) < SAME_HUE)
    # with the specks within it
    return np.asarray(darker | (cv2.GaussianBlur(darker.astype(np.float32), (0, 0), SEAM) > 0.5))
