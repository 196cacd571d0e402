"""The outline of a drawn figure: how thick it is, what colour it has, and whether there is one."""

import cv2
import numpy as np
import pytest

from bunraku.puppet_warp.body import from_edge
from bunraku.puppet_warp.ink import outline


def drawn(width: int, inside: tuple[int, int, int] = (215, 210, 205)) -> tuple[np.ndarray, np.ndarray]:
    """A round figure on paper with a line of some width along its edge, and the distance from its edge."""
    picture, mask = np.full((160, 160, 3), (215, 210, 205), np.uint8), np.zeros((160, 160), np.uint8)
    cv2.circle(mask, (80, 80), 60, 1, -1)
    distance = from_edge(mask > 0)
    picture[mask > 0] = inside
    picture[(distance > 0) & (distance <= width)] = (60, 40, 140)
    return picture, distance


@pytest.mark.parametrize("width", [2, 5, 11])
def test_the_line_is_as_thick_and_dark_as_it_was_drawn(width: int) -> None:
    found = outline(*drawn(width), 20)
    assert found is not None
    assert found.width == pytest.approx(width, abs=1)
    assert np.array_equal(found.colour, (60, 40, 140))
    assert found.alone


def test_a_coloured_figure_is_not_drawn_with_lines_alone() -> None:
    picture, distance = drawn(5)
    picture[:80, 40:][distance[:80, 40:] > 5] = (200, 60, 40)
    picture[80:][distance[80:] > 5] = (60, 160, 40)
    found = outline(picture, distance, 20)
    assert found is not None
    assert found.width == pytest.approx(5, abs=1)
    assert not found.alone


def test_there_is_none_without_a_line() -> None:
    assert outline(*drawn(0), 20) is None
    shaded, distance = drawn(0)
    dark = np.clip(distance / 40, 0, 1)[..., None]
    assert outline((shaded * (0.4 + 0.6 * dark)).astype(np.uint8), distance, 20) is None
    assert outline(*drawn(5), 1) is None
