"""The cheapest cut: against all cuts there are, and along edges."""

from itertools import product

import numpy as np
import pytest

from bunraku.puppet_warp.cells import Cells


@pytest.mark.parametrize("seed", range(8))
def test_no_other_cut_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    figure = rng.random((9, 9)) < 0.9
    figure[::3, ::3] = True
    cells = Cells(rng.integers(0, 256, (9, 9, 3), np.uint8), figure, 3)
    gain, cost = rng.normal(size=(9, 9)), 0.7

    def worth(chosen: np.ndarray) -> float:
        one, other = cells.pairs
        return float(
            gain[chosen & figure].sum()
            - cost * cells.costs[np.flatnonzero(by_cell(chosen, one) != by_cell(chosen, other))].sum()
        )

    def by_cell(chosen: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        of = np.zeros(cells.count, bool)
        of[cells.cells[chosen & figure]] = True
        return of[numbers]

    best = max(worth(np.array(choice)[cells.cells] & figure) for choice in product((False, True), repeat=cells.count))
    assert cells.count <= 12
    assert worth(cells.cut(gain, cost)) == pytest.approx(best, abs=0.05)  # capacities are rounded


def test_a_cut_follows_the_edge_from_few_hints() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    truth = np.add.outer(np.arange(40) // 3, np.zeros(60, int)) + 20 > np.arange(60)
    picture[truth] = (200, 120, 90)
    gain = np.zeros((40, 60))
    gain[18:22, 2:6], gain[18:22, 52:56] = 5, -5
    found = Cells(picture, np.ones((40, 60), bool), 4).cut(gain, 1.0)
    assert (found == truth).mean() > 0.98


def test_a_cut_through_one_colour_is_short() -> None:
    gain = np.full((40, 60), -0.1)
    gain[10:30, 5:25] = 1
    gain[19:21, 25:50] = 0.2  # a thread, not worth its length
    found = Cells(np.full((40, 60, 3), 128, np.uint8), np.ones((40, 60), bool), 2).cut(gain, 0.5)
    assert found[14:26, 9:21].all()
    assert not found[:, 32:].any()


def test_figures_of_nothing_of_specks_and_of_very_much() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    assert not Cells(picture, np.zeros((20, 20), bool), 4).cut(np.ones((20, 20)), 1.0).any()
    speck = np.zeros((20, 20), bool)
    speck[0, 0] = True
    assert not Cells(picture, speck, 4).cut(np.ones((20, 20)), 1.0).any()
    speck[2:12, 2:12] = True
    assert np.array_equal(Cells(picture, speck, 4).cut(np.full((20, 20), 1e9), 1.0), speck)


def test_where_two_kinds_touch_is_an_edge_however_faint() -> None:
    picture = np.full((40, 60, 3), 60, np.uint8)
    picture[:, :20] = 160  # light on it
    picture[:, 30:] = 70
    kinds = np.where(np.arange(60) < 30, 1, 2) * np.ones((40, 1), int)
    gain = np.zeros((40, 60))
    gain[:, 5:15], gain[:, 40:55], gain[:, 20:30] = 1, -1, 0.05
    everything = np.ones((40, 60), bool)
    assert np.array_equal(Cells(picture, everything, 4, kinds).cut(gain, 2.0), kinds == 1)
    assert not Cells(picture, everything, 4, np.where(kinds == 2, 0, kinds)).cut(gain, 2.0)[:, 24:].any()
