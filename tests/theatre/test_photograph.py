"""Photographed scenes: the truth of the scene, textures that stick, shadows and light."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.theatre.camera import Camera, Placement
from bunraku.theatre.photograph import Style, photograph, sample_drawing, sample_scene_photograph, sample_style
from bunraku.theatre.scene import render, sample_scene

SIZE = (96, 80)


@pytest.fixture(scope="module")
def style() -> Style:
    return sample_style(np.random.default_rng(1))


def plain(**changes) -> Style:
    """A style that changes nothing, but for `changes`."""
    flat = np.ones((2, 256, 256), np.float32)
    nothing = Style(
        flat, 0.0, np.array([0.0, 0.0, 1.0]), 0.0, 0.0, None, flat[0], 1.0, np.ones(3, np.float32), np.float32([1, 0, 0])
    )  # fmt: skip
    return replace(nothing, **changes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_style_that_changes_nothing_gives_the_rendering(seed):
    scene = sample_scene(seed, props=True, objects=True, moving_camera=seed == 1)
    shown, taken = render(scene, [0, 7], SIZE), photograph(scene, [0, 7], SIZE, plain())
    assert np.abs(shown.frames.astype(int) - taken.frames).max() <= 1
    assert np.array_equal(shown.background, taken.background)


def test_the_truth_is_the_scenes(style):
    scene = sample_scene(5, people=2, objects=True)
    shown, taken = render(scene, [3, 9], SIZE), photograph(scene, [3, 9], SIZE, style)
    assert np.array_equal(shown.labels, taken.labels)
    assert np.array_equal(shown.pose.keypoints, taken.pose.keypoints)
    assert np.array_equal(shown.occluded, taken.occluded)
    assert not np.array_equal(shown.frames, taken.frames)


def test_a_frame_is_the_same_whatever_else_is_asked_for(style):
    scene = sample_scene(6, moving_camera=True)
    together, alone = photograph(scene, [9, 2, 4], SIZE, style), photograph(scene, [2], SIZE, style)
    assert np.array_equal(together.frames[1], alone.frames[0])
    assert np.array_equal(together.background[1], alone.background[0])


def test_the_place_follows_the_camera():
    place = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    scene = replace(sample_scene(6, moving_camera=True), actors=())
    taken = photograph(scene, [0, 10], SIZE, plain(place=place))
    still = photograph(replace(scene, camera=Camera()), [0, 10], SIZE, plain(place=place))
    assert np.array_equal(taken.frames[0], still.frames[0])  # the camera starts at rest
    assert not np.array_equal(taken.frames[1], still.frames[1])
    assert np.array_equal(taken.frames, taken.background)


def test_texture_moves_with_the_part_it_is_on():
    """A puppet carried sideways by whole pixels takes its pattern along."""
    scene = sample_scene(8).recast(placement=Placement(0.0, 0.93, 0.7))
    moved = scene.recast(placement=Placement(12 / 96, 0.93, 0.7))
    noise = np.random.default_rng(0).uniform(0.6, 1.4, (2, 256, 256)).astype(np.float32)
    here, there = (photograph(s, [0], (96, 96), plain(textures=noise)) for s in (scene, moved))
    inside = here.labels[0] > 0
    inside[:, -12:] = False
    difference = np.abs(here.frames[0].astype(int) - np.roll(there.frames[0], -12, 1))[inside]
    assert np.mean(difference) < 2
    flat = photograph(scene, [0], (96, 96), plain()).frames[0]
    assert np.abs(here.frames[0].astype(int) - flat)[inside].mean() > 5


def test_shadows_darken_the_ground_and_not_the_puppet():
    scene = sample_scene(9)
    light = np.array([0.5, -0.3, 0.8])
    shown = photograph(scene, [0], SIZE, plain(light=light))
    dark = photograph(scene, [0], SIZE, plain(light=light, shadow=0.6, wall=0.4))
    puppet = shown.labels[0] > 0
    change = dark.frames[0].astype(int) - shown.frames[0]
    assert change.max() <= 0
    assert change[~puppet].min() < -15
    assert change[puppet].mean() > -2  # but for its soft edge
    assert np.array_equal(dark.background, shown.background)


def test_scenes_are_functions_of_split_and_number_and_of_many_kinds():
    first, again = (sample_scene_photograph(7) for _ in range(2))
    assert np.array_equal(
        photograph(first[0], [4], SIZE, first[1]).frames, photograph(again[0], [4], SIZE, again[1]).frames
    )
    other = sample_scene_photograph(7, "val")
    assert other[0].actors[0].character != first[0].actors[0].character
    scenes = [sample_scene_photograph(seed)[0] for seed in range(32)]
    assert len(sample_scene_photograph(0, people=3)[0].actors) == 3
    assert 3 < sum(scene.camera.moves for scene in scenes) < 20
    assert 3 < sum(bool(scene.objects) for scene in scenes) < 20
    for wrong in ((0, "nowhere"), (-1, "train")):
        with pytest.raises(BunrakuError, match="a scene needs"):
            sample_scene_photograph(*wrong)


def test_drawings_are_flat():
    scene, _ = sample_scene_photograph(3)
    style = sample_drawing(np.random.default_rng(0))
    assert style.relief == style.shadow == style.wall == 0
    assert photograph(scene, [0], SIZE, style).frames.std() > 5
