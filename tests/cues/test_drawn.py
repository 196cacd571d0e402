"""Conditions drawn in parts are those drawn whole, and take from the cues what these know."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.cues.background_flow import draw_background_flow
from bunraku.cues.cues import Cues
from bunraku.cues.depth_order import draw_depth_order, ranks_over_time, standing_nearness
from bunraku.cues.drawn import Drawn, draw_clip
from tests.tiny import crowd

SIZE = (48, 40)


@pytest.fixture
def cues() -> Cues:
    track = crowd(7, 3, (96, 80), np.random.default_rng(0))
    return Cues(12, track.size, "a test", pose=track)


@pytest.mark.parametrize("name", ["pose", "flow", "depth_order"])
def test_parts_of_a_clip_are_drawn_as_the_whole_is(cues, name):
    rng = np.random.default_rng(1)
    maps = {
        "mattes": np.kron(rng.choice([0, 255], (7, 3, 4, 4)), np.ones((12, 10))).astype(np.uint8),
        "objects": np.kron(rng.choice([0, 255], (7, 4, 4)), np.ones((12, 10))).astype(np.uint8),
        "depth": rng.uniform(1, 9, (7, 48, 40)).astype(np.float32),
    }
    cues = replace(cues, maps=maps, pixels=rng.integers(0, 256, (7, 96, 80, 3), np.uint8))
    drawn = Drawn(name, cues, SIZE)
    whole = drawn[range(len(cues))]
    assert whole.shape == (7, *SIZE, 3)
    assert whole.any()
    assert np.array_equal(drawn[[5, 2]], whole[[5, 2]])


def test_without_maps_the_camera_rests_and_the_order_is_guessed(cues):
    scaled = cues.pose.scaled(SIZE)
    drawn = {name: d[range(7)] for name, d in draw_clip(("flow", "depth_order"), cues, SIZE, {}).items()}
    assert np.array_equal(drawn["flow"], draw_background_flow(scaled))
    ranks = ranks_over_time(standing_nearness(scaled))
    assert np.array_equal(drawn["depth_order"], draw_depth_order(scaled, ranks))


def test_maps_say_how_the_camera_moves_and_who_is_near(cues):
    camera = np.tile(np.eye(3), (7, 1, 1))
    camera[2, :2, 2] = 2, -6  # pixels of the clip, twice those of the drawing
    camera[4] = np.nan
    nearness = np.array([[1.0, 2, 3]] * 6 + [[3.0, 2, 1]])
    cues = replace(cues, maps={"camera": camera, "nearness": nearness})
    flow = np.zeros((7, *SIZE, 2))
    flow[2] = 1, -3
    scaled = cues.pose.scaled(SIZE)
    assert np.array_equal(Drawn("flow", cues, SIZE)[range(7)], draw_background_flow(scaled, flow))
    ranks = np.array([[0, 1, 2]] * 6 + [[2, 1, 0]])
    assert np.array_equal(Drawn("depth_order", cues, SIZE)[range(7)], draw_depth_order(scaled, ranks))
    alone = cues.with_people([1], cues.pose.person(1))
    assert alone.maps["nearness"].tolist() == [[2.0]] * 7


def test_drawn_skeletons_tell_nothing_but_the_pose():
    cues = Cues(12, SIZE, "a drawing", skeleton=np.zeros((2, *SIZE, 3), np.uint8))
    assert list(draw_clip(("pose", "flow", "depth_order"), cues, SIZE, {})) == ["pose"]


def test_dense_flow_speaks_where_the_camera_is_not_known(cues):
    camera = np.tile(np.eye(3), (7, 1, 1))
    camera[:, 0, 2] = 4
    camera[3] = np.nan
    flow = np.full((7, 12, 10, 2), (0, -6), np.float16)
    flow[:, :6] = np.nan
    drawn = Drawn("flow", replace(cues, maps={"camera": camera, "flow": flow}), SIZE)[range(7)]
    scaled = cues.pose.scaled(SIZE)
    expected = np.zeros((7, *SIZE, 2))
    expected[:, ..., 0] = 2
    expected[3, :, :] = 0
    expected[3, 24:, :, 1] = -3
    away = np.abs(np.arange(SIZE[0]) - 24) > 4  # from where what is known ends
    assert np.array_equal(drawn[:, away], draw_background_flow(scaled, expected, SIZE)[:, away])
    alone = Drawn("flow", replace(cues, maps={"flow": flow}), SIZE)[[3]]
    assert np.array_equal(alone, drawn[[3]])


def test_who_is_seen_where_is_the_one_whose_matte_covers_most(cues):
    mattes = np.zeros((7, 3, 24, 20), np.uint8)
    mattes[:, 0, :12] = 255
    mattes[:, 1, :, :5], mattes[:, 0, :12, :5] = 200, 55  # person 1 before person 0
    mattes[:, 2, 20:, 15:] = 120  # less than half
    drawn = Drawn("instances", replace(cues, maps={"mattes": mattes}), (24, 20))[[3, 1]]
    expected = np.zeros((24, 20), np.uint8)
    expected[:12], expected[:, :5] = 1, 2
    assert drawn.shape == (2, 24, 20, 1)
    assert (drawn[..., 0] == expected).all()
    assert not draw_clip(("instances",), cues, SIZE, {})
