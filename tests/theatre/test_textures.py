"""Procedural pictures: statistics like those of photographs."""

import numpy as np
import pytest

from bunraku.theatre.textures import dead_leaves, noise_field, texture, wear


@pytest.mark.parametrize("make", [dead_leaves, texture])
def test_made_pictures_have_the_side_that_was_asked_for(make):
    for seed in range(8):
        picture = make(np.random.default_rng(seed), 128)
        assert picture.shape == (128, 128, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 2
        assert np.array_equal(picture, make(np.random.default_rng(seed), 128))


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
