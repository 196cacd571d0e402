"""Who moves whom: by place, by choice, and all the way to a video."""

import numpy as np
import pytest

from bunraku.animate import AnimateOptions, MotionOptions, animate
from bunraku.animate.cast import choose_pairs
from bunraku.animate.preview import draw_retargeting
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_pose
from bunraku.errors import BunrakuError
from bunraku.media import read_image, write_image
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render, sample_scene
from tests.video import read_video

SIZE = (96, 128)


def standing_at(*places: float, frames: int = 1) -> PoseTrack:
    """People at shares of the width, all of one shape."""
    body = np.random.default_rng(0).uniform(-0.05, 0.05, (18, 2))
    points = np.stack([(body + (place, 0.5)) * SIZE[::-1] for place in places])
    return PoseTrack(
        np.tile(points.astype(np.float32), (frames, 1, 1, 1)), np.ones((frames, len(places), 18), np.float32), SIZE
    )


@pytest.mark.parametrize(
    ("still", "driving", "options", "pairs"),
    [
        ((0.2, 0.8), (0.7, 0.3), {}, ((0, 1), (1, 0))),
        ((0.8, 0.2), (0.7, 0.3), {}, ((0, 0), (1, 1))),
        ((0.8, 0.2, 0.5), (0.7, 0.3), {}, ((0, 0), (1, 1))),  # the smallest stays
        ((0.5,), (0.7, 0.3), {}, ((0, 0),)),  # the largest drives
        ((0.8, 0.2), (0.7, 0.3), {"pairs": ((1, 0), (0, 0))}, ((0, 0), (1, 0))),
        ((0.8, 0.2), (0.7, 0.3), {"person": 1}, ((0, 1),)),
        ((0.8, 0.2), (0.7, 0.3), {"reference_person": 1}, ((1, 0),)),
    ],
)
def test_pairs(still, driving, options, pairs):
    assert choose_pairs(standing_at(*still), standing_at(*driving, frames=4), MotionOptions(**options)) == pairs


def test_somebody_who_passes_by_drives_nobody():
    driving = standing_at(0.3, 0.7, frames=8)
    driving.scores[1:, 0] = 0
    assert choose_pairs(standing_at(0.2, 0.8), driving, MotionOptions()) == ((0, 1),)


def test_pairs_that_make_no_sense_are_told():
    for pairs, words in ((((0, 0), (0, 1)), "two drivers"), (((-1, 0),), "numbers from 0"), ((), "numbers from 0")):
        with pytest.raises(BunrakuError, match=words):
            MotionOptions(pairs=pairs)
    with pytest.raises(BunrakuError, match="leave --person"):
        MotionOptions(pairs=((0, 0),), person=1)
    with pytest.raises(BunrakuError, match=r"pair 1 of --pairs, 1:2, names nobody: 2 characters and 2 driving"):
        choose_pairs(standing_at(0, 1), standing_at(0, 1), MotionOptions(pairs=((0, 0), (1, 2))))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """two.png with the poses of its two people, and crossing.cues of two others."""
    folder = tmp_path_factory.mktemp("cast")
    still = render(sample_scene(0, people=2), [0], SIZE)
    write_image(folder / "two.png", still.frames[0])
    write_pose(still.pose, folder / "two.pose.json")
    pose = render(sample_scene(1, people=2), 6, SIZE).pose
    Cues(12, SIZE, "theatre", pose=pose).save(folder / "crossing.cues")
    return folder


def moved(stage, output, **options) -> np.ndarray:
    """How much each half of the picture changes until the last frame."""
    settings = AnimateOptions(model="puppet-warp", audio=False, **options)
    made, _ = read_video(animate(stage / "two.png", stage / "crossing.cues", output, settings).output)
    change = np.abs(made[-1].astype(float) - made[0]).mean(-1)
    return np.array([half.mean() for half in np.split(change, 2, axis=1)])


@pytest.mark.slow
def test_both_people_of_a_picture_are_moved(stage, tmp_path, caplog):
    caplog.set_level("INFO")
    assert (moved(stage, tmp_path / "both.mp4") > 1).all()
    assert "(character as driver; --pairs chooses others)" in caplog.text
    one = moved(stage, tmp_path / "one.mp4", pairs=((0, 1),))
    assert one.max() > 1 > 5 * one.min()
    assert "nobody drives person 1 of two.png" in caplog.text
    assert "person 0 of crossing.cues is left out" in caplog.text


def test_retargeting_is_drawn_for_everybody(stage, tmp_path):
    def drawn(**options) -> np.ndarray:
        made = draw_retargeting(
            stage / "two.png", stage / "crossing.cues", tmp_path / "drawn.png", ("full",), MotionOptions(**options)
        )
        return read_image(made.output)

    assert not np.array_equal(drawn(pairs=((0, 0), (1, 1))), drawn(pairs=((0, 1), (1, 0))))


def test_a_model_of_one_character_has_no_pairs(stage, tmp_path, model_folder):
    with pytest.raises(BunrakuError, match="moves one character: choose it and its driver with --reference-person"):
        animate(
            stage / "two.png", stage / "crossing.cues", tmp_path / "out.mp4",
            AnimateOptions(model=str(model_folder), pairs=((0, 0),)),
        )  # fmt: skip
