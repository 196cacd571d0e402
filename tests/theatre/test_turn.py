"""Turned bodies: front, side and back of the same motion."""

import numpy as np
import pytest

from bunraku.theatre.camera import Sway
from bunraku.theatre.motion import sample_dance
from bunraku.theatre.puppet import skeleton
from bunraku.theatre.scene import sample_scene
from bunraku.theatre.turn import Turn, sample_turn

TIME = np.arange(40) / 12


@pytest.fixture(scope="module")
def dance():
    return sample_dance(np.random.default_rng(0))


def joints(motion) -> np.ndarray:
    return skeleton(sample_scene(3).actors[0].character, motion.posture(TIME)).joints


def test_a_turn_of_nothing_is_the_motion_itself(dance):
    np.testing.assert_allclose(joints(Turn(dance, 0.0)), joints(dance), atol=1e-9)


def test_the_back_is_the_front_mirrored_and_has_no_face(dance):
    front, back = dance.posture(TIME), Turn(dance, np.pi).posture(TIME)
    np.testing.assert_allclose(np.sin(back.limbs), -np.sin(front.limbs), atol=1e-9)
    np.testing.assert_allclose(back.stretch, np.maximum(front.stretch, 0), atol=1e-9)
    character = sample_scene(3).actors[0].character
    assert not skeleton(character, back).visible[:, [0, 14, 15]].any()
    assert skeleton(character, front).visible.all()


def test_from_the_side_the_body_is_narrow_and_the_face_looks_there(dance):
    posture = Turn(dance, np.pi / 2).posture(TIME)
    assert np.abs(posture.shoulder_width).max() < 0.2
    assert posture.yaw.min() > 0.99
    hanging = np.abs(np.cos(dance.posture(TIME).limbs)) > 0.9
    assert np.all(posture.stretch[hanging] > 0.5)  # what hangs down keeps its length


def test_sways_move_smoothly_from_the_start(dance):
    turn = Turn(dance, 0.2, (Sway(1.0, 0.2, 0.0),))
    angle = turn.angle(TIME)
    assert angle[0] == pytest.approx(0.2)
    assert np.abs(np.diff(angle)).max() < 0.25
    assert np.ptp(angle) > 1


def test_sampled_turns_are_functions_of_their_seed(dance):
    first, again = (sample_turn(np.random.default_rng(4), dance).angle(TIME) for _ in range(2))
    assert np.array_equal(first, again)
    starts = [sample_turn(np.random.default_rng(seed), dance).start for seed in range(60)]
    behind = np.mean([np.cos(start) < 0 for start in starts])
    assert 0.05 < behind < 0.4
