"""Pictures for the codec: functions of their number, of every kind, with the statistics that they are made for."""

import numpy as np
import pytest

from bunraku.data import pictures
from bunraku.data.pictures import (
    KINDS,
    PictureCrops,
    dead_leaves,
    noise_field,
    photograph,
    texture,
    theatre_frame,
    wear,
)
from bunraku.errors import BunrakuError


def test_crops_are_functions_of_seed_and_number():
    data = PictureCrops(0, crop=64, crops=3)
    for index in range(6):
        first = data[index]
        assert first.shape == (3, 64, 64, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, PictureCrops(0, crop=64, crops=3)[index])
    assert not np.array_equal(data[0], data[1])
    assert not np.array_equal(data[0], PictureCrops(1, crop=64, crops=3)[0])


@pytest.mark.parametrize("make", [photograph, dead_leaves, texture])
def test_made_pictures_have_the_side_that_was_asked_for(make):
    for seed in range(8):
        picture = make(np.random.default_rng(seed), 128)
        assert picture.shape == (128, 128, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 2


def test_theatre_frames_come_in_many_shapes_and_never_from_another_split():
    shapes = {theatre_frame(np.random.default_rng(seed), "train").shape for seed in range(4)}
    assert len(shapes) == 4
    assert all(192 <= side <= 384 for shape in shapes for side in shape[:2])
    train, val = (theatre_frame(np.random.default_rng(0), split, (96, 128)) for split in ("train", "val"))
    assert train.shape == (96, 128, 3)
    assert not np.array_equal(train, val)


def test_noise_falls_with_frequency_as_asked():
    field = noise_field(np.random.default_rng(0), 256, 1.0)
    power = np.abs(np.fft.fft2(field)) ** 2
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None]
    radius = np.hypot(fy, fx)
    low, high = (power[(radius > r * 0.9) & (radius < r * 1.1)].mean() for r in (0.05, 0.4))
    assert np.log(low / high) / np.log(0.4 / 0.05) == pytest.approx(2, abs=0.2)  # power is amplitude squared
    assert field.std() == pytest.approx(1, abs=1e-3)


def test_dead_leaves_have_a_spectrum_like_photographs():
    slopes = []
    for seed in range(6):
        grey = dead_leaves(np.random.default_rng(seed), 256).mean(-1)
        power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
        radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
        rings = [power[(radius > r * 0.85) & (radius < r * 1.15)].mean() for r in (0.03, 0.06, 0.12, 0.24)]
        slopes.append(-np.polyfit(np.log([0.03, 0.06, 0.12, 0.24]), np.log(rings), 1)[0])
    assert 1.4 < np.mean(slopes) < 3.2  # photographs: about 2


def test_wear_changes_a_picture_a_little():
    picture = dead_leaves(np.random.default_rng(0), 96)
    for seed in range(6):
        worn = wear(np.random.default_rng(seed), picture)
        assert worn.shape == picture.shape
        assert np.abs(worn.astype(int) - picture).mean() < 25


def test_a_missing_photograph_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pictures, "PHOTOGRAPHS", {"nowhere_at_all/picture.png": "nobody"})
    with pytest.raises(BunrakuError, match="pip install scikit-image matplotlib"):
        photograph(np.random.default_rng(0), 96)


def test_kinds_are_a_distribution():
    assert sum(KINDS.values()) == pytest.approx(1)
