"""Layers: mattes, camera, plate and objects of a theatre clip, in one file with its poses."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.cues import Cues
from bunraku.cues.layers import layer_sheet, perceive_layers
from bunraku.cues.perceive import follow
from bunraku.errors import BunrakuError
from bunraku.perception.objects import Click
from bunraku.theatre import Rendering, render, sample_scene


class Footage:
    """Frames in memory that may be walked through again and again."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames, self.fps, self.size = frames, Fraction(12), (frames.shape[1], frames.shape[2])

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.frames)


@pytest.fixture(scope="module")
def shown() -> Rendering:
    return render(sample_scene(4, "val", people=2), range(0, 16, 2), 160)


@pytest.fixture(scope="module")
def layers(shown: Rendering) -> Cues:
    return perceive_layers(Cues(Fraction(6), (160, 160), "theatre", shown.pose), Footage(shown.frames))


def test_mattes_show_the_people(shown: Rendering, layers: Cues) -> None:
    mattes = layers.maps["mattes"]
    assert mattes.shape == (8, 2, 160, 160)
    found, truth = mattes.sum(1) > 127, shown.character_mask
    assert (found & truth).sum() / (found | truth).sum() > 0.93


def test_the_plate_is_the_stage(shown: Rendering, layers: Cues) -> None:
    assert layers.plate is not None
    seen_once = ~shown.character_mask.all(0) & ~shown.object_mask.any(0)
    behind = shown.character_mask.any(0) & seen_once
    truth = np.ma.median(np.ma.array(shown.frames, mask=np.repeat(shown.character_mask[..., None], 3, -1)), axis=0)
    assert np.abs(layers.plate.astype(float) - truth)[behind].mean() < 4


def test_the_camera_rests(layers: Cues) -> None:
    camera = layers.maps["camera"]
    assert camera.shape == (8, 3, 3)
    assert np.nanmax(np.abs(camera - np.eye(3))[:, :2, 2]) < 0.5


def test_one_file_holds_all(layers: Cues, tmp_path: Path) -> None:
    layers.save(tmp_path / "a.cues")
    again = Cues.load(tmp_path / "a.cues")
    assert again.maps.keys() == {"mattes", "camera"}
    assert np.array_equal(again.maps["mattes"], layers.maps["mattes"])
    assert np.array_equal(again.maps["camera"], layers.maps["camera"], equal_nan=True)
    assert again.plate is not None
    assert layers.plate is not None
    assert np.array_equal(again.plate, layers.plate)


def test_following_one_person_keeps_that_matte(layers: Cues) -> None:
    one = follow(layers, 1)
    assert np.array_equal(one.maps["mattes"], layers.maps["mattes"][:, 1:2])


def test_layers_have_their_types(layers: Cues) -> None:
    for maps, message in (
        (
            {"mattes": layers.maps["mattes"][:, :1]},
            r"mattes must be uint8 \(F, P, h, w\); got uint8 \(8, 1, 160, 160\)",
        ),
        ({"camera": np.zeros((8, 2, 3))}, r"camera must be float64 \(F, 3, 3\); got float64 \(8, 2, 3\)"),
        ({"objects": np.zeros((8, 4, 4), bool)}, r"objects must be uint8 \(F, h, w\); got bool"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(layers, maps=maps)
    assert replace(layers, maps={"mine": np.zeros(8)}).maps["mine"].shape == (8,)
    with pytest.raises(ValueError, match="the plate must be uint8"):
        replace(layers, plate=np.zeros((4, 4)))


def test_a_clicked_thing_is_followed(shown: Rendering, layers: Cues) -> None:
    frames = shown.frames.copy()
    for i, frame in enumerate(frames):
        frame[20:32, 10 + 6 * i : 22 + 6 * i] = (250, 20, 230)
    cues = perceive_layers(Cues(Fraction(6), (160, 160), "t", shown.pose), Footage(frames), clicks=[Click((28, 26), 2)])
    objects = cues.maps["objects"] > 0
    assert not objects[:2].any()
    truth = (frames[2:] == (250, 20, 230)).all(-1)
    assert (objects[2:] & truth).sum() / (objects[2:] | truth).sum() > 0.8
    assert layer_sheet(cues, Footage(frames), 3).dtype == np.uint8


def test_what_does_not_fit(shown: Rendering) -> None:
    cues = Cues(Fraction(6), (160, 160), "theatre", shown.pose)
    with pytest.raises(BunrakuError, match="layers need the poses of these 3 frames"):
        perceive_layers(cues, Footage(shown.frames[:3]))
    with pytest.raises(BunrakuError, match="there is no frame 99 in 8 frames"):
        perceive_layers(cues, Footage(shown.frames), clicks=[Click((1, 1), 99)])
