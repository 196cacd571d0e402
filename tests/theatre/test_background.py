"""Stages are smooth, independent of size and never busier than a codec can carry."""

import cv2
import numpy as np

from bunraku.theatre import sample_background, sample_studio


def test_stages_agree_between_sizes():
    for seed in range(20):
        stage = sample_background(np.random.default_rng(seed))
        small = stage.render((64, 96))[0].astype(float)
        large = cv2.resize(stage.render((256, 384))[0], (96, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(small - large).mean() < 1.0


def test_stages_carry_no_pixel_noise():
    for seed in range(20):
        picture = sample_background(np.random.default_rng(seed)).render((128, 128))[0].astype(float)
        residue = picture - cv2.medianBlur(picture.astype(np.uint8), 5)
        assert np.abs(residue).mean() < 1.0


def test_stages_differ():
    pictures = {sample_background(np.random.default_rng(seed)).render((32, 32)).tobytes() for seed in range(30)}
    assert len(pictures) == 30


def test_studios_are_plain_and_mostly_white():
    """One gradient without an edge, smooth at every size."""
    white = 0
    for seed in range(60):
        picture = sample_studio(np.random.default_rng(seed)).render((48, 64))[0].astype(int)
        assert max(np.abs(np.diff(picture, axis=axis)).max() for axis in (0, 1)) <= 10
        white += bool(np.ptp(picture.mean((0, 1))) < 20 and picture.max() > 200)
    assert 30 < white < 55
