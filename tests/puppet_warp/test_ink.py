"""How thick the lines of a line drawing are."""

import cv2
import numpy as np
import pytest

from bunraku.puppet_warp.body import from_edge
from bunraku.puppet_warp.ink import line_width


def drawn(width: int, inside: tuple[int, int, int] = (215, 210, 205)) -> tuple[np.ndarray, np.ndarray]:
    """A round figure on paper with a line of some width along its edge, and the distance from its edge."""
    picture, mask = np.full((160, 160, 3), (215, 210, 205), np.uint8), np.zeros((160, 160), np.uint8)
    cv2.circle(mask, (80, 80), 60, 1, -1)
    distance = from_edge(mask > 0)
    picture[mask > 0] = inside
    picture[(distance > 0) & (distance <= width)] = (60, 40, 140)
    return picture, distance


@pytest.mark.parametrize("width", [2, 5, 11])
def test_the_line_is_as_thick_as_it_was_drawn(width: int) -> None:
    assert line_width(*drawn(width), 20) == pytest.approx(width, abs=1)


def test_there_is_none_without_a_line_or_in_a_coloured_figure() -> None:
    assert line_width(*drawn(0), 20) == 0
    picture, distance = drawn(5)
    picture[:80, 40:][distance[:80, 40:] > 5] = (200, 60, 40)
    picture[80:][distance[80:] > 5] = (60, 160, 40)
    assert line_width(picture, distance, 20) == 0
    shaded, distance = drawn(0)
    dark = np.clip(distance / 40, 0, 1)[..., None]
    assert line_width((shaded * (0.4 + 0.6 * dark)).astype(np.uint8), distance, 20) == 0
    assert line_width(*drawn(5), 1) == 0
