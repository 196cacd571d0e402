"""Pictures of results: a sheet of labelled rows of frames, and videos side by side."""

from collections.abc import Mapping

import cv2
import numpy as np

from bunraku.media.images import fit, resize

_PAPER, _INK = 255, 40
_GAP = 4


def contact_sheet(
    rows: Mapping[str, np.ndarray], columns: int = 8, *, height: int = 192, labels: bool = True
) -> np.ndarray:
    """One picture with a labelled row per entry, each showing frames spread evenly over its length.

    Args:
        rows: label -> uint8 (F, H, W, 3) RGB, or a still (H, W, 3); sizes and lengths may differ. All cells have the
            aspect ratio of the row with the most frames; others are letterboxed.
        columns: most frames per row; a still is shown once.
        height: of a cell in pixels.
        labels: whether the names stand in a column on the left.

    Returns:
        uint8 (H', W', 3) RGB.
    """
    stacks = {label: _stack(frames) for label, frames in rows.items()}
    if not stacks:
        raise ValueError("a contact sheet needs at least one row")
    longest = max(stacks.values(), key=len)
    columns = min(columns, len(longest))
    width = max(1, round(height * longest.shape[2] / longest.shape[1]))
    margin = max(_text_width(label) for label in stacks) + 2 * _GAP if labels else 0
    sheet = np.full(
        (len(stacks) * (height + _GAP) + _GAP, margin + columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8
    )
    for row, (label, frames) in enumerate(stacks.items()):
        top = _GAP + row * (height + _GAP)
        chosen = np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)
        cells, _ = fit(frames[chosen], (height, width), "letterbox")
        for column, cell in enumerate(cells):
            left = margin + _GAP + column * (width + _GAP)
            sheet[top : top + height, left : left + width] = cell
        if labels:
            _write(sheet, label, (_GAP, top + height // 2 + _text_height() // 2))
    return sheet


def side_by_side(panels: Mapping[str, np.ndarray], *, height: int | None = None, labels: bool = True) -> np.ndarray:
    """Frames of several videos next to each other, each under its label.

    The size of the result depends on the sizes of the panels alone, so a long video can be joined chunk by chunk.

    Args:
        panels: label -> uint8 (F, H, W, 3) RGB, or a still (H, W, 3), which is repeated.
        height: of the panels in pixels; by default that of the tallest.
        labels: whether the names stand above.

    Returns:
        uint8 (F, H', W', 3) RGB, even in height and width.
    """
    stacks = {label: _stack(frames) for label, frames in panels.items()}
    lengths = {len(frames) for frames in stacks.values()} - {1} or {1}
    if not stacks or len(lengths) > 1:
        raise ValueError(f"panels need equal numbers of frames, or one; got { {k: len(v) for k, v in stacks.items()} }")
    (length,) = lengths
    height = height or max(frames.shape[1] for frames in stacks.values())
    strip = _text_height() + 3 * _GAP if labels else 0
    widths = [
        max(round(height * frames.shape[2] / frames.shape[1]), _text_width(label) + 2 * _GAP if labels else 1)
        for label, frames in stacks.items()
    ]
    total = sum(widths) + _GAP * (len(widths) - 1)
    joined = np.full((length, height + strip + (height + strip) % 2, total + total % 2, 3), _PAPER, np.uint8)
    left = 0
    for width, (label, frames) in zip(widths, stacks.items(), strict=True):
        inner = (height, max(1, round(height * frames.shape[2] / frames.shape[1])))
        x = left + (width - inner[1]) // 2
        joined[:, strip : strip + height, x : x + inner[1]] = resize(frames, inner)
        if labels:
            header = np.full((strip, width, 3), _PAPER, np.uint8)
            _write(header, label, ((width - _text_width(label)) // 2, strip - 2 * _GAP))
            joined[:, :strip, left : left + width] = header
        left += width + _GAP
    return joined


def _stack(frames: np.ndarray) -> np.ndarray:
    return frames[None] if frames.ndim == 3 else frames


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0])


def _text_height() -> int:
    return int(cv2.getTextSize("Ag", cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][1])


def _write(image: np.ndarray, text: str, origin: tuple[int, int]) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (_INK,) * 3, 1, cv2.LINE_AA)
