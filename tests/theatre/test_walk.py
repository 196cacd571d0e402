"""A walk goes from one place to the other and back, without a jump, facing where it goes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bunraku.theatre import Walk, sample_dance, sample_scene
from bunraku.theatre.puppet import skeleton


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 5))
def test_it_arrives_and_comes_back(start, end, seconds):
    walk = Walk(start, end, seconds)
    x = walk.posture(seconds * np.array([0, 1, 2, 3, 0.5])).x
    np.testing.assert_allclose(x, [start, end, start, end, (start + end) / 2], atol=1e-9)
    way = walk.posture(np.linspace(0, 4 * seconds, 400)).x
    assert min(start, end) - 1e-9 <= way.min() <= way.max() <= max(start, end) + 1e-9
    assert np.abs(np.diff(way)).max() <= 0.017 * abs(end - start) + 1e-9


def test_it_faces_where_it_goes():
    walk = Walk(-1, 1, 2.0)
    out, back = walk.posture(np.array([1.0, 3.0])).yaw
    assert out > 0.5
    assert back < -0.5
    assert walk.behind == (False, True)
    assert Walk(1, -1, 2.0).behind == (True, False)


def test_feet_step_in_turn_and_nothing_jumps():
    character = sample_scene(0).actors[0].character
    posture = Walk(-1, 1, 3.0).posture(np.linspace(0, 6, 300))
    joints = skeleton(character, posture).joints
    assert np.abs(np.diff(joints, axis=0)).max() < 0.08
    apart = joints[:, 13, 0] - joints[:, 10, 0]
    assert (np.diff(np.sign(apart[20:130])) != 0).sum() >= 3, "the feet never pass each other"


def test_arms_may_dance_meanwhile():
    dance, time = sample_dance(np.random.default_rng(0)), np.linspace(0, 2, 20)
    plain, dancing = Walk(-1, 1, 2.0).posture(time), Walk(-1, 1, 2.0, arms=dance).posture(time)
    np.testing.assert_array_equal(dancing.limbs[:, :4], dance.posture(time).limbs[:, :4])
    np.testing.assert_array_equal(dancing.limbs[:, 4:], plain.limbs[:, 4:])
    assert Walk(-1, 1, 2.0, arms=dance).behind == dance.behind
