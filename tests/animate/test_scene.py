"""The scene behind the character: the driver's emptied, others, none; what is refused; transparent files."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bunraku.animate import AnimateOptions, animate
from bunraku.animate.canvas import choose_canvas
from bunraku.animate.driving import excerpt, open_driving
from bunraku.animate.options import MotionOptions
from bunraku.animate.scene import Backdrop, Emptied, Scene, on_canvas
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_pose
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.media import FrameArray, FramesByNumber, VideoReader, VideoWriter, fit, open_frames, write_image
from bunraku.perception.pose import PoseTrack
from bunraku.pipeline import AnimationPipeline
from bunraku.theatre import render, sample_scene
from tests.recipes.test_animate_anyone_2 import tiny_parts
from tests.tiny import build_tiny_pipeline, randomise, walking_track

SIZE = (96, 128)


def moving_stage(frames: int = 6) -> tuple[Cues, np.ndarray]:
    """A red square that walks over a stage seen by a camera that pans two pixels a frame, and the stage without it."""
    wide = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    stage = np.stack([wide[:, 2 * i : 2 * i + 128] for i in range(frames)])
    mattes = np.zeros((frames, 1, *SIZE), np.uint8)
    for i in range(frames):
        mattes[i, 0, 30:70, 20 + 10 * i : 45 + 10 * i] = 255
    pixels = np.where(mattes[:, 0, ..., None] > 0, np.array([255, 0, 0], np.uint8), stage)
    camera = np.tile(np.array([[1.0, 0, -2], [0, 1, 0], [0, 0, 1]]), (frames, 1, 1))
    pose = walking_track(frames, SIZE)
    maps = {"mattes": mattes, "camera": camera}
    return Cues(12, SIZE, "a test", pose=pose, maps=maps, plate=stage[0], pixels=pixels), stage


def test_the_driver_is_gone_and_all_else_stays():
    cues, stage = moving_stage()
    emptied = Emptied(cues)
    assert len(emptied) == 6
    frames = emptied[range(6)]
    hole = cues.maps["mattes"][:, 0] > 0
    assert np.abs(frames[hole].astype(int) - stage[hole]).max() <= 1
    far = np.zeros(SIZE, bool)
    far[:, 110:] = True
    assert np.array_equal(frames[:, far], cues.pixels[:, far])
    np.testing.assert_array_equal(emptied[[4, 1]], frames[[4, 1]])


def test_things_in_hand_are_in_front():
    cues, _ = moving_stage()
    objects = np.zeros((6, *SIZE), np.uint8)
    objects[:, :10, :10] = 255
    cues = replace(cues, maps=cues.maps | {"objects": objects})
    painted = [np.full((n, *SIZE, 3), 9, np.uint8) for n in (4, 2)]
    frames = np.concatenate(list(Backdrop(Emptied(cues), cues).in_front(iter(painted))))
    assert np.array_equal(frames[:, :10, :10], cues.pixels[:, :10, :10])
    assert (frames[:, 10:, 10:] == 9).all()


def test_things_in_hand_go_along_with_the_characters_hands(caplog):
    cues, stage = moving_stage()
    points = cues.pose.keypoints.copy()
    points[:, :, [3, 4]] = np.array([[15, 20], [15, 34]])[None, None]
    driver = PoseTrack(points, np.ones_like(cues.pose.scores), SIZE)
    objects = np.zeros((6, *SIZE), np.uint8)
    objects[:, 36:44, 12:20] = 255
    pixels = np.where(objects[..., None] > 0, np.array([0, 250, 0], np.uint8), cues.pixels)
    cues = replace(cues, pose=driver, maps=cues.maps | {"objects": objects}, pixels=pixels)
    scene = Scene("driving", pixels, SIZE)
    canvas = (192, 256)  # twice the clip's size

    def shown(aside: float) -> tuple[np.ndarray, np.ndarray]:
        moved = points.copy()
        moved[:, :, 4] += (aside, 0)
        backdrop = scene.backdrop(cues, PoseTrack(2 * moved, driver.scores, canvas))
        assert backdrop is not None
        painted = iter([np.full((6, *canvas, 3), 9, np.uint8)])
        return backdrop.behind[range(6)], np.concatenate(list(backdrop.in_front(painted)))

    stays, before = shown(0)
    assert "no hand holds" not in caplog.text
    assert (np.abs(stays[1:, 38:42, 14:18].astype(int) - (0, 250, 0)) < 5).all()
    assert (before[:, 78:82, 30:34, 1] > 230).all()
    behind, before = shown(60)
    assert (np.abs(behind[1:, 38:42, 14:18].astype(int) - stage[1:, 38:42, 14:18]) < 60).mean() > 0.9
    assert (np.abs(behind[:, 38:42, 74:78].astype(int) - (0, 250, 0)) < 5).all()
    assert (before[:, 78:82, 150:154, 1] > 230).all()
    assert (before[:, 78:82, 30:34] == 9).all()
    assert not caplog.text
    objects[2:] = np.roll(objects[2:], 40, axis=1)  # the thing has left the hand
    shown(60)
    assert "no hand holds what is named of a test through most of the clip" in caplog.text


def test_in_a_scene_the_canvas_is_the_drivers_and_poses_are_where_they_are_there():
    canvas = choose_canvas((200, 100), (64, 64), any_size=True, scene=(90, 160))
    assert canvas.in_scene
    assert canvas.size == canvas.output_size == (48, 88)
    track = walking_track(3, (90, 160))
    cues = Cues(12, (90, 160), "a test", pose=track)
    placed = canvas.poses(cues, walking_track(1, (200, 100)), "off")
    factor = max(48 / 90, 88 / 160)
    expected = (track.keypoints - (80, 45)) * factor + (44, 24)
    np.testing.assert_allclose(placed.keypoints, expected, atol=1)
    own = canvas.poses(cues, walking_track(1, (200, 100)), "full")
    neck = np.abs(own.keypoints[:, 0, 1, 0] - placed.keypoints[:, 0, 1, 0])
    assert neck.max() < 5  # the character stands where the driver does


def standing(legs: float, step: float = 0.0, frames: int = 5) -> PoseTrack:
    """Somebody of a head, trunk and arms of one size, with legs of so many pixels, whose first frame is far to the left of the others."""
    points = np.zeros((frames, 1, 18, 2), np.float32)
    body = [(0, -20), (0, 0), (-12, 0), (-20, 15), (-22, 30), (12, 0), (20, 15), (22, 30), (-8, 40), (-8, 40 + legs / 2), (-8, 40 + legs),
            (8, 40), (8, 40 + legs / 2), (8, 40 + legs), (-3, -23), (3, -23), (-7, -21), (7, -21)]  # fmt: skip
    points[:, 0] = np.array(body) + (100, 60)
    points[1:, ..., 0] += step
    return PoseTrack(points, np.ones(points.shape[:3], np.float32), (200, 240))


@pytest.mark.parametrize("method", ["grounded", "full", "align"])
def test_in_a_scene_short_legs_stand_on_the_drivers_ground(method):
    driver, reference = standing(80, step=30), standing(30, frames=1)
    canvas = choose_canvas((200, 240), (64, 64), any_size=True, scene=(200, 240))
    cues = Cues(12, (200, 240), "a test", pose=driver)
    there = canvas.poses(cues, None, "off").keypoints[:, 0]
    own = canvas.poses(cues, reference, method).keypoints[:, 0]
    scale = np.ptp(there[0, :, 1]) / np.ptp(driver.keypoints[0, 0, :, 1])
    np.testing.assert_allclose(own[1:, [10, 13]].mean(1), there[1:, [10, 13]].mean(1), atol=3 * scale)
    assert (own[:, 1, 1] > there[:, 1, 1] + 10 * scale).all(), "and so its neck is lower"
    upper, lower = own[0, 8, 1] - own[0, 1, 1], own[0, 10, 1] - own[0, 8, 1]
    assert lower / upper == pytest.approx(30 / 40, abs=0.05)
    fitted = canvas.poses(cues, reference, "fit").keypoints[:, 0]
    np.testing.assert_allclose(fitted[:, 1], there[:, 1], atol=2 * scale)


def test_cues_on_a_canvas_of_another_shape_are_cropped():
    cues, _ = moving_stage()
    moved = on_canvas(cues, walking_track(6, (96, 96)), (96, 96))
    assert moved.maps["mattes"].shape == (6, 1, 96, 96)
    np.testing.assert_array_equal(moved.maps["mattes"], cues.maps["mattes"][..., 16:112])
    np.testing.assert_array_equal(moved.pixels[[2]], cues.pixels[[2]][:, :, 16:112])


def test_frames_by_their_numbers(tmp_path: Path):
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((32, 32, 3), 40, np.uint8)
    with VideoWriter(tmp_path / "frames", fps=5, size=(32, 32)) as video:
        for frame in frames:
            video.write(frame)
    numbered = FramesByNumber(open_frames(tmp_path / "frames"))
    assert len(numbered) == 6
    np.testing.assert_array_equal(numbered[[4, 0, 1, 4]], frames[[4, 0, 1, 4]])


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A still with its pose, footage with its cues, and the cues without the footage."""
    folder = tmp_path_factory.mktemp("scene")
    still, driver = render(sample_scene(1), [0], (96, 96)), render(sample_scene(2), 6, (96, 128))
    write_image(folder / "still.png", still.frames[0])
    write_pose(still.pose, folder / "still.pose.json")
    Image.fromarray(np.uint8(255) * still.character_mask[0]).save(folder / "mask.png")
    Cues(12, SIZE, "theatre", pose=driver.pose).save(folder / "motion.cues")
    with VideoWriter(folder / "short.mp4", fps=12, size=SIZE) as video:
        for frame in driver.frames[:3]:
            video.write(frame)
    write_image(folder / "ground.png", np.full((*SIZE, 3), (10, 200, 30), np.uint8))
    return {path.name: path for path in folder.iterdir()}


def run(files: dict[str, Path], output: Path, scene: str, **settings: Any) -> Path:
    options = AnimateOptions(model="puppet-warp", scene=scene, mask=files["mask.png"], device="cpu", **settings)
    return animate(files["still.png"], files["motion.cues"], output, options).output


def test_another_picture_behind_the_character(files, tmp_path):
    made = next(iter(VideoReader(run(files, tmp_path / "out.mp4", str(files["ground.png"])))))
    assert np.abs(made[:8].astype(int) - (10, 200, 30)).max() < 12


@pytest.mark.parametrize("name", ["frames", "out.webp", "out.webm"])
def test_no_scene_is_transparent(files, tmp_path, name):
    output = run(files, tmp_path / name, "transparent", sheet=tmp_path / "sheet.png")
    if name == "out.webm":
        import av

        with av.open(str(output)) as container:
            assert (
                container.streams.video[0].metadata.get(
                    "alpha_mode", container.streams.video[0].metadata.get("ALPHA_MODE")
                )
                == "1"
            )
        return
    image = Image.open(next(output.iterdir()) if name == "frames" else output).convert("RGBA")
    alpha = np.asarray(image)[..., 3]
    assert (alpha[:6] == 0).mean() > 0.5
    assert 0.03 < (alpha > 250).mean() < 0.6


@pytest.mark.parametrize(
    ("scene", "output", "message"),
    [
        ("transparent", "out.mp4", "transparency goes into .webm"),
        ("driving", "out.mp4", "needs the pictures of the driver"),
        ("nowhere.png", "out.mp4", "there is no nowhere.png"),
        ("short.mp4", "out.mp4", "has 3 frames, the motion 6"),
    ],
)
def test_what_cannot_be_a_scene_is_said_at_once(files, tmp_path, scene, output, message):
    with pytest.raises(BunrakuError, match=message):
        run(files, tmp_path / output, str(files.get(scene, scene)))


def opened(cues: Cues, stage: np.ndarray | None = None) -> Scene:
    return Scene("driving", cues.pixels if stage is None else stage, cues.size)


def test_what_is_lost_in_a_scene_is_said(caplog):
    one, _ = moving_stage(1)
    maps = {name: one.maps[name].repeat(30, 0) for name in ("mattes", "camera")}
    pixels = np.asarray(one.pixels).repeat(30, 0)
    cues = replace(one, pose=walking_track(30, SIZE), maps=maps, pixels=pixels)
    mattes, objects = maps["mattes"].copy(), np.zeros((30, *SIZE), np.uint8)
    mattes[4:7] = 0  # a moment, which is bridged
    mattes[15:] = 0
    objects[:20, :10, :10] = 255
    scores = cues.pose.scores.copy()
    scores[25:] = 0
    pose = PoseTrack(cues.pose.keypoints, scores, SIZE)
    cues = replace(cues, pose=pose, maps=cues.maps | {"mattes": mattes, "objects": objects})
    known = opened(cues).of(cues, None)
    assert "no matte of the driver in frames 15-24 of a test" in caplog.text
    assert "out of the picture in frames 25-29 of a test, and so is the character" in caplog.text
    assert "the thing in hand is not found in frames 20-29" in caplog.text
    assert (known.maps["mattes"][5] >= cues.maps["mattes"][3]).all()
    with pytest.raises(BunrakuError, match="nobody is cut out of any frame of a test, so that nobody can be replaced"):
        opened(cues).of(replace(cues, maps=cues.maps | {"mattes": 0 * mattes}), None)
    with pytest.raises(BunrakuError, match=r"the cues are of frames of 128x96 px, and a test has 64x48 px now"):
        Scene("driving", cues.pixels, (48, 64)).of(cues, None)


def test_limbs_that_a_matte_has_lost_do_not_stay_in_the_scene():
    cues, stage = moving_stage(4)
    mattes = cues.maps["mattes"].copy()
    mattes[:, :, 55:] = 0
    known = opened(cues).of(replace(cues, maps=cues.maps | {"mattes": mattes}), None)
    skeletons = draw_skeleton(cues.pose).any(-1)
    assert (known.maps["mattes"][:, 0][skeletons] == 255).mean() > 0.95
    emptied = Emptied(known)[range(4)]
    assert np.abs(emptied[skeletons].astype(int) - stage[skeletons]).mean() < 3


def test_an_excerpt_finds_its_place_on_the_plate():
    """Frames 3 and 5 of a camera that pans, at half the rate: the plate is still that of frame 0."""
    cues, stage = moving_stage(8)
    ways = np.tile(np.eye(3), (8, 1, 1))
    ways[:, 0, 2] = -2 * np.arange(8)
    cues = replace(cues, maps=cues.maps | {"from_plate": ways})
    part = excerpt(replace(cues, pixels=None), Path("a.cues"), MotionOptions(start=3, stop=7, fps=Fraction(6)))
    chosen = [int(-way[0, 2] / 2) for way in part.maps["from_plate"]]
    assert "camera" not in part.maps
    assert min(chosen) >= 3
    frames = Emptied(replace(part, pixels=cues.pixels[chosen]))[range(len(part))]
    hole = part.maps["mattes"][:, 0] > 0
    assert np.abs(frames[hole].astype(int) - stage[chosen][hole]).max() <= 1


def test_a_plate_that_shows_something_else_is_not_used():
    cues, stage = moving_stage(2)
    cues = replace(cues, plate=255 - cues.plate)
    frames = Emptied(cues)[[0]]
    hole = cues.maps["mattes"][0, 0] > 0
    assert np.abs(frames[0][hole].astype(int) - (255 - stage[0][hole])).mean() > 10


@pytest.mark.parametrize("known", [True, False])
def test_a_moving_camera_before_a_still_is_told(known, caplog):
    cues, _ = moving_stage(12)
    frames = None if known else FrameArray(cues.pixels, Fraction(12))
    maps = {} if not known else {"camera": cues.maps["camera"]}
    Scene("reference").of(replace(cues, maps=maps, plate=None, pixels=None), frames)
    assert "the camera of a test moves, and the background of the still does not" in caplog.text
    caplog.clear()
    rest = {"camera": np.tile(np.eye(3), (12, 1, 1))}
    Scene("reference").of(replace(cues, maps=rest, plate=None, pixels=None), None)
    Scene("transparent").of(replace(cues, maps=maps, plate=None, pixels=None), frames)
    assert not caplog.text


def test_cues_of_footage_without_sound_know_its_pictures(files, tmp_path):
    """Perceived once, then the scene of the footage; the canvas has its shape."""
    shown = render(sample_scene(2), 6, SIZE)
    with VideoWriter(tmp_path / "film.mp4", fps=12, size=SIZE) as video:
        for frame in shown.frames:
            video.write(frame)
    clip = open_driving(tmp_path / "film.mp4", MotionOptions(start=1))
    maps = {"mattes": np.uint8(255) * (shown.labels[1:, None] == 1)}
    known = Cues(12, SIZE, "film.mp4", pose=shown.pose[1:], maps=maps, plate=shown.background[0])
    replace(replace(clip, perceived=known).cues(MotionOptions()), media=clip.film, media_start=clip.sound_start).save(
        tmp_path / "film.cues"
    )
    later = open_driving(tmp_path / "film.cues", MotionOptions(start=2))
    assert later.sound is None
    assert later.pictures is not None
    read = np.stack(list(later.pictures))
    assert np.abs(read.astype(int) - shown.frames[3:]).mean() < 4
    options = AnimateOptions(model="puppet-warp", scene="driving", mask=files["mask.png"], device="cpu")
    made = animate(files["still.png"], tmp_path / "film.cues", tmp_path / "out.mp4", options)
    assert (made.size, made.frames) == (SIZE, 5)


def test_a_model_of_one_size_sees_the_whole_scene():
    canvas = choose_canvas((200, 100), (64, 64), any_size=False, scene=(96, 128))
    assert (canvas.size, canvas.output_size, canvas.driving_mode) == ((64, 64), (48, 64), "letterbox")
    assert canvas.output == (8, 56, 0, 64)
    cues, _ = moving_stage()
    placed = canvas.poses(cues, None, "off")
    np.testing.assert_allclose(placed.keypoints, cues.pose.keypoints / 2 + (0, 8), atol=1e-3)
    depth = np.full((6, *SIZE), 5, np.float32)
    known = on_canvas(replace(cues, maps=cues.maps | {"depth": depth}), placed, (64, 64), "letterbox")
    assert known.maps["mattes"].shape == (6, 1, 128, 128)
    np.testing.assert_array_equal(known.maps["mattes"][..., 16:112, :], cues.maps["mattes"])
    assert np.isnan(known.maps["depth"][:, :16]).all()
    assert (known.maps["depth"][:, 16:112] == 5).all()
    frames = known.pixels[[1, 4]]
    assert frames.shape == (2, 64, 64, 3)
    np.testing.assert_array_equal(frames[:, 8:56], fit(cues.pixels[[1, 4]], (48, 64), "crop")[0])
    assert np.abs(frames[:, 7].astype(int) - frames[:, 8]).mean() < 60  # the edge goes on


def test_a_model_for_scenes_is_shown_the_drivers(files, tmp_path, monkeypatch):
    """Conditions of a real run: the scene with a hole in blocks, the thing in hand, the pose where the driver's is."""
    parts = {name: randomise(part).eval() for name, part in tiny_parts().items()}
    build_tiny_pipeline(recipe="animate-anyone-2", **parts).save_pretrained(tmp_path / "model")
    shown = render(sample_scene(2, props=True), 6, SIZE)
    with VideoWriter(tmp_path / "film.mp4", fps=12, size=SIZE, crf=1) as video:
        for frame in shown.frames:
            video.write(frame)
    maps = {
        "mattes": np.uint8(255) * (shown.labels[:, None] == 1), "objects": np.uint8(255) * (shown.labels == 2), "depth": shown.depth,
    }  # fmt: skip
    known = Cues(
        12, SIZE, "film.mp4", pose=shown.pose, maps=maps, plate=shown.background[0], media=tmp_path / "film.mp4"
    )
    known.save(tmp_path / "film.cues")
    seen: dict[str, np.ndarray] = {}
    whole = AnimationPipeline.stream

    def watched(self, stills, frames, *more, **named):
        seen.update({name: drawn[range(6)] for name, drawn in frames.items()})
        return whole(self, stills, frames, *more, **named)

    monkeypatch.setattr(AnimationPipeline, "stream", watched)
    for scene, cues in (("driving", "film.cues"), ("reference", "motion.cues")):
        seen.clear()
        options = AnimateOptions(model=str(tmp_path / "model"), scene=scene, device="cpu", mask=files["mask.png"])
        driving = tmp_path / cues if scene == "driving" else files[cues]
        made = animate(files["still.png"], driving, tmp_path / f"{scene}.mp4", options)
        hole = seen["mask"][..., 0] > 0
        assert not seen["environment"][hole].any()
        assert 0.05 < hole.mean() < 0.9
        if scene == "driving":
            assert set(seen) == {"pose", "structured_depth", "environment", "mask", "object"}
            drawn = draw_skeleton(shown.pose.scaled(made.size)).any(-1)
            assert hole[drawn].mean() > 0.95
            small = fit(shown.frames, made.size, "crop")[0].astype(int)
            assert np.abs(seen["environment"] - small)[~hole].mean() < 8
            assert seen["object"].any((1, 2, 3)).any()
        else:
            assert set(seen) == {"pose", "environment", "mask"}
