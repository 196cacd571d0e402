"""Flow and the camera: against the theatre's exact motion."""

import cv2
import numpy as np

from bunraku.perception.camera import camera_motion, motion_flow, rests
from bunraku.perception.flow import carried, checked_flow
from bunraku.theatre import render, sample_scene
from bunraku.theatre.flow import background_flow, dense_flow


def test_trusted_flow_is_nearer_to_the_truth() -> None:
    trusted, others = [], []
    for seed in range(4):
        scene = sample_scene(seed, "val")
        frames, truth = render(scene, 2, 256), dense_flow(scene, 1, 256)
        found = checked_flow(*frames.frames)
        error = np.linalg.norm(found.flow - truth.flow[0], axis=-1)
        figure = frames.character_mask[0]
        trusted.append(error[figure & found.trusted].mean())
        others.append(error[figure & ~found.trusted].mean())
    assert np.mean(trusted) < 0.7 * np.mean(others)


def test_what_leaves_the_picture_is_not_trusted() -> None:
    rng = np.random.default_rng(0)
    wide = np.repeat(np.repeat(rng.integers(0, 255, (16, 20, 3), np.uint8), 8, 0), 8, 1)
    now, then = wide[:, :128], wide[:, 12:140]
    found = checked_flow(now, then)
    assert np.allclose(np.median(found.flow[:, 30:], axis=(0, 1)), (-12, 0), atol=0.5)
    assert not found.trusted[:, :8].any()


def test_values_are_fetched_along_the_flow() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    fetched, inside = carried(values, np.full((3, 4, 2), (1, 0), np.float32))
    assert np.array_equal(fetched[:, :3], values[:, 1:])
    assert not inside[:, 3].any()
    assert inside[:, :3].all()


def test_the_camera_is_found_outside_the_people() -> None:
    """On smooth stages a motion is found for most frames, and then to a fraction of a pixel."""
    errors, moves = [], []
    for seed in range(10):
        scene = sample_scene(seed, "val", moving_camera=True)
        shown, truth = render(scene, 2, 256), background_flow(scene, 1, 256)[0]
        motion = camera_motion(*shown.frames, shown.character_mask.any(0))
        moves.append(np.linalg.norm(truth, axis=-1).mean())
        if motion is not None:
            errors.append(np.linalg.norm(motion_flow(motion, (256, 256)) - truth, axis=-1).mean())
    assert len(errors) >= 7
    assert np.median(errors) < 0.25
    assert np.median(errors) < 0.25 * np.mean(moves)


def test_a_textured_scene_is_registered_to_hundredths() -> None:
    rng = np.random.default_rng(3)
    wide = cv2.resize(rng.integers(0, 255, (40, 50, 3), np.uint8), (400, 320), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((200, 160), 1.5, 1.01)
    turn[:, 2] += (3.2, -2.1)
    then = cv2.warpAffine(wide, turn, (400, 320), flags=cv2.INTER_CUBIC)[40:280, 40:360]
    motion = camera_motion(wide[40:280, 40:360], then)
    # both counted from the corner of the first pixel of the part
    shift = np.array([[1, 0, 39.5], [0, 1, 39.5], [0, 0, 1]])
    truth = np.linalg.inv(shift) @ np.vstack([turn, (0, 0, 1)]) @ shift
    assert motion is not None
    assert np.abs(motion_flow(motion, (240, 320)) - motion_flow(truth, (240, 320))).max() < 0.1


def test_a_camera_at_rest_rests() -> None:
    shown = render(sample_scene(1, "val"), 2, 256)
    motion = camera_motion(*shown.frames, shown.character_mask.any(0))
    assert motion is not None
    assert rests(motion, (256, 256))
    assert not rests(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1.0]]), (256, 256))


def test_nothing_to_hold_on_to_is_no_motion() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    assert camera_motion(frame, frame, np.ones((64, 64), bool)) is None
