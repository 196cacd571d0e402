"""The scene behind the character: the driver's emptied, others, none; what is refused; transparent files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bunraku.animate import AnimateOptions, animate
from bunraku.animate.canvas import choose_canvas
from bunraku.animate.scene import Backdrop, Emptied, on_canvas
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_pose
from bunraku.errors import BunrakuError
from bunraku.media import FramesByNumber, VideoReader, VideoWriter, open_frames, write_image
from bunraku.theatre import render, sample_scene
from tests.tiny import walking_track

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
    neck = np.abs(own.keypoints[0, 0, 1] - placed.keypoints[0, 0, 1])
    assert neck.max() < 5  # the character stands where the driver does


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


def test_contacts_are_kept_in_the_drivers_scene_unless_asked():
    assert AnimateOptions().retargeting == "full"
    assert AnimateOptions(scene="driving").retargeting == "off"
    assert AnimateOptions(scene="driving", retarget="fit").retargeting == "fit"
