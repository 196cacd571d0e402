"""Who moves whom: by place, by choice, and all the way to a video."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.animate import AnimateOptions, MotionOptions, animate
from bunraku.animate.cast import Cast, choose_pairs, depth_order
from bunraku.animate.models import PipelineAdapter
from bunraku.animate.preview import draw_retargeting
from bunraku.animate.run import check_animation, prepare
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_pose
from bunraku.errors import BunrakuError
from bunraku.media import read_image, write_image
from bunraku.perception.pose import PoseTrack, together
from bunraku.theatre import render, sample_scene
from tests.tiny import build_tiny_pipeline, tiny_multi_character
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


def cast_of(heights: tuple[float, ...], still: tuple[float, ...] = (), **maps) -> Cast:
    """Drivers in two frames whose feet are at shares of the height, first in this order and then the other way round; some who stay."""

    def standing(tops) -> np.ndarray:
        body = standing_at(0.5).keypoints[0]
        return np.concatenate([body + (0, top * SIZE[0]) for top in tops])[None]

    points = np.concatenate([standing(heights)] * 9 + [standing(heights[::-1])] * 9)
    drivers = PoseTrack(points, np.ones(points.shape[:3], np.float32), SIZE)
    staying = PoseTrack(np.zeros((1, 0, 18, 2), np.float32), np.zeros((1, 0, 18), np.float32), SIZE)
    if still:
        staying = PoseTrack(standing(still), np.ones((1, len(still), 18), np.float32), SIZE)
    numbers = list(range(len(heights)))
    return Cast(drivers[:1], numbers, Cues(12, SIZE, "a driver", pose=drivers, maps=maps), staying, [])


def test_the_order_is_the_drivers_frame_by_frame_or_that_of_the_picture():
    cast = cast_of((0.0, 0.3))
    poses = cast.cues.pose[[0] * 18]  # wherever they stand on the canvas
    assert depth_order(cast, poses, "driver")[[0, -1]].tolist() == [[0, 1], [1, 0]]
    assert depth_order(cast, poses, "reference").tolist() == [[0, 1]] * 18
    near = np.tile([[2.0, 1.0]], (18, 1))
    near[4] = 1, 2  # for a moment
    assert depth_order(cast_of((0.0, 0.3), nearness=near), poses, "driver").tolist() == [[1, 0]] * 18


def test_who_stays_has_a_place_among_those_who_move():
    cast = cast_of((-0.1, 0.3), still=(0.1,))
    poses = together([cast.cues.pose[[0] * 18], cast.still.repeated(18)])
    order = depth_order(cast, poses, "driver")
    assert order[0].tolist() == [0, 2, 1]
    assert order[-1].tolist() == [2, 0, 1]  # the drivers have changed places, on the canvas nobody has
    assert depth_order(cast, poses, "reference").tolist() == [[0, 2, 1]] * 18


def test_an_order_that_the_mattes_contradict_is_told(caplog):
    mattes = np.zeros((18, 2, *SIZE), np.uint8)
    mattes[:, 0] = 255  # person 0 hides everything
    nearness = np.tile([[0.0, 1.0]], (18, 1))
    cast = cast_of((0.0, 0.0), mattes=mattes, nearness=nearness)
    depth_order(cast, cast.cues.pose, "driver")
    assert (
        "puts person 1 in front of person 0, but the masks show the opposite in 18 of 18 frames (first in frame 0)"
        in caplog.text
    )


def test_whom_nobody_drives_is_held_and_what_the_model_sees_is_drawn(stage, tmp_path, monkeypatch):
    pipeline = tiny_multi_character()
    options = AnimateOptions(model="mini", pairs=((1, 0),), debug=tmp_path / "debug", steps=1)
    character, clip, scene = check_animation(stage / "two.png", stage / "crossing.cues", tmp_path / "out.mp4", options)
    model = PipelineAdapter(options, len(clip), pipeline)
    prepared = prepare(character, clip, options, scene=scene, model=model)
    assert prepared.poses.people == prepared.placed_pose.people == 2
    assert np.ptp(prepared.poses.keypoints[:, 0], axis=0).max() > 1  # person 1, who is moved
    held = prepared.poses.keypoints[:, 1]
    assert np.array_equal(held, np.repeat(held[:1], len(held), 0))
    own = prepared.canvas.track(character.known_people).keypoints[0]
    np.testing.assert_allclose(held[0], own[0], atol=1e-4)
    assert prepared.order.shape == (6, 2)

    made = animate(stage / "two.png", stage / "crossing.cues", tmp_path / "out.mp4", options, pipeline=pipeline)
    assert made.frames == 6
    drawn = {path.stem for path in (tmp_path / "debug").iterdir()}
    assert drawn == {"skeletons", "flow", "depth_order"}
    colours = {tuple(pixel) for pixel in read_image(tmp_path / "debug" / "depth_order.png").reshape(-1, 3)}
    assert {(255, 0, 0), (255, 255, 0)} <= colours


def test_who_stays_is_cut_out_in_the_still_and_does_not_come_into_another_scene(stage, tmp_path):
    """The background is filled without him, and he is before or behind who moves; a mask of the other alone leaves him to the background."""
    options = AnimateOptions(model="puppet-warp", pairs=((0, 1),))
    character, clip, scene = check_animation(stage / "two.png", stage / "crossing.cues", tmp_path / "out.mp4", options)
    assert prepare(character, clip, options, scene=scene).poses.people == 2
    nowhere = replace(options, scene="transparent")
    assert prepare(character, clip, nowhere).poses.people == 1
    alone = replace(character, matte=np.full((1, *SIZE), 255, np.uint8))
    prepared = prepare(alone, clip, options, scene=scene)
    assert (prepared.poses.people, prepared.matte.shape) == (1, (1, *SIZE))


def test_several_stills_and_several_views(stage, tmp_path, caplog):
    still = stage / "two.png"
    asked = AnimateOptions(model="mini", steps=1, references=(still,), views=(still, still))
    pipeline = tiny_multi_character(options={"reference_pose": True})
    with pytest.raises(BunrakuError, match=r"mini moves one character: leave --reference out"):
        animate(still, stage / "crossing.cues", tmp_path / "out.mp4", asked, pipeline=build_tiny_pipeline())
    character, clip, scene = check_animation(still, stage / "crossing.cues", tmp_path / "out.mp4", asked)
    assert character.files.count(still) == 4
    model = PipelineAdapter(asked, len(clip), pipeline)
    prepared = prepare(character, clip, asked, scene=scene, model=model)
    assert prepared.poses.people == 3  # two in the first picture, and one beside them
    assert [view.shape for view, _ in prepared.views] == [prepared.picture.shape] * 2
    assert all(pose.people == 1 for _, pose in prepared.views)
    frames = [np.concatenate(list(replace(prepared, views=views).frames())) for views in (prepared.views, ())]
    assert not np.array_equal(*frames)
    with pytest.raises(BunrakuError, match="--view is given 5 times; a character has at most 5 pictures"):
        AnimateOptions(views=(still,) * 5)
    animate(still, stage / "crossing.cues", tmp_path / "warp.mp4", AnimateOptions(model="puppet-warp", views=(still,)))
    assert "puppet-warp looks at one picture of a character: --view has no effect" in caplog.text
