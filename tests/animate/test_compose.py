"""Several stills as one picture: everybody on the same ground, at the same size, cut out cleanly, with their poses and mattes."""

import numpy as np
import pytest

from bunraku.animate.compose import composed
from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import Reference, open_reference
from bunraku.cues.character_region import torso_lengths
from bunraku.cues.openpose_json import write_pose
from bunraku.media import write_image
from bunraku.theatre import render, sample_scene
from bunraku.theatre.camera import Placement

SIZE = (128, 224)
PEOPLE = 2


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """a.png, wide, somebody on the left; b.png, half as large, somebody else; with their poses, and transparent around them."""
    folder = tmp_path_factory.mktemp("stills")
    for name, seed, size, place in (
        ("a", 3, SIZE, Placement(-0.5, 0.9, 0.7)),
        ("b", 5, (64, 64), Placement(0.0, 0.9, 0.8)),
    ):
        shown = render(sample_scene(seed).recast(placement=place), [0], size)
        opaque = np.uint8(255) * shown.character_mask[0][..., None]
        write_image(folder / f"{name}.png", np.dstack([shown.frames[0], opaque]))
        write_pose(shown.pose, folder / f"{name}.pose.json")
    return folder


@pytest.fixture(scope="module")
def both(stills) -> tuple[Reference, Reference, Reference]:
    options = MotionOptions(references=(stills / "b.png",))
    first = open_reference(stills / "a.png", options)
    return composed(first, options), first, first.beside[0]


def test_they_stand_on_one_ground_and_are_of_one_size(both):
    picture, first, other = both
    people = picture.known_people
    assert people.people == 2
    np.testing.assert_array_equal(people.keypoints[:, :1], first.known_people.keypoints)
    lengths = torso_lengths(people)[0]
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-3)
    lowest = [people.keypoints[0, i][people.scores[0, i] > 0.3][:, 1].max() for i in range(2)]
    assert lowest[1] == pytest.approx(lowest[0], abs=0.1)
    assert torso_lengths(other.known_people)[0, 0] < 0.8 * lengths[0]  # she was smaller


def test_the_picture_is_the_first_with_the_other_over_it(both):
    picture, first, other = both
    assert picture.size == first.size
    assert picture.files == [*first.files[:2]]
    free = picture.matte[1] == 0
    np.testing.assert_array_equal(picture.image[free], first.image[free])
    assert picture.matte.astype(int).sum(0).max() <= 256
    solid = picture.matte[1] == 255
    assert picture.matte[1].sum() == pytest.approx(other.matte.sum() * (_scale(both) ** 2), rel=0.05)
    own = other.image[other.matte == 255].astype(float)
    for channel in range(3):  # she has her own colours
        assert picture.image[solid][:, channel].mean() == pytest.approx(own[:, channel].mean(), abs=12)


def _scale(both) -> float:
    picture, _, other = both
    return float(torso_lengths(picture.known_people)[0, 1] / torso_lengths(other.known_people)[0, 0])


def test_each_has_the_widest_room(both):
    picture, _, _ = both
    columns = [np.flatnonzero((matte > 32).any(0)) for matte in picture.matte]
    assert columns[0][-1] < columns[1][0]
    right = SIZE[1] - columns[0][-1] - 1
    middle = (columns[1][0] + columns[1][-1]) / 2
    assert middle == pytest.approx(columns[0][-1] + right / 2, abs=2)


def test_too_little_room_is_told_and_nobody_beside_changes_nothing(stills, caplog):
    options = MotionOptions(references=(stills / "b.png", stills / "b.png", stills / "b.png"))
    crowd = composed(open_reference(stills / "a.png", options), options)
    assert crowd.known_people.people == 4
    assert "there is little room for the person of" in caplog.text
    alone = open_reference(stills / "a.png")
    assert composed(alone, MotionOptions()) is alone
