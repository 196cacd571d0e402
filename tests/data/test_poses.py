"""Pose samples: functions of their number, with exact truth beside what detectors and retargeting make of it."""

import numpy as np

from bunraku.data.poses import PoseSamples, _mirrored
from bunraku.theatre import sample_scene
from bunraku.theatre.scene import poses, stage


def test_a_sample_is_a_function_of_its_number():
    first, again = PoseSamples(1, 16), PoseSamples(1, 16)
    for a, b in zip(first[7], again[7], strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    assert not np.array_equal(first[7][0], first[8][0])


def test_samples_come_with_their_mirror_image():
    points, seen, body, truth, visible = PoseSamples(0, 12)[3]
    assert points.shape == (2, 12, 18, 2)
    assert seen.shape == visible.shape == (2, 12, 18)
    assert len(body) == 2
    known = np.isfinite(truth[0]).all(-1)
    left, right = truth[0][:, 4][known[:, 4]], truth[1][:, 7][known[:, 4]]  # one's right wrist is the other's left
    assert np.allclose(left * (-1, 1), right, atol=0.02)


def test_clean_poses_are_the_truth_and_spoiled_ones_are_not():
    clean, spoiled, led = (PoseSamples(2, 16, "val", kind) for kind in ("clean", "spoiled", "led"))

    def error(samples):
        given = [samples[i] for i in range(6)]
        return np.mean(
            [
                np.nanmean(np.abs(points - truth)[np.repeat(seen[..., None] > 0, 2, -1)])
                for points, seen, _, truth, _ in given
            ]
        )

    assert error(clean) < 1e-6
    assert error(spoiled) > 0.005
    assert 0.001 < error(led) < 0.05


def test_poses_are_those_of_the_stage():
    scene = sample_scene(4, "val", people=2, moving_camera=True)
    time = np.arange(5) / 12
    whole, alone = stage(scene, time, (96, 128)).pose, poses(scene, time, (96, 128))
    assert np.array_equal(whole.keypoints, alone.keypoints)
    assert np.array_equal(whole.scores, alone.scores)


def test_mirrored_twice_is_as_before():
    track = poses(sample_scene(4, "val"), np.arange(5) / 12, (96, 128))
    assert np.allclose(_mirrored(_mirrored(track)).keypoints, track.keypoints, atol=1e-4)
