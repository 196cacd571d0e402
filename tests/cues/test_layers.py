"""Layers: mattes, camera, plate and objects of a theatre clip, in one file with its poses."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from bunraku.cues.cues import Cues
from bunraku.cues.identity import draw_identities
from bunraku.cues.layers import layer_sheet, perceive_layers
from bunraku.cues.perceive import follow
from bunraku.errors import BunrakuError
from bunraku.perception.objects import Click, Named
from bunraku.perception.pose import PoseTrack
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
    assert again.maps.keys() == {"mattes", "camera", "flow", "from_plate"}
    assert np.array_equal(again.maps["flow"], layers.maps["flow"], equal_nan=True)
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
    cues = perceive_layers(Cues(Fraction(6), (160, 160), "t", shown.pose), Footage(frames), things=[Click((28, 26), 2)])
    objects = cues.maps["objects"] > 0
    assert not objects[:2].any()
    truth = (frames[2:] == (250, 20, 230)).all(-1)
    assert (objects[2:] & truth).sum() / (objects[2:] | truth).sum() > 0.8
    assert layer_sheet(cues, Footage(frames), 3).dtype == np.uint8


def test_flow_is_in_pixels_of_the_clip() -> None:
    """A stage with texture before a moving camera: half as many pixels are kept, and the ways are as long as in the clip."""
    stage = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8), (0, 0), 2)
    frames = np.stack([stage[20:276, 10 + 3 * i : 266 + 3 * i] for i in range(4)])
    nobody = PoseTrack(np.zeros((4, 1, 18, 2), np.float32), np.zeros((4, 1, 18), np.float32), (256, 256))
    flow = perceive_layers(Cues(Fraction(6), (256, 256), "t", nobody), Footage(frames)).maps["flow"]
    assert flow.shape == (4, 128, 128, 2)
    assert flow.dtype == np.float16
    known = np.isfinite(flow).all(-1)
    assert known[:, 8:-8, 8:-8].mean() > 0.95
    assert np.abs(flow[known] - (-3, 0)).mean() < 0.15
    assert not known[:, :, 0].any()  # leaves the picture


def test_no_flow_leads_across_a_cut(shown: Rendering, caplog: pytest.LogCaptureFixture) -> None:
    other = render(sample_scene(9, "val", people=2), range(2), 160)
    frames = np.concatenate([shown.frames[:2], other.frames])
    pose = PoseTrack(
        np.concatenate([shown.pose.keypoints[:2], other.pose.keypoints]), np.ones((4, 2, 18), np.float32), (160, 160)
    )
    layers = perceive_layers(Cues(Fraction(6), (160, 160), "two scenes", pose), Footage(frames))
    assert "no flow leads to frame 2 of two scenes: the picture is cut there" in caplog.text
    unknown = np.isnan(layers.maps["flow"].astype(float)).all((1, 2, 3))
    assert unknown.tolist() == [False, True, False, False]
    assert np.isnan(layers.maps["camera"][1]).all()


def test_depth_is_a_distance_and_says_who_is_near(shown: Rendering) -> None:
    class Nearer:
        name = "nearer"

        def __call__(self, frame: np.ndarray) -> np.ndarray:
            return np.tile(np.linspace(0, 7, frame.shape[1], dtype=np.float32), (frame.shape[0], 1))

    cues = perceive_layers(Cues(Fraction(6), (160, 160), "t", shown.pose), Footage(shown.frames), depth=Nearer())
    assert cues.maps["depth"].dtype == np.float32
    assert np.allclose(cues.maps["depth"][3, 5], -np.linspace(0, 7, 160))
    right = shown.pose.keypoints[0, :, 1, 0].argmax()
    assert cues.maps["nearness"][0].argmax() == right
    assert layer_sheet(cues, Footage(shown.frames), 3).shape[2] == 3


def test_a_long_clip_keeps_smaller_layers(monkeypatch: pytest.MonkeyPatch, shown: Rendering) -> None:
    monkeypatch.setattr("bunraku.cues.layers.MOST", 40_000)
    cues = perceive_layers(
        Cues(Fraction(6), (160, 160), "t", shown.pose), Footage(shown.frames), things=[Click((80, 80))]
    )
    assert cues.maps["mattes"].shape == (8, 2, 50, 50)
    for name in ("mattes", "flow", "objects"):
        assert 20_000 < cues.maps[name].nbytes <= 40_000
    assert layer_sheet(cues, Footage(shown.frames), 3).shape[2] == 3


def test_a_thing_by_name_is_followed_from_where_it_is_found(shown: Rendering) -> None:
    class Finder:
        def check(self, name: str) -> None: ...

        def __call__(self, frame: np.ndarray, name: str) -> list[Click]:
            y, x = np.nonzero((frame == (250, 20, 230)).all(-1))
            return [Click((x.min(), y.min(), x.max() + 1, y.max() + 1))] if len(x) else []

    frames = shown.frames.copy()
    for i, frame in enumerate(frames[3:], 3):
        frame[20:32, 10 + 6 * i : 22 + 6 * i] = (250, 20, 230)
    thing = Named("sword", 1, [Finder()])  # type: ignore[list-item]
    clip = Cues(Fraction(6), (160, 160), "t", shown.pose)
    objects = perceive_layers(clip, Footage(frames), things=[thing]).maps["objects"] > 0
    truth = (frames == (250, 20, 230)).all(-1)
    assert not objects[:3].any()
    assert (objects & truth).sum() / (objects | truth).sum() > 0.8
    with pytest.raises(BunrakuError, match="no sword is found in any frame from 1 on"):
        perceive_layers(clip, Footage(shown.frames), things=[thing])


def test_mattes_that_are_given(shown: Rendering) -> None:
    """In colours each is who it says; white ones are shared by the poses."""
    truth = np.stack([np.uint8(255) * (shown.instances == p + 1) for p in range(2)], 1)
    clip = Cues(Fraction(6), (160, 160), "t", shown.pose)
    coloured = perceive_layers(clip, Footage(shown.frames), masks=Footage(draw_identities(truth)))
    assert np.array_equal(coloured.maps["mattes"], truth)
    white = np.repeat(truth.max(1)[..., None], 3, -1)
    shared = perceive_layers(clip, Footage(shown.frames), masks=Footage(white)).maps["mattes"]
    assert np.array_equal(shared.max(1), truth.max(1))
    with pytest.raises(BunrakuError, match=r"there are 3 masks for 8 frames; .* \(--mask\)"):
        perceive_layers(clip, Footage(shown.frames), masks=Footage(white[:3]))
    with pytest.raises(BunrakuError, match="the masks have 80x160 px, the clip 160x160"):
        perceive_layers(clip, Footage(shown.frames), masks=Footage(white[:, :, :80]))


def test_what_does_not_fit(shown: Rendering) -> None:
    cues = Cues(Fraction(6), (160, 160), "theatre", shown.pose)
    with pytest.raises(BunrakuError, match="layers need the poses of these 3 frames"):
        perceive_layers(cues, Footage(shown.frames[:3]))
    with pytest.raises(BunrakuError, match="there is no frame 99 in 8 frames"):
        perceive_layers(cues, Footage(shown.frames), things=[Click((1, 1), 99)])
