"""Bends: elbows and knees in the middle of their limbs, where these turn without steps. Detectors find joints beside their limbs."""

import numpy as np

from bunraku.puppet_warp.body import LEGS, LIMBS, Body, turned, unit

STIFF = 0.5  # cosine of the angle by which a limb may be bent where its breadth is measured
LINES, NEAR, REACH = 5, 0.4, 2.5
"""Across a limb at its joint: so many, so far to either side of the joint along the limb, and so long to either side of it, in half thicknesses."""
BREADTH = (0.8, 1.6)  # half thicknesses that half a limb's breadth may have there: clothes are wider
ASIDE = 0.3  # half thicknesses from the middle from which on a joint is moved


class Bends:
    """What is measured of a figure's elbows and knees.

    Args:
        labels: int (H, W), see `puppet_warp.labels`.
        body: its measures, in pixels of the picture.

    Attributes:
        half: half the breadth in pixels of the limbs whose joint lies beside their middle. Others are bent, or their edges cannot be seen.
    """

    def __init__(self, labels: np.ndarray, body: Body) -> None:
        self.half: dict[int, float] = {}
        self._aside: dict[int, np.ndarray] = {}
        for limb, chain in enumerate(LIMBS):
            if {(limb, 0), (limb, 1)} <= body.radii.keys():
                self._measure(limb, body.joints[list(chain)], min(body.radii[limb, 0], body.radii[limb, 1]), labels)

    def _measure(self, limb: int, joints: np.ndarray, thin: float, labels: np.ndarray) -> None:
        start, joint, end = joints
        upper, lower = unit(joint - start, (0, 1)), unit(end - joint, (0, 1))
        if upper @ lower < STIFF:
            return
        onwards = unit(upper + lower, upper)
        across, ways = turned(onwards), np.arange(-REACH * thin, REACH * thin, 0.5)
        edges = []
        for level in np.linspace(-NEAR, NEAR, LINES) * thin:
            x, y = np.floor(joint + level * onwards + ways[:, None] * across).astype(int).T
            within = (x >= 0) & (y >= 0) & (x < labels.shape[1]) & (y < labels.shape[0])
            line = np.where(within, labels[y * within, x * within], limb)
            own, other = np.flatnonzero(line == limb), np.flatnonzero(line != limb)
            if len(own):
                middle = own[np.abs(ways[own]).argmin()]
                before, after = other[other < middle], other[other > middle]
                # legs that touch each other are divided in the middle of both
                if len(before) and len(after) and not np.isin(line[[before[-1], after[0]]], LEGS).any():
                    edges.append((ways[before[-1]], ways[after[0]]))
        if len(edges) <= LINES // 2:
            return
        left, right = np.median(edges, 0)
        aside, half = (left + right) / 2, (right - left) / 2
        if BREADTH[0] * thin < half < BREADTH[1] * thin and ASIDE * thin < abs(aside) < half:
            self.half[limb] = float(half)
            self._aside[limb] = aside * np.array([across @ upper, across @ turned(upper)])

    def centred(self, joints: np.ndarray, scale: float) -> np.ndarray:
        """Joints (18, 2) of a figure of any pose, `scale` times as large as the measured one: the same, those elbows and knees in the middle of their
        limbs. They go along with the upper bone."""
        centred = joints.copy()
        for limb, (along, across) in self._aside.items():
            start, joint, _ = LIMBS[limb]
            upper = unit(joints[joint] - joints[start], (0, 1))
            centred[joint] += scale * (along * upper + across * turned(upper))
        return centred
