"""Elbows and knees beside the middle of their limbs."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.puppet_warp.bends import Bends
from bunraku.puppet_warp.body import Body
from bunraku.puppet_warp.labels import TRUNK_LABEL
from tests.puppet_warp.test_labels import a_bare_arm_behind_a_flap

ELBOW, WRIST = 3, 4


def an_arm(aside: float = 0.0, left: int = 24, right: int = 34) -> tuple[np.ndarray, Body]:
    """Labels and measures of a figure whose right arm, limb 0, hangs down between two columns, its elbow `aside` the middle at 29."""
    _, _, body = a_bare_arm_behind_a_flap()
    labels = np.full((140, 110), -1)
    labels[32:90, 46:82] = TRUNK_LABEL
    labels[38:95, left:right] = 0
    joints = body.joints.copy()
    joints[ELBOW, 0] += aside
    return labels, replace(body, joints=joints)


@pytest.mark.parametrize("aside", [-4.0, -2.0, 3.0])
def test_a_joint_comes_to_the_middle_of_its_limb(aside: float) -> None:
    labels, body = an_arm(aside)
    bends = Bends(labels, body)
    assert bends.half.keys() == {0}
    assert abs(bends.half[0] - 5) < 0.6
    centred = bends.centred(body.joints, 1.0)
    assert np.abs(centred[ELBOW] - (29, 66)).max() < 0.7
    others = np.arange(18) != ELBOW
    assert (centred[others] == body.joints[others]).all()


def test_it_goes_along_with_the_upper_bone() -> None:
    labels, body = an_arm(3.0)
    bends = Bends(labels, body)
    turn = 2 * np.array([[0.0, -1.0], [1.0, 0.0]])
    posed = body.joints @ turn.T + (7, 3)
    expected = bends.centred(body.joints, 1.0)[ELBOW] @ turn.T + (7, 3)
    assert np.abs(bends.centred(posed, 2.0)[ELBOW] - expected).max() < 1e-6
    posed[WRIST] += (30, 30)  # the forearm bends, the elbow stays
    assert np.abs(bends.centred(posed, 2.0)[ELBOW] - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("aside", "left", "right"),
    [(0.0, 24, 34), (1.0, 24, 34), (3.0, 20, 40), (3.0, 0, 34), (-3.0, 28, 31)],
    ids=["in its middle", "nearly", "a wide sleeve", "cut by the border", "a thin one"],
)
def test_other_joints_stay(aside: float, left: int, right: int) -> None:
    labels, body = an_arm(aside, left, right)
    bends = Bends(labels, body)
    assert 0 not in bends.half
    assert (bends.centred(body.joints, 1.0) == body.joints).all()


def test_a_bent_limb_and_one_without_a_forearm_say_nothing() -> None:
    labels, body = an_arm(3.0)
    bent = body.joints.copy()
    bent[WRIST] = bent[ELBOW] + (-26, 0)
    assert not Bends(labels, replace(body, joints=bent)).half
    assert not Bends(labels, replace(body, radii={(0, 0): 5.0})).half


def test_legs_that_touch_each_other_say_nothing() -> None:
    _, body = an_arm()
    labels = np.full((140, 110), -1)
    labels[90:138, 45:59], labels[90:138, 59:73] = 2, 3
    joints = body.joints.copy()
    joints[[8, 9, 10], 0], joints[[11, 12, 13], 0] = 48, 70
    assert not Bends(labels, replace(body, joints=joints)).half
