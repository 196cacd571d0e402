"""The camera rests at time 0, moves near things more than far ones, and the background is drawn where it looks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.theatre import Camera, Placement, render, sample_camera, sample_scene
from bunraku.theatre.camera import BACKDROP, Sway
from bunraku.theatre.shapes import pixel_centres

SIZE = (48, 64)
CAMERAS = st.builds(lambda seed: sample_camera(np.random.default_rng(seed)), st.integers(0, 10**6))
POINTS = np.array([[[0.0, 0.0], [64.0, 48.0], [10.0, 40.0], [32.0, 24.0]]])


@given(CAMERAS, st.floats(0.3, BACKDROP))
def test_at_time_zero_the_camera_is_the_identity(camera, depth):
    np.testing.assert_allclose(camera.view(np.zeros(1), depth, SIZE)(POINTS), POINTS, atol=1e-9)


@given(CAMERAS, st.floats(0.3, BACKDROP), st.floats(0, 10))
def test_a_view_undoes_its_inverse(camera, depth, time):
    view = camera.view(np.array([time, time + 1]), depth, SIZE)
    np.testing.assert_allclose(view.inverse()(view(POINTS)), np.repeat(POINTS, 2, 0), atol=1e-9)


@given(CAMERAS, st.floats(0, 10))
def test_the_middle_of_the_stage_stays_in_the_picture(camera, time):
    for depth in (0.8, 1.0, BACKDROP):
        x, y = camera.view(np.array([time]), depth, (100, 100))(np.array([[[50.0, 50.0]]]))[0, 0]
        assert 15 < x < 85
        assert 35 < y < 65


def test_parallax_is_inverse_to_depth():
    camera = Camera(slide_x=(Sway(0.1, 0.2, 0.1),))
    shifts = [camera.view(np.ones(1), depth, SIZE)(POINTS)[0] - POINTS[0] for depth in (1.0, 2.0, BACKDROP)]
    np.testing.assert_allclose(shifts[0], 2 * shifts[1])
    np.testing.assert_allclose(shifts[0], BACKDROP * shifts[2])
    np.testing.assert_allclose(shifts[0][:, 1], 0, atol=1e-12)


def test_shake_moves_everything_alike_and_zoom_about_the_middle():
    shake = Camera(shake_x=(Sway(0.02, 0.7, 0.2),), shake_y=(Sway(0.02, 0.5, 0.3),))
    np.testing.assert_allclose(shake.view(np.ones(1), 0.5, SIZE)(POINTS), shake.view(np.ones(1), 2.5, SIZE)(POINTS))
    zoom = Camera(zoom=(Sway(0.2, 0.25, 0.0),), roll=(Sway(0.1, 0.25, 0.0),))
    seen = zoom.view(np.ones(1), 1.0, SIZE)(POINTS)[0]
    np.testing.assert_allclose(seen[3], (32, 24), atol=1e-12)
    grown = np.linalg.norm(seen - seen[3], axis=-1)[:3] / np.linalg.norm(POINTS[0] - POINTS[0, 3], axis=-1)[:3]
    np.testing.assert_allclose(grown, np.exp(0.2))


def test_the_background_is_drawn_where_the_camera_looks():
    """A shift of whole pixels shows exactly the pixels of a larger stage that lie there; nothing is resampled."""
    for seed in range(6):
        stage = sample_scene(seed).background
        # (sin(pi / 2) - sin(0)) / 8 of the frame height is 8 pixels
        view = Camera(shake_x=(Sway(0.125, 0.25, 0.0),)).view(np.ones(1), BACKDROP, (64, 64))
        wide = stage.render((64, 80))[0]  # 8 more on either side
        moved = stage.render((64, 64), view)[0]
        assert (np.abs(moved.astype(int) - wide[:, 16:]).max(-1) <= 1).mean() > 0.99


def test_scenes_under_a_moving_camera():
    scene = sample_scene(2, "test", moving_camera=True, objects=True)
    moving, still = render(scene, [0, 9, 18], 96), render(replace(scene, camera=Camera()), [0, 9, 18], 96)
    assert np.abs(moving.frames[0].astype(int) - still.frames[0]).max() <= 1
    np.testing.assert_allclose(moving.pose.keypoints[0], still.pose.keypoints[0], atol=1e-4)
    assert (moving.background[0] != moving.background[1]).any()
    assert not (still.background[0] != still.background[1]).any()
    time = np.array([0, 9, 18]) / 12
    seen = scene.camera.view(time, scene.actors[0].placement.depth, (96, 96))(still.pose.keypoints[:, 0])
    np.testing.assert_allclose(moving.pose.keypoints[:, 0], seen, atol=1e-3)


def test_pixel_centres():
    np.testing.assert_array_equal(
        pixel_centres((2, 3))[0], [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]
    )


@pytest.mark.parametrize("depth", [0.0, -1.0, BACKDROP])
def test_places_off_the_stage_are_refused(depth):
    with pytest.raises(BunrakuError, match="between 0 and 3"):
        Placement(depth=depth)
