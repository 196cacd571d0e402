"""Cropped samples: squares of whole latents, the same of everything that is driven, some of them where there is something to mend."""

import numpy as np
import pytest

from bunraku.data import cropped
from bunraku.data.cropped import CroppedSamples
from bunraku.data.samples import Sample


class Drawn:
    """Frames in which every pixel is its own, and a cut-out that is wrong in one place."""

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        frames = np.random.default_rng(index).integers(0, 200, (2, 96, 64, 3), np.uint8)
        cut = np.concatenate([frames, frames[..., :1]], -1)
        cut[:, 80:84, 8:12] += 50
        return Sample(frames, {"reference": frames[0]}, {"pose": frames + 1, "cutout": cut})


def test_everything_driven_is_cropped_alike_and_stills_are_whole():
    sample, whole = CroppedSamples(Drawn(), 32)[3], Drawn()[3]
    assert sample.frames.shape == (2, 32, 32, 3)
    assert sample.stills["reference"].shape == (96, 64, 3)
    np.testing.assert_array_equal(sample.driven["pose"], sample.frames + 1)
    places = [
        (y, x)
        for y in range(0, 65, 8)
        for x in range(0, 33, 8)
        if np.array_equal(whole.frames[:, y : y + 32, x : x + 32], sample.frames)
    ]
    assert len(places) == 1


def test_more_crops_show_what_is_wrong_than_chance_would(monkeypatch):
    def wrong() -> int:
        crops = [CroppedSamples(Drawn(), 32)[i] for i in range(80)]
        return sum((crop.frames != crop.driven["cutout"][..., :3]).any() for crop in crops)

    some = wrong()
    monkeypatch.setattr(cropped, "MENDING", 0.0)
    by_chance = wrong()
    monkeypatch.setattr(cropped, "MENDING", 1.0)
    assert by_chance + 10 < some < 60 < wrong() == 80


@pytest.mark.parametrize("side", [64])
def test_a_crop_may_be_as_large_as_the_picture_is_wide(side):
    assert CroppedSamples(Drawn(), side)[0].frames.shape == (2, side, side, 3)
