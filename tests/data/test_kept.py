"""Kept samples are the samples, drawn once; what shows colours is permuted together, and nothing else is."""

from collections import Counter

import numpy as np
import pytest

from bunraku.data.kept import AHEAD, KeptSamples
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


class Unknown(Drawn):
    """Cannot be drawn: whatever is read was kept."""

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        raise AssertionError(f"sample {index} is drawn again")


@pytest.mark.parametrize("kinds", [1, 4])
def test_a_kept_sample_is_read_back_as_it_was(tmp_path, kinds):
    first = KeptSamples(Drawn(), tmp_path, 8, kinds=kinds)
    written = [first[index] for index in range(8)]
    again = KeptSamples(Unknown(), tmp_path, 8, kinds=kinds)
    for index, sample in enumerate(written):
        read = again[index + 8]
        assert [list(read.stills), list(read.driven)] == [list(sample.stills), list(sample.driven)]
        for one, other in zip(arrays(read), arrays(sample), strict=True):
            assert one.dtype == other.dtype == np.uint8
            assert np.array_equal(one, other)
    with np.load(tmp_path / "0000" / "3.npz") as file:  # a file as numpy's own
        assert np.array_equal(file["still reference"], written[3].stills["reference"])
    assert len(list(tmp_path.rglob("*.npz"))) == 8


def test_without_repeats_samples_come_in_order_and_again(tmp_path):
    plain = KeptSamples(Drawn(), tmp_path, 700)
    assert [plain.number(index) for index in range(1500)] == [index % 700 for index in range(1500)]
    # of a count that the kinds do not divide, the last few are left out
    several = KeptSamples(Drawn(), tmp_path, 702, kinds=7)
    assert [several.number(index) for index in range(1500)] == [index % 700 for index in range(1500)]


@pytest.mark.parametrize(("count", "repeats", "kinds"), [(2000, 3, 1), (2400, 4, 8)])
def test_new_samples_come_between_those_that_come_again(tmp_path, count, repeats, kinds):
    kept = KeptSamples(Drawn(), tmp_path, count, repeats=repeats, kinds=kinds)
    visits = AHEAD + (count - AHEAD) * repeats  # in which all are drawn
    numbers = [kept.number(index) for index in range(visits)]
    assert all(number % kinds == index % kinds for index, number in enumerate(numbers))
    assert numbers[:AHEAD] == list(range(AHEAD))
    since: dict[int, int] = {}
    for index, number in enumerate(numbers):
        if number in since:
            assert index - since[number] >= AHEAD / 2  # it may still be being drawn
        else:
            since[number] = index
    assert sorted(since) == list(range(count))
    for kind in range(kinds):
        assert [number for number in since if number % kinds == kind] == list(range(kind, count, kinds))
    gaps = np.diff([index for number, index in since.items() if number % kinds == 0 and number >= AHEAD])
    assert set(gaps) == {repeats * kinds}
    times = Counter(numbers)
    assert visits / count == pytest.approx(repeats, rel=0.3)
    assert np.mean([times[number] for number in range(AHEAD, 2 * AHEAD)]) == pytest.approx(repeats, rel=0.3)
    # later any of them, and none beyond
    later = Counter(kept.number(index) for index in range(visits, visits + 5 * count))
    assert set(later) <= set(range(count))
    assert len(later) > 0.95 * count
    assert max(later.values()) < 20
    # the same whatever was asked for before; another seed, others
    assert numbers == [KeptSamples(Drawn(), tmp_path, count, False, 0, repeats, kinds).number(i) for i in range(visits)]
    other = KeptSamples(Drawn(), tmp_path, count, seed=1, repeats=repeats, kinds=kinds)
    assert numbers != [other.number(index) for index in range(visits)]


def test_few_samples_come_again_at_once(tmp_path):
    few = KeptSamples(Drawn(), tmp_path, 40, repeats=4, kinds=8)
    numbers = [few.number(index) for index in range(3000)]
    assert numbers[:40] == list(range(40))
    assert set(numbers) == set(range(40))
    assert all(number % 8 == index % 8 for index, number in enumerate(numbers))


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
