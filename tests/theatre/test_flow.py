"""Flow takes every visible pixel to the same paint in the next frame, and the background where the camera takes it."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.theatre import render, sample_scene
from bunraku.theatre.camera import BACKDROP
from bunraku.theatre.flow import background_flow, dense_flow, inside_polygon, mean_value_coordinates

SCENES = {
    "solo": {},
    "crowd": {"people": 3, "frames": 24},
    "stage": {"props": True, "objects": True},
    "camera": {"moving_camera": True, "objects": True, "props": True},
}


def flat(picture: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours have about their colour: no antialiased edge near."""
    return (cv2.dilate(picture, np.ones((3, 3))) - cv2.erode(picture, np.ones((3, 3)))).max(-1) <= 24


@pytest.mark.parametrize("kind", SCENES)
def test_flow_warps_a_frame_to_the_next(kind):
    agree, seen = [], []
    for seed in range(3):
        scene = sample_scene(seed, "test", **SCENES[kind])
        frames = [3, 4]
        shown, flow = render(scene, [*frames, 5], 128), dense_flow(scene, frames, 128)
        for i in range(len(frames)):
            now, then = shown.frames[i], shown.frames[i + 1]
            y, x = np.nonzero(flow.visible[i] & flat(now))
            there = flow.flow[i, y, x] + np.stack([x, y], -1) + 0.5
            tx, ty = np.floor(there).astype(int).T
            even = flat(then)[ty, tx]
            difference = np.abs(now[y, x].astype(int) - then[ty, tx]).max(-1)[even]
            agree.append((difference <= 12)[shown.labels[i, y, x][even] > 0])
            seen.append(flow.visible[i].mean())
    assert np.concatenate(agree).mean() > 0.995, "paint changes its colour on the way"
    assert np.mean(seen) > 0.9


def test_what_is_not_visible_any_more_is_covered_or_gone():
    """Walking people cover the stage before them: pixels of the stage that an actor takes are the invisible ones."""
    scene = sample_scene(1, "test", people=2, frames=12)
    shown, flow = render(scene, [5, 6], 128), dense_flow(scene, [5], 128)
    solid = cv2.erode((shown.labels[1] > 0).astype(np.uint8), np.ones((3, 3))) > 0
    taken = (shown.labels[0] == 0) & solid
    free = (shown.labels == 0).all(0) & ~(cv2.dilate((shown.labels > 0).any(0).astype(np.uint8), np.ones((5, 5))) > 0)
    assert taken.sum() > 20
    assert not flow.visible[0][taken].any()
    assert flow.visible[0][free].all()
    assert not flow.flow[0][free].any()


def test_a_face_that_turns_away_is_not_visible():
    scene = sample_scene(0, "test")
    track = render(scene, [0, 0], 64).pose
    from bunraku.perception.pose import PoseTrack
    from bunraku.theatre import motion_from_pose

    turned = track.keypoints.copy()
    turned[1, ..., 0] = 64 - turned[1, ..., 0]
    turning = scene.recast(motion=motion_from_pose(PoseTrack(turned, track.scores, track.size), 12))
    flow = dense_flow(turning, [0], 64)
    assert np.isfinite(flow.flow).all()
    eye = render(turning, [0], 64).pose.keypoints[0, 0, 14].astype(int)
    assert not flow.visible[0, eye[1], eye[0]]


def test_background_flow_is_the_cameras_map():
    scene = sample_scene(4, "test", moving_camera=True)
    flow = background_flow(scene, [2, 7], (48, 64))
    places = np.random.default_rng(0).uniform(0, 48, (1, 200, 2))
    for row, frame in zip(flow, (2, 7)):
        now, then = (scene.camera.view(np.array([f / 12]), BACKDROP, (48, 64))(places)[0] for f in (frame, frame + 1))
        inside = ((now >= 1) & (now < (63, 47))).all(-1)
        assert inside.sum() > 100
        x, y = np.moveaxis(now[inside] - 0.5, -1, 0).astype(np.float32)
        seen = cv2.remap(
            row, x, y, cv2.INTER_LINEAR
        )  # affine, so that linear interpolation is exact up to its 1/32 pixel
        np.testing.assert_allclose(seen.reshape(-1, 2), (then - now)[inside], atol=5e-3)
    assert np.abs(flow).max() > 0.2
    assert not background_flow(sample_scene(4, "test"), 2, 16).any()


def test_the_background_moves_with_its_flow():
    scene = sample_scene(4, "test", moving_camera=True)
    dense, alone = dense_flow(scene, [3], 64), background_flow(scene, [3], 64)
    empty = render(scene, [3], 64).labels[0] == 0
    outside = ~(cv2.dilate((~empty).astype(np.uint8), np.ones((3, 3))) > 0)
    np.testing.assert_array_equal(dense.flow[0][outside], alone[0][outside])


@given(st.integers(0, 10**6))
def test_mean_value_coordinates_reproduce_affine_maps(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    polygon = np.stack([np.cos(angles), np.sin(angles)], -1) * rng.uniform(0.5, 2, (9, 1))  # a star, rarely convex
    points = rng.uniform(-1.5, 1.5, (200, 2))
    points = points[inside_polygon(points, polygon)]
    weights = mean_value_coordinates(points, polygon)
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights @ polygon, points, atol=1e-6)
    turn, shift = rng.normal(size=(2, 2)), rng.normal(size=2)
    np.testing.assert_allclose(weights @ (polygon @ turn + shift), points @ turn + shift, atol=1e-5)


def test_mean_value_coordinates_survive_edges_and_collapsed_outlines():
    square = np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]])
    weights = mean_value_coordinates(np.array([[0.5, 0.0], [1.0, 1.0]]), square)
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0, 0], [0, 0, 1, 0]], atol=1e-6)
    line = np.array([[0.0, 0.0], [1, 0], [2, 0], [1, 0]])
    assert np.isfinite(mean_value_coordinates(np.array([[0.5, 0.5], [1.0, 0.0]]), line)).all()


@given(st.integers(0, 10**6))
def test_inside_polygon_agrees_with_opencv(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    polygon = np.stack([np.cos(angles), np.sin(angles)], -1) * rng.uniform(0.3, 1, (7, 1))
    points = rng.uniform(-1, 1, (50, 2))
    expected = [cv2.pointPolygonTest(polygon.astype(np.float32), tuple(map(float, p)), True) for p in points]
    clear = np.abs(expected) > 1e-4
    np.testing.assert_array_equal(inside_polygon(points, polygon)[clear], (np.array(expected) > 0)[clear])
