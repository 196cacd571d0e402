"""Props sit in the hand and turn with the forearm; set pieces stand where they are put."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.theatre import Placement, SetPiece, render, sample_prop, sample_scene, sample_set_piece
from bunraku.theatre.props import PROPS, SET_PIECES, Prop
from bunraku.theatre.scene import stage

RED, BLUE, DARK = (220, 30, 30), (30, 60, 220), (30, 20, 20)


def prop_layers(scene, frames: int, size: int) -> list[np.ndarray]:
    staging = stage(scene, np.arange(frames) / 12, (size, size))
    return [layer.polygon for layer in staging.layers if layer.label == 2]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("kind", PROPS)
def test_props_follow_the_forearm(kind, side):
    """In the forearm's own frame a prop never moves, and the hand lies within its extent."""
    scene = sample_scene(3).recast(prop=Prop(kind, side, 0.1, RED, BLUE, DARK))
    pose = stage(scene, np.arange(12) / 12, (128, 128)).joints[:, 0]
    elbow, wrist = pose[:, 3 + 3 * side], pose[:, 4 + 3 * side]
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow, axis=-1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    points = np.concatenate(prop_layers(scene, 12, 128), 1) - wrist[:, None]
    local = np.stack([(points * along[:, None]).sum(-1), (points * across[:, None]).sum(-1)], -1)
    np.testing.assert_allclose(local, np.broadcast_to(local[:1], local.shape), atol=1e-6)
    body = scene.actors[0].character.body
    grip = 0.6 * body.hand_radius * scene.actors[0].placement.height * 128
    assert (local.min((0, 1)) < (grip, 0)).all()
    assert (local.max((0, 1)) > (grip, 0)).all()


def test_an_umbrella_opens_upwards_over_an_arm_stretched_sideways():
    for side in (0, 1):
        scene = sample_scene(3).recast(prop=Prop("umbrella", side, 0.15, RED, BLUE, DARK))
        pose = stage(scene, np.arange(48) / 12, (128, 128)).joints[:, 0]
        forearm = pose[:, 4 + 3 * side] - pose[:, 3 + 3 * side]
        outwards = forearm[:, 0] * (1 if side else -1) / np.linalg.norm(forearm, axis=-1)
        frame = int(outwards.argmax())
        assert outwards[frame] > 0.9
        canopy = np.concatenate(prop_layers(scene, 48, 128), 1)[frame]
        assert canopy[:, 1].min() < pose[frame, 4 + 3 * side, 1] - 0.15 * 128 * 0.6


def test_a_prop_changes_only_its_own_pixels():
    scene = sample_scene(3)
    bare, holding = render(scene, 8), render(scene.recast(prop=Prop("ball", 1, 0.09, RED, BLUE, DARK)), 8)
    changed = (bare.frames != holding.frames).any(-1)
    assert (holding.labels == 2).any((1, 2)).all()
    clear = holding.labels != 2
    assert changed[~clear].mean() > 0.9
    assert changed[clear].mean() < 0.01  # antialiased edges
    np.testing.assert_array_equal(bare.pose.keypoints, holding.pose.keypoints)
    np.testing.assert_array_equal(holding.object_mask, holding.labels == 2)


@pytest.mark.parametrize("kind", SET_PIECES)
def test_set_pieces_stand_on_their_floor_one_height_tall(kind):
    scene = replace(sample_scene(0), actors=(), objects=(SetPiece(kind, Placement(0.1, 0.8, 0.3), RED, BLUE, DARK),))
    shown = render(scene, 2, 200)
    y, x = np.nonzero(shown.object_mask[0])
    assert abs(y.max() + 1 - 160) <= 4
    assert abs(y.min() - 100) <= 4
    assert abs((x.min() + x.max() + 1) / 2 - 120) <= 6
    np.testing.assert_array_equal(shown.frames[0], shown.frames[1])
    assert shown.pose.people == 0


def test_samples_differ_and_every_kind_comes_up():
    rng = np.random.default_rng(0)
    props, pieces = [sample_prop(rng) for _ in range(60)], [sample_set_piece(rng, near) for near in (True, False) * 60]
    assert {p.kind for p in props} == set(PROPS)
    assert {p.side for p in props} == {0, 1}
    assert {p.kind for p in pieces} == set(SET_PIECES)
    assert max(p.placement.depth for p in pieces[::2]) < 1 < min(p.placement.depth for p in pieces[1::2])
