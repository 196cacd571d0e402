"""Kept samples are the samples, drawn once; what shows colours is permuted together, and nothing else is."""

import numpy as np
import pytest

from bunraku.data.kept import KeptSamples
from bunraku.data.samples import Sample
from bunraku.errors import BunrakuError


class Drawn:
    """Counts how often it draws."""

    def __init__(self, name: str = "numbers") -> None:
        self.name, self.drawn = name, 0

    def __repr__(self) -> str:
        return self.name

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        self.drawn += 1
        noise = np.random.default_rng(index).integers(0, 256, (2, 4, 6, 4), np.uint8)
        clip, image = noise[..., :3], noise[0, ..., :3]
        return Sample(clip, {"reference": image + 2, "reference_pose": image + 3}, {"pose": clip + 1, "cutout": noise})


def arrays(sample: Sample) -> list[np.ndarray]:
    return [sample.frames, *sample.stills.values(), *sample.driven.values()]


def test_a_kept_sample_is_the_sample_and_is_drawn_once(tmp_path):
    drawn = Drawn()
    kept = KeptSamples(drawn, tmp_path, 3)
    for index in (0, 2, 3, 5, 2):
        expected = Drawn()[index % 3]
        for one, other in zip(arrays(kept[index]), arrays(expected), strict=True):
            assert np.array_equal(one, other)
        assert kept[index].stills.keys() == expected.stills.keys()
        assert kept[index].driven.keys() == expected.driven.keys()
    assert drawn.drawn == 2


def test_colours_are_permuted_together_and_coverage_and_poses_are_left(tmp_path):
    kept, plain = KeptSamples(Drawn(), tmp_path, 2, permute_colours=True), Drawn()
    orders = set()
    for index in range(20):
        sample, source = kept[index], plain[index % 2]
        order = np.random.default_rng([0, index]).permutation(3)
        orders.add(tuple(order))
        assert np.array_equal(sample.frames, source.frames[..., order])
        assert np.array_equal(sample.stills["reference"], source.stills["reference"][..., order])
        assert np.array_equal(sample.driven["cutout"], source.driven["cutout"][..., [*order, 3]])
        assert np.array_equal(sample.driven["pose"], source.driven["pose"])
        assert np.array_equal(sample.stills["reference_pose"], source.stills["reference_pose"])
    assert len(orders) > 3


def test_a_folder_keeps_samples_of_one_data_set(tmp_path):
    KeptSamples(Drawn("one"), tmp_path, 2)
    with pytest.raises(BunrakuError, match="keeps samples of one, and these are other"):
        KeptSamples(Drawn("other"), tmp_path, 2)
