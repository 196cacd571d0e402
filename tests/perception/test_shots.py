"""Cuts and blank frames."""

import numpy as np

from bunraku.media.reader import VideoReader
from bunraku.perception.shots import Shots


def scene(seed):
    return np.kron(np.random.default_rng(seed).integers(0, 256, (8, 8, 3)), np.ones((12, 16, 1))).astype(np.uint8)


def cuts(frames):
    shots = Shots()
    return [i for i, frame in enumerate(frames) if shots(frame)], shots.blank


def test_cuts_are_found_and_a_flash_of_black_is_none():
    black = np.zeros((96, 128, 3), np.uint8)
    clip = [scene(0)] * 5 + [black] + [scene(0)] * 3 + [scene(1)] * 4 + [black] * 2 + [scene(2)] * 2
    assert cuts(clip) == ([9, 15], [5, 13, 14])
    assert cuts([black] * 3) == ([], [0, 1, 2])


def test_fast_motion_and_a_change_of_light_are_no_cuts():
    wide = np.concatenate([scene(seed) for seed in range(6)], axis=1)
    pan = [wide[:, i * 2 : i * 2 + 128] for i in range(30)]
    assert cuts(pan)[0] == []
    light = [(scene(0) * (1 - 0.04 * i)).astype(np.uint8) for i in range(12)]
    assert cuts(light)[0] == []


def test_footage_without_cuts_has_none_and_put_together_one(assets):
    dance = list(VideoReader(assets / "drivers" / "dance_outdoors.mp4", stop=80))
    other = list(VideoReader(assets / "drivers" / "dance_plain.mp4", stop=5))
    assert cuts(dance)[0] == []
    assert cuts(dance[:10] + other)[0] == [10]
