"""Cells: a figure in small pieces between a picture's edges, and the cheapest cut through them."""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from bunraku.perception.cutout import flooded

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns to half of a pixel's eight neighbours."""

SURE = 4.0  # usual contrasts that a border between two kinds counts beside its own
SOFT = 0.7  # sigma in pixels of the blur that takes the noise out of the edges
UNIT, MOST = (
    100.0,
    1e9,
)  # steps of a capacity in one, and the most that all may be together: flows are integers of 32 bits


class Cells:
    """The pixels of a figure in cells, and what cutting between two cells that touch costs.

    A cut costs its length where the colours beside it are the same, and less across an edge (Boykov and Jolly 2001, "Interactive graph
    cuts"; lengths as of Boykov and Kolmogorov 2003, "Computing geodesics and minimal surfaces via graph cuts", with eight neighbours).

    Args:
        picture: uint8 (H, W, 3).
        figure: bool (H, W).
        spacing: pixels from cell to cell.
        kinds: int (H, W), what is known of each pixel, 0 for nothing: where two kinds touch is an edge, however faint.

    Attributes:
        figure: as given.
        count: how many cells there are; none in a figure that is smaller than a cell.
        cells: int (H, W), each pixel's, of other pixels the nearest.
        pairs, costs: cells (2, N) that touch, once for every two pixels that do, and what a cut between these two costs (N,).
    """

    def __init__(self, picture: np.ndarray, figure: np.ndarray, spacing: int, kinds: np.ndarray | None = None) -> None:
        self.figure = figure
        seeds = np.zeros(figure.shape, np.int32)
        middles = np.s_[spacing // 2 :: spacing, spacing // 2 :: spacing]
        seeds[middles] = figure[middles]
        seeds[seeds > 0] = np.arange(seeds.sum()) + 2
        self.count = int(max(seeds.max() - 1, 0))
        if not self.count:
            return
        cells = flooded(picture, np.where(figure, seeds, 1), SOFT)
        _, nearest = distance_transform_edt(
            cells < 2, return_indices=True
        )  # where floods meet, and specks without a cell
        self.cells = cells[tuple(nearest)] - 2
        own = self.cells[figure]
        sizes = np.maximum(np.bincount(own, minlength=self.count), 1)
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[figure].astype(np.float64)
        colours = (
            np.stack([np.bincount(own, weights=channel, minlength=self.count) for channel in lab.T], -1)
            / sizes[:, None]
        )
        pairs, lengths = [], []
        for step in STEPS:
            one, other = _beside(self.cells, *step)
            between = np.logical_and(*_beside(figure, *step)) & (one != other)
            pairs.append(np.stack([one[between], other[between]]))
            lengths.append(np.full(pairs[-1].shape[1], np.pi / 8 / np.hypot(*step)))
        self.pairs = np.concatenate(pairs, 1)
        contrast = ((colours[self.pairs[0]] - colours[self.pairs[1]]) ** 2).sum(-1)
        usual = max(float(contrast.mean()) if len(contrast) else 0.0, 1e-3)
        if kinds is not None:
            counts = [np.bincount(own[kinds[figure] == kind], minlength=self.count) for kind in range(kinds.max() + 1)]
            one, other = np.where(2 * np.max(counts, 0) > sizes, np.argmax(counts, 0), 0)[self.pairs]
            contrast += SURE * usual * ((one != other) & (one > 0) & (other > 0))
        self.costs = np.concatenate(lengths) * np.exp(-contrast / (2 * usual))

    def cut(self, gain: np.ndarray, cost: float) -> np.ndarray:
        """The part of the figure, bool (H, W), with the most `gain`, (H, W), after `cost` for each pixel of the cut's length."""
        if not self.count:
            return np.zeros(self.figure.shape, bool)
        gains = np.bincount(self.cells[self.figure], weights=gain[self.figure], minlength=self.count)
        unit = min(UNIT, MOST / max(float(np.abs(gains).sum()), 1.0))
        source, sink = self.count, self.count + 1
        won, lost = np.flatnonzero(gains > 0), np.flatnonzero(gains < 0)
        one, other = self.pairs
        rows = np.concatenate([one, other, np.full(len(won), source), lost])
        columns = np.concatenate([other, one, won, np.full(len(lost), sink)])
        capacities = np.concatenate([cost * self.costs, cost * self.costs, gains[won], -gains[lost]])
        graph = coo_matrix(
            (capacities * unit, (rows, columns)), shape=(self.count + 2,) * 2
        ).tocsr()  # sums up what is given twice
        graph = graph.rint().astype(np.int32)
        left = graph - maximum_flow(graph, source, sink).flow
        left.data[left.data < 0] = 0
        left.eliminate_zeros()
        reached = np.zeros(self.count + 2, bool)
        reached[breadth_first_order(left, source, return_predecessors=False)] = True
        return np.asarray(reached[self.cells] & self.figure)


def _beside(values: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (H, W, ...) and those of the neighbours so many rows down and columns to the right, where there are any."""
    height, width = values.shape[:2]
    return (
        values[: height - down, max(0, -right) : width - max(0, right)],
        values[down:, max(0, right) : width + min(0, right)],
    )
