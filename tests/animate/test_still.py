"""The pose of a still becomes a file that `animate` reads: detected, or a figure to be moved by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bunraku.animate.reference import open_reference
from bunraku.animate.still import JOINTS, STANDING, is_still, perceive_still, standing, standing_in
from bunraku.errors import BunrakuError
from bunraku.media import write_image
from bunraku.perception.pose import PARENTS, WHOLE_BODY, Detections
from bunraku.perception.u2net import u2net_weights
from bunraku.theatre import render, sample_scene


class Two:
    name, provider = "two", "nothing"

    def __call__(self, frame: np.ndarray) -> Detections:
        spots = np.random.default_rng(0).uniform(0, 20, (WHOLE_BODY, 2)).astype(np.float32)
        ones = np.ones(WHOLE_BODY, np.float32)
        return Detections.of([(spots + 5, ones), (2 * spots + 30, ones)])

    def restart(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_image(tmp_path / "hero.png", np.full((120, 80, 3), 200, np.uint8))


def test_everybody_who_is_detected_is_written_the_largest_first(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bunraku.animate.reference.create_pose_detector", lambda *_, **__: Two())
    file, track = perceive_still(picture)
    assert (file, track.people) == (picture.with_name("hero.pose.json"), 2)
    assert track.keypoints[0, 0].max() > track.keypoints[0, 1].max()
    known = open_reference(picture).known_people
    assert known is not None
    np.testing.assert_allclose(known.keypoints[0, 0], track.keypoints[0, 0], atol=1e-3)


def test_a_draft_has_a_joint_a_line_and_is_read_as_it_is_edited(picture: Path) -> None:
    file, track = perceive_still(picture, draft=True)
    text = file.read_text()
    assert json.loads(text)["joints"] == list(JOINTS)
    edited = text.replace(f"{track.keypoints[0, 0, 4, 0]:.0f}, {track.keypoints[0, 0, 4, 1]:.0f}, 1", "7, 9, 1")
    file.write_text(edited)
    known = open_reference(picture).known_people
    assert known is not None
    np.testing.assert_array_equal(known.keypoints[0, 0, 4], (7, 9))
    np.testing.assert_allclose(known.keypoints[0, 0, 5:], track.keypoints[0, 0, 5:], atol=0.5)


@pytest.mark.parametrize("size", [(120, 80), (60, 200), (300, 40)])
def test_a_standing_figure_lies_in_the_picture_and_faces_the_viewer(size: tuple[int, int]) -> None:
    points = standing(size).keypoints[0, 0]
    assert (points > 0).all()
    assert (points < size[::-1]).all()
    for right, left in ((2, 5), (3, 6), (4, 7), (8, 11), (10, 13), (14, 15), (16, 17)):
        assert points[right, 0] < points[left, 0]
    lengths = np.linalg.norm(STANDING - STANDING[list(PARENTS)], axis=1)
    assert lengths[[2, 3, 4, 8, 9, 10]] == pytest.approx(lengths[[5, 6, 7, 11, 12, 13]])


def test_nothing_in_the_way_is_replaced_unless_named(picture: Path) -> None:
    beside = picture.with_name("hero.pose.json")
    beside.write_text("mine")
    with pytest.raises(BunrakuError, match=r"hero\.pose\.json would be replaced.*--overwrite"):
        perceive_still(picture, draft=True)
    assert beside.read_text() == "mine"
    perceive_still(picture, draft=True, overwrite=True)
    assert beside.read_text() != "mine"
    with pytest.raises(BunrakuError, match=r"\(--output\): the pose of a still is a \.json file"):
        perceive_still(picture, picture.with_name("hero.cues"), draft=True)
    with pytest.raises(BunrakuError, match="is also an input"):
        perceive_still(picture, picture, draft=True)


def test_animations_and_videos_are_no_stills(picture: Path, puppets: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((40, 40, 3), level, np.uint8)) for level in (0, 90, 180)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.webp")
    assert is_still(picture)
    assert is_still(tmp_path / "still.webp")
    assert not is_still(tmp_path / "moving.webp")
    assert not is_still(puppets / "b.mp4")
    assert not is_still(tmp_path)


@pytest.mark.skipif(u2net_weights() is None, reason="U2Net-P is not installed")
def test_a_draft_stands_where_the_drawing_is() -> None:
    """A puppet in a corner of a large sheet: nearer to its true pose than a figure in the middle, hands and feet first."""
    scene = render(sample_scene(0, "val"), 1, 160)
    sheet = np.full((320, 320, 3), 235, np.uint8)
    puppet = scene.character_mask[0]
    sheet[150:310, 10:170][puppet] = scene.frames[0][puppet]
    truth = scene.pose.keypoints[0, 0, :14] + (10, 150)
    drafts = [figure.keypoints[0, 0, :14] for figure in (standing(sheet.shape[:2]), standing_in(sheet))]
    errors = [np.linalg.norm(draft - truth, axis=-1) for draft in drafts]
    assert errors[1].mean() < 0.5 * errors[0].mean()
    blank = np.full((90, 60, 3), 200, np.uint8)
    np.testing.assert_array_equal(standing_in(blank).keypoints, standing((90, 60)).keypoints)
