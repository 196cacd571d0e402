"""All that a model is shown of a clip, side by side under its names: what `--debug` writes."""

from collections.abc import Mapping

import numpy as np

from bunraku.media.sheet import side_by_side

_PAPER = 255


def cue_sheet(drawn: Mapping[str, np.ndarray], *, height: int = 256, columns: int = 4) -> np.ndarray:
    """Tile drawn conditions, each under its name, frame by frame.

    The size of the result depends on the sizes alone, so a long clip can be tiled part by part.

    Args:
        drawn: name -> frames (F, H, W, C) or a still (H, W, C), which is repeated: uint8, or bool for masks, with 1 or 3 channels, or
            without the last axis. Sizes may differ, lengths may not.
        height: of a tile in pixels.
        columns: tiles in a row.

    Returns:
        uint8 (F, H', W', 3) RGB.

    Raises:
        ValueError: nothing to tile, or arrays of other shapes, types or lengths.

    >>> cue_sheet({"pose": np.zeros((2, 8, 8, 3), np.uint8), "mask": np.ones((2, 8, 8), bool)}, height=32).shape[0]
    2
    """
    if not drawn or columns < 1:
        raise ValueError(f"a sheet needs a condition and a column; got {len(drawn)} and {columns}")
    pictures = {name: _picture(name, frames) for name, frames in drawn.items()}
    frames = {len(p) for p in pictures.values()} - {1} or {1}
    if len(frames) > 1:
        raise ValueError(f"conditions of one clip have one length; got { {k: len(v) for k, v in pictures.items()} }")
    (length,) = frames
    whole = {name: np.broadcast_to(p, (length, *p.shape[1:])) for name, p in pictures.items()}
    names = list(whole)
    rows = [
        side_by_side({name: whole[name] for name in names[i : i + columns]}, height=height)
        for i in range(0, len(names), columns)
    ]
    width = max(row.shape[2] for row in rows)
    padded = [np.pad(row, [(0, 0), (0, 0), (0, width - row.shape[2]), (0, 0)], constant_values=_PAPER) for row in rows]
    return np.concatenate(padded, axis=1)


def _picture(name: str, frames: np.ndarray) -> np.ndarray:
    """As uint8 (F, H, W, 3)."""
    if frames.dtype == np.bool_:
        frames = np.where(frames, np.uint8(255), np.uint8(0))
    if frames.dtype != np.uint8:
        raise ValueError(f"{name} is drawn as uint8 or bool, not {frames.dtype}")
    if frames.shape[-1] not in (1, 3):  # a mask without channels
        frames = frames[..., None]
    if frames.ndim == 3:
        frames = frames[None]
    if frames.ndim != 4:
        raise ValueError(f"{name} is (F, H, W, C) or (H, W, C) with 1 or 3 channels; got {frames.shape}")
    return np.broadcast_to(frames, (*frames.shape[:3], 3))
