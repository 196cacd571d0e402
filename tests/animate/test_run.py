"""The whole way with a tiny random model: what is written, what is kept, what stops it before any work."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from bunraku.animate import AnimateOptions, Animation, MotionOptions, animate
from bunraku.animate.driving import Driving, excerpt, open_driving
from bunraku.animate.models import open_model, open_pipeline
from bunraku.animate.reference import Reference, open_reference
from bunraku.animate.run import prepare
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_openpose_json
from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.temperature import draw_temperature, map_of_drawn
from bunraku.errors import BunrakuError
from bunraku.media import FrameArray, VideoReader, VideoWriter, read_image, side_by_side, write_image
from bunraku.perception.pose import PoseTrack
from bunraku.pipeline import AnimationPipeline
from bunraku.sampling.denoise import denoise
from tests.tiny import build_tiny_pipeline
from tests.video import read_video


@pytest.fixture
def options(model_folder: Path) -> AnimateOptions:
    return AnimateOptions(model=str(model_folder), fit="letterbox")


@pytest.fixture(scope="module")
def drawn(puppets: Path) -> Path:
    """The skeletons of b with the sound of b."""
    pose = Cues.load(puppets / "b.cues").pose
    assert pose is not None
    with VideoWriter(puppets / "drawn.mp4", fps=12, size=pose.size, audio_from=puppets / "b.mp4") as video:
        for frame in draw_skeleton(pose):
            video.write(frame)
    return puppets / "drawn.mp4"


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if anything slow begins."""

    def slow(*_: object, **__: object) -> None:
        pytest.fail("a model or detector was loaded before the input was checked")

    monkeypatch.setattr("bunraku.animate.models.open_pipeline", slow)
    monkeypatch.setattr("bunraku.animate.reference.reference_pose", slow)


def has_sound(path: Path) -> bool:
    with av.open(str(path)) as container:
        return bool(container.streams.audio) and any(
            packet.size for packet in container.demux(container.streams.audio[0])
        )


def run(puppets: Path, output: Path, options: AnimateOptions, driving: str = "b.cues", **changes: object) -> Animation:
    return animate(puppets / "a.png", puppets / driving, output, replace(options, **changes))  # type: ignore[arg-type]


def test_rate_length_sound_and_aspect_ratio_are_kept(
    puppets: Path, drawn: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    made = run(
        puppets, tmp_path / "out.mp4", options, drawn.name, start=2, sheet=tmp_path / "sheet.png", side_by_side=tmp_path / "side.mp4"
    )  # fmt: skip
    reader = VideoReader(tmp_path / "out.mp4")
    assert (len(reader), reader.fps, reader.size) == (10, 12, made.size)
    # the reference is 96x64, the model 64x64: 64 x 42.7, made even
    assert made.size == (64, 44)
    assert has_sound(tmp_path / "out.mp4")
    assert has_sound(tmp_path / "side.mp4")
    assert len(VideoReader(tmp_path / "side.mp4")) == 10
    assert read_image(tmp_path / "sheet.png").shape[1] > 8 * 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "sheet.png", "side.mp4"]


def test_same_seed_same_bytes_another_seed_other_bytes(puppets: Path, tmp_path: Path, options: AnimateOptions) -> None:
    files = [tmp_path / name for name in ("one.mp4", "two.mp4", "other.mp4")]
    for path, seed in zip(files, (7, 7, 8)):
        run(puppets, path, options, seed=seed, stop=4)
    one, two, other = (path.read_bytes() for path in files)
    assert one == two
    assert one != other


def test_motion_of_every_kind_drives(
    puppets: Path, drawn: Path, tmp_path: Path, assets: Path, options: AnimateOptions
) -> None:
    cues = Cues.load(puppets / "b.cues")
    assert cues.pose is not None
    write_openpose_json(cues.pose, tmp_path / "json")
    shutil.copy(assets / "motions" / "dab.bvh", tmp_path)
    for name, driving in (
        ("cues", puppets / "b.cues"), ("openpose", tmp_path / "json"), ("drawn", drawn), ("bvh", tmp_path / "dab.bvh"),
    ):  # fmt: skip
        made = animate(
            puppets / "a.png", driving, tmp_path / f"{name}.gif", AnimateOptions(model=options.model, stop=3)
        )
        assert (made.driving, made.frames) == (name, 3)
        assert len(VideoReader(tmp_path / f"{name}.gif")) >= 1


def test_inputs_in_memory_make_the_same_frames_with_a_model_that_is_kept(
    puppets: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    run(puppets, tmp_path / "out", options, stop=4)
    pipeline, cues = open_pipeline(options), Cues.load(puppets / "b.cues")
    file = open_reference(puppets / "a.png")
    character = Reference(Path("image"), file.image, file.known_people)
    pictures = np.stack(list(VideoReader(puppets / "b.mp4")))
    assert cues.pose is not None
    known = replace(cues, pose=cues.pose[:4], maps={}, media=None)
    clip = Driving(Path("clip"), "rgb", FrameArray(pictures, cues.fps).part(0, 4), perceived=known)
    for _ in range(2):
        prepared = prepare(character, clip, options, model=open_model(options, clip, pipeline=pipeline))
        made = np.concatenate(list(prepared.frames()))
        assert (made == np.stack([read_image(tmp_path / "out" / f"{i:04}.png") for i in range(4)])).all()


def test_each_person_is_cut_out_by_an_own_matte(puppets: Path) -> None:
    cues, file = Cues.load(puppets / "b.cues"), open_reference(puppets / "a.png")
    assert cues.pose is not None
    assert file.known_people is not None
    one, (height, width) = file.known_people.person(0), file.size
    beside = one.keypoints + np.array([width, 0], np.float32)
    people = PoseTrack(
        np.concatenate([one.keypoints, beside], 1), np.concatenate([one.scores] * 2, 1), (height, 2 * width)
    )
    image = np.concatenate([file.image] * 2, 1)
    mattes = np.zeros((2, *people.size), np.uint8)
    mattes[1, :, width // 2 :] = 255  # reaches over the first person, to whom the nearest body would give it
    clip = Driving(Path("clip"), "cues", cues)
    options = AnimateOptions(model="puppet-warp", pairs=((1, 0),))
    prepared = prepare(Reference(Path("two"), image, people, matte=mattes), clip, options)
    assert prepared.matte is not None
    assert (prepared.matte == mattes[::-1]).all()  # then who stays
    assert len(np.concatenate(list(prepared.frames()))) == len(cues)


def test_pngs_and_output_size(puppets: Path, tmp_path: Path, options: AnimateOptions) -> None:
    made = run(puppets, tmp_path / "frames", options, size=(50, 64), stop=3, window=2, overlap=1)
    assert made.size == (48, 64)
    assert [path.name for path in sorted((tmp_path / "frames").iterdir())] == ["0000.png", "0001.png", "0002.png"]
    assert read_image(tmp_path / "frames" / "0000.png").shape == (48, 64, 3)


def test_retargeting_changes_what_the_model_is_shown(
    puppets: Path, tmp_path: Path, options: AnimateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []
    stream = AnimationPipeline.stream

    def spy(self, stills, frames, *others, **settings):
        shown.append(frames["pose"].cues.pose.keypoints)
        return stream(self, stills, frames, *others, **settings)

    monkeypatch.setattr(AnimationPipeline, "stream", spy)
    for method in ("grounded", "full", "align", "fit", "off"):
        run(puppets, tmp_path / "out.mp4", options, retarget=method, stop=2)
    for i in range(4):
        for j in range(i):
            assert np.abs(shown[i] - shown[j]).max() > 0.5


def test_the_temperature_is_the_users_or_else_the_models(
    puppets: Path, tmp_path: Path, options: AnimateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes: list[float] = []

    def spy(drawn: np.ndarray, tau: float) -> np.ndarray:
        slopes.append(tau)
        return map_of_drawn(drawn, tau)

    monkeypatch.setattr("bunraku.pipeline.map_of_drawn", spy)
    build_tiny_pipeline(defaults={"num_inference_steps": 1, "window": 8, "temperature": 2.5}).save_pretrained(
        tmp_path / "tcan"
    )
    for model, given, expected in (
        (options.model, None, []),
        (options.model, 7.0, [7.0]),
        (str(tmp_path / "tcan"), None, [2.5]),
        (str(tmp_path / "tcan"), 7.0, [7.0]),
        (str(tmp_path / "tcan"), 0.0, []),
    ):
        run(puppets, tmp_path / "out.mp4", options, model=model, temperature=given, stop=4)
        assert slopes == expected
        slopes.clear()


def test_debug_pictures_lie_there_before_the_frames_are_made(
    puppets: Path, tmp_path: Path, options: AnimateOptions, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[list[str]] = []

    def look(stage: str, done: int, total: int) -> None:
        seen.append([stage, *sorted(path.name for path in (tmp_path / "debug").iterdir())])

    options = replace(options, debug=tmp_path / "debug")
    made = animate(puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4", replace(options, temperature=3.0), look)
    assert seen[0] == ["denoise", "skeletons.png", "temperature.png"]
    assert made.debug == tmp_path / "debug"
    # five moments of three panels; two windows of 8 of the 12 frames
    assert read_image(tmp_path / "debug" / "skeletons.png").shape[0] > 5 * 320
    assert 2 * 256 < read_image(tmp_path / "debug" / "temperature.png").shape[1] < 3 * 256
    # another run in the same folder needs leave, replaces what it has, and lets the rest stay
    (tmp_path / "debug" / "notes.txt").write_text("mine")
    (tmp_path / "debug" / "skeletons.png").write_text("old")
    with pytest.raises(BunrakuError, match=r"skeletons\.png and 1 more would be replaced.*--overwrite"):
        run(puppets, tmp_path / "out.mp4", options, stop=1)
    assert (tmp_path / "debug" / "skeletons.png").read_text() == "old"
    run(puppets, tmp_path / "out.mp4", options, stop=1, overwrite=True)
    assert "temperature.png was there before and stays" in caplog.text
    assert sorted(path.name for path in (tmp_path / "debug").iterdir()) == [
        "notes.txt", "skeletons.png", "temperature.png",
    ]  # fmt: skip
    assert read_image(tmp_path / "debug" / "skeletons.png").shape[0] < 2 * 320


def test_debug_shows_the_maps_that_the_model_gets(
    puppets: Path, tmp_path: Path, options: AnimateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []
    used: list[np.ndarray] = []

    def draw(temperature: np.ndarray, poses: np.ndarray, hottest: float) -> np.ndarray:
        assert len(poses) == 5
        shown.append(temperature)
        return draw_temperature(temperature, poses, hottest)

    def sample(predict: Any, conditions: Any, *others: Any) -> torch.Tensor:
        def watched(window: Any, noisy: Any, timestep: Any, shown: bool) -> Any:
            ports = conditions(window, noisy, timestep, shown)
            if timestep == others[0].timesteps[0]:
                used.append(ports.temperature[0, 0].numpy())
            return ports

        return denoise(predict, watched, *others)

    monkeypatch.setattr("bunraku.animate.preview.draw_temperature", draw)
    monkeypatch.setattr("bunraku.pipeline.denoise", sample)
    run(puppets, tmp_path / "out.mp4", options, debug=tmp_path, temperature=20.0, window=5, overlap=2)
    assert len(shown) == len(used) == 4
    for ours, theirs in zip(shown, used):
        assert ours.max() > 2
        np.testing.assert_array_equal(ours, theirs)


def test_frames_into_a_folder_never_cost_what_lies_there(
    puppets: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    for name in ("ref", "pose"):
        (tmp_path / name).mkdir()
    for suffix in (".png", ".pose.json"):
        (tmp_path / "ref" / f"0000{suffix}").write_bytes((puppets / f"a{suffix}").read_bytes())
    write_openpose_json(Cues.load(puppets / "b.cues").pose, tmp_path / "pose")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    reference = tmp_path / "ref" / "0000.png"
    for output, overwrite, words in (
        ("ref", False, "is also an input"),
        ("ref", True, "is also an input"),
        ("pose", False, "is also an input"),
        ("pose/%02d.png", True, "is also an input"),
    ):
        with pytest.raises(BunrakuError, match=words):
            animate(reference, tmp_path / "pose", tmp_path / output, replace(options, stop=2, overwrite=overwrite))
    animate(reference, tmp_path / "pose", tmp_path / "ref" / "%02d.png", replace(options, stop=2))
    assert sorted(file.name for file in (tmp_path / "ref").iterdir()) == [
        "00.png",
        "0000.png",
        "0000.pose.json",
        "01.png",
    ]
    with pytest.raises(BunrakuError, match=r"00\.png and 1 more would be replaced"):
        animate(reference, tmp_path / "pose", tmp_path / "ref" / "%02d.png", replace(options, stop=1))
    animate(reference, tmp_path / "pose", tmp_path / "ref" / "%02d.png", replace(options, stop=1, overwrite=True))
    assert {file: file.read_bytes() for file in before} == before


def test_few_windows_of_a_long_clip_are_shown(
    puppets: Path, tmp_path: Path, options: AnimateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []

    def join(panels: dict[str, np.ndarray], **_: object) -> np.ndarray:
        labels.extend(label for label in panels if label.startswith("frames"))
        return side_by_side(panels)

    monkeypatch.setattr("bunraku.animate.preview.side_by_side", join)
    run(puppets, tmp_path / "out.mp4", options, debug=tmp_path, temperature=3.0, window=2, overlap=1)
    assert [label.split(",")[0] for label in labels] == [f"frames {i}-{i + 1}" for i in (0, 1, 3, 4, 6, 7, 9, 10)]
    assert all(1 < float(label.rsplit(" ", 1)[1]) < 7 for label in labels)


def test_debug_of_drawn_skeletons_and_of_the_puppet_warp(
    puppets: Path, drawn: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    """The former are shown as they are; the latter has no temperature."""
    for driving, settings, expected in (
        (drawn, replace(options, temperature=3.0), ["skeletons", "temperature"]),
        (puppets / "b.cues", AnimateOptions(model="puppet-warp"), ["skeletons"]),
    ):
        debug = tmp_path / driving.stem
        animate(puppets / "a.png", driving, tmp_path / "out.mp4", replace(settings, stop=3, debug=debug))
        assert sorted(path.stem for path in debug.iterdir()) == expected


def test_progress_is_told(puppets: Path, drawn: Path, tmp_path: Path, options: AnimateOptions) -> None:
    told: list[tuple[str, int, int]] = []
    animate(puppets / "a.png", drawn, tmp_path / "out.mp4", options, lambda *at: told.append(at))
    assert [at for at in told if at[0] == "perceive"] == [("perceive", i, 12) for i in range(1, 13)]
    assert [at for at in told if at[0] == "denoise"] == [("denoise", 1, 2), ("denoise", 2, 2)]
    assert told[-1] == ("write", 12, 12)


def test_a_prediction_that_is_not_finite_leaves_what_was_there(
    puppets: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    pipeline = AnimationPipeline.from_pretrained(options.model)
    with torch.no_grad():
        pipeline.denoiser.conv_out.bias[0] = torch.nan
    pipeline.save_pretrained(tmp_path / "model")
    (tmp_path / "out.mp4").write_text("precious")
    with pytest.raises(BunrakuError, match="not finite at step 1 of 2"):
        run(puppets, tmp_path / "out.mp4", options, model=str(tmp_path / "model"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "precious"


def test_an_interruption_while_writing_leaves_what_was_there(
    puppets: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    (tmp_path / "out.mp4").write_text("precious")

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "write" and done > 8:
            assert len(list(tmp_path.iterdir())) > 1
            raise KeyboardInterrupt

    options = replace(options, side_by_side=tmp_path / "side.mkv", sheet=tmp_path / "sheet.png")
    with pytest.raises(KeyboardInterrupt):
        animate(puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4", options, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "precious"


def test_a_missing_key_is_listed(puppets: Path, tmp_path: Path, options: AnimateOptions) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(options.model, tmp_path / "model")
    file = next((tmp_path / "model" / "pose_guider").glob("*.safetensors"))
    state = load_file(file)
    removed = sorted(state)[0]
    save_file({key: value for key, value in state.items() if key != removed}, file)
    with pytest.raises(BunrakuError) as error:
        run(puppets, tmp_path / "out.mp4", options, model=str(tmp_path / "model"))
    assert "1 missing" in str(error.value)
    assert removed in str(error.value)
    assert not (tmp_path / "out.mp4").exists()


def test_a_full_disk_is_a_plain_error(
    puppets: Path, tmp_path: Path, options: AnimateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from PIL import Image

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(BunrakuError, match=r"disk is full .* while writing .*frames"):
        run(puppets, tmp_path / "frames", options, stop=2)
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("no_model")
def test_input_is_checked_before_anything_slow(puppets: Path, tmp_path: Path) -> None:
    reference, driving, output = puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4"
    (tmp_path / "text.png").write_text("not a picture")
    write_image(tmp_path / "small.png", np.zeros((40, 31, 3), np.uint8))
    shutil.copy(puppets / "a.png", tmp_path / "posed.png")
    (tmp_path / "posed.pose.json").write_text(json.dumps({"people": [], "canvas_height": 96, "canvas_width": 64}))
    before = sorted(tmp_path.iterdir())
    for arguments, message in (
        ((tmp_path / "gone.png", driving, output), r"gone\.png does not exist"),
        ((tmp_path / "text.png", driving, output), r"text\.png is not an image"),
        ((puppets / "b.mp4", driving, output), r"b\.mp4 is not an image"),
        ((tmp_path / "small.png", driving, output), "31x40 px; 32 px is the least"),
        ((tmp_path / "posed.png", driving, output), r"posed\.pose\.json shows no person"),
        ((reference, puppets / "a.png", output), "still image"),
        ((reference, tmp_path / "gone.mp4", output), r"gone\.mp4 does not exist"),
        ((reference, driving, tmp_path / "no" / "out.mp4"), "the folder .* does not exist"),
        ((reference, driving, tmp_path / "text.png" / "out.mp4"), "does not exist"),
        ((reference, driving, tmp_path / "out.xyz"), r"unknown video extension '\.xyz'"),
        ((reference, puppets / "b.mp4", puppets / "b.mp4"), "is also an input"),
    ):
        with pytest.raises(BunrakuError, match=message):
            animate(*arguments)
    for settings, message in (
        ({"sheet": tmp_path / "sheet.mp4"}, "a sheet is a picture"),
        ({"side_by_side": tmp_path / "x.txt"}, "unknown video extension"),
        ({"side_by_side": output}, "is given for two outputs"),
        ({"debug": tmp_path / "frames", "side_by_side": tmp_path / "frames"}, "is given for two outputs"),
        ({"side_by_side": tmp_path / "%02d.png", "sheet": tmp_path / "00.png"}, "lies among the frames of another"),
        ({"debug": tmp_path / "text.png"}, r"text\.png is a file; --debug takes a folder"),
        ({"debug": tmp_path / "no" / "debug"}, r"the folder .*no does not exist"),
        ({"debug": tmp_path, "sheet": tmp_path / "skeletons.png"}, r"skeletons\.png is also a picture of --debug"),
        ({"start": 12}, "has 12 frames, numbered from 0; --start 12 leaves none"),
        ({"reference_pose": tmp_path / "text.png"}, "is not JSON"),
        ({"driving_kind": "bvh"}, "not a BVH file"),
    ):
        with pytest.raises(BunrakuError, match=message):
            animate(reference, driving, output, AnimateOptions(**settings))
    assert sorted(tmp_path.iterdir()) == before


def test_settings_that_the_model_cannot_do(puppets: Path, tmp_path: Path, options: AnimateOptions) -> None:
    for settings, message in (
        (
            {"model": "minni"},
            r"no model 'minni' \(--model\)\. Did you mean 'mini'\? There are puppet-warp, bunraku, mini",
        ),
        ({"model": str(tmp_path / "gone")}, "there is no model .*gone"),
        ({"device": "abacus"}, "Device 'abacus' cannot be used"),
        ({"overlap": 9}, "a window of 8 frames cannot overlap by 9"),
    ):
        with pytest.raises(BunrakuError, match=message):
            run(puppets, tmp_path / "out.mp4", options, **settings)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_real_dancer_drives_a_cartoon(assets: Path, tmp_path: Path, options: AnimateOptions) -> None:
    made = animate(
        assets / "references" / "cartoon.png",
        assets / "drivers" / "dance_plain.mp4",
        tmp_path / "out.mp4",
        AnimateOptions(model=options.model, stop=8, sheet=tmp_path / "sheet.png"),
    )
    assert (made.frames, made.fps, made.driving) == (8, 24, "rgb")
    assert len(VideoReader(tmp_path / "out.mp4")) == 8
    assert has_sound(tmp_path / "out.mp4")
    # the skeletons of the sheet: coloured limbs where the character stands
    assert read_image(tmp_path / "sheet.png").shape[0] > 4 * 192


def test_the_puppet_warp_keeps_the_references_own_size(puppets: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    made = animate(
        puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4",
        AnimateOptions(model="puppet-warp", sheet=tmp_path / "sheet.png", side_by_side=tmp_path / "side.mp4"),
        lambda *at: told.append(at),
    )  # fmt: skip
    assert (made.size, made.frames, made.model, made.device, made.dtype) == (
        (96, 64),
        12,
        "puppet-warp",
        "cpu",
        "uint8",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "sheet.png", "side.mp4"]
    assert told[-1] == ("write", 12, 12)
    frames = read_video(tmp_path / "out.mp4").frames.astype(int)
    # the character moves, the empty corner does not
    assert np.abs(frames[0] - frames[6]).max() > 100
    assert np.abs(frames[:, :8, :8] - frames[0, :8, :8]).max() < 12


def test_drawn_skeletons_in_cues_need_no_person_in_the_reference(tmp_path: Path, options: AnimateOptions) -> None:
    """As drawn skeletons in a video: nothing of the reference's body is asked for."""
    pytest.importorskip("ai_edge_litert")
    write_image(tmp_path / "grey.png", np.full((64, 64, 3), 128, np.uint8))
    drawn = np.zeros((3, 64, 64, 3), np.uint8)
    drawn[:, 20:44, 30:34] = (255, 0, 0)
    Cues(Fraction(12), (64, 64), "drawn", skeleton=drawn).save(tmp_path / "drawn.cues")
    made = animate(tmp_path / "grey.png", tmp_path / "drawn.cues", tmp_path / "out.mp4", options)
    assert made.frames == 3


@pytest.mark.usefixtures("no_model")
def test_the_puppet_warp_refuses_drawn_skeletons_before_anything_slow(
    puppets: Path, drawn: Path, tmp_path: Path
) -> None:
    skeletons = Cues(Fraction(12), (64, 64), "drawn", skeleton=np.zeros((3, 64, 64, 3), np.uint8))
    skeletons.save(tmp_path / "drawn.cues")
    before = sorted(tmp_path.iterdir())
    for driving, kind in ((drawn, "skeleton"), (tmp_path / "drawn.cues", "auto")):
        with pytest.raises(BunrakuError, match=r"puppet-warp moves keypoints, and the drawn skeletons of .* have none"):
            animate(
                puppets / "a.png", driving, tmp_path / "out.mp4", AnimateOptions(model="puppet-warp", driving_kind=kind)
            )
    assert sorted(tmp_path.iterdir()) == before


def test_the_puppet_warp_needs_the_references_pose_even_if_nothing_is_retargeted(puppets: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    write_image(tmp_path / "grey.png", np.full((64, 64, 3), 128, np.uint8))
    options = AnimateOptions(model="puppet-warp", retarget="off", detector="mediapipe")
    with pytest.raises(BunrakuError, match=r"no person was found in the reference .*grey\.png"):
        animate(tmp_path / "grey.png", puppets / "b.cues", tmp_path / "out.mp4", options)
    made = animate(puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4", replace(options, stop=2))
    assert made.frames == 2


def test_drawn_skeletons_need_nobody_in_the_reference(
    puppets: Path, drawn: Path, tmp_path: Path, model_folder: Path
) -> None:
    """Neither as a video nor as the cues of it; whoever is not found is only a warning, where the model would like to know."""
    pytest.importorskip("ai_edge_litert")
    write_image(tmp_path / "grey.png", np.full((96, 64, 3), 128, np.uint8))
    as_drawn = MotionOptions(driving_kind="skeleton")
    open_driving(drawn, as_drawn).cues(as_drawn).save(tmp_path / "drawn.cues")
    for driving, kind in ((drawn, "skeleton"), (tmp_path / "drawn.cues", "auto")):
        made = animate(
            tmp_path / "grey.png", driving, tmp_path / "out.mp4",
            AnimateOptions(model=str(model_folder), stop=2, driving_kind=kind),
        )  # fmt: skip
        assert made.frames == 2


def test_cues_of_a_video_have_its_sound(puppets: Path, drawn: Path, tmp_path: Path, options: AnimateOptions) -> None:
    open_driving(drawn).cues(MotionOptions()).save(tmp_path / "drawn.cues")
    for driving, audio in ((tmp_path / "drawn.cues", True), (tmp_path / "drawn.cues", False)):
        animate(puppets / "a.png", driving, tmp_path / "out.mp4", replace(options, audio=audio, stop=3))
        assert has_sound(tmp_path / "out.mp4") is audio
    with pytest.raises(BunrakuError, match="is also an input"):
        animate(puppets / "a.png", tmp_path / "drawn.cues", drawn, options)


def test_open_inputs_with_known_poses_are_those_of_the_files(
    puppets: Path, tmp_path: Path, options: AnimateOptions, no_detector: None
) -> None:
    run(puppets, tmp_path / "files.mp4", options, start=2, stop=8, audio=False)
    chosen = replace(options, start=2, stop=8, audio=False)
    clip = open_driving(puppets / "b.mp4", chosen)
    known = excerpt(Cues.load(puppets / "b.cues"), puppets / "b.cues", chosen)
    animate(open_reference(puppets / "a.png"), replace(clip, perceived=known), tmp_path / "open.mp4", chosen)
    assert (tmp_path / "open.mp4").read_bytes() == (tmp_path / "files.mp4").read_bytes()


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if anybody is looked for."""
    for name in ("bunraku.cues.perceive.create_pose_detector", "bunraku.animate.reference.create_pose_detector"):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("a detector was made for poses that are known"))


def test_frames_are_shown_as_they_are_written_and_guessed_before(
    puppets: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    shown: list[tuple[int, np.ndarray]] = []
    made = animate(
        puppets / "a.png", puppets / "b.cues", tmp_path / "out", replace(options, steps=3),
        on_frames=lambda number, frames: shown.append((number, frames)),
    )  # fmt: skip
    guesses = [frames for number, frames in shown if len(frames) == 1]
    assert guesses
    assert all(frames.shape[1:] == (*made.size, 3) for _, frames in shown)
    written = np.concatenate([frames for _, frames in shown if len(frames) > 1])
    assert np.array_equal(written, np.stack([read_image(file) for file in sorted((tmp_path / "out").iterdir())]))


@pytest.mark.parametrize("at", ["denoise", "write"])
def test_what_progress_raises_ends_the_run_and_leaves_nothing(
    at: str, puppets: Path, tmp_path: Path, options: AnimateOptions
) -> None:
    class Stop(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == at:
            raise Stop

    with pytest.raises(Stop):
        animate(puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4", options, stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [("denoise", 2), ("write", 8)])
def test_a_stopped_animation_goes_on_from_its_state(
    at: tuple[str, int], puppets: Path, tmp_path: Path, options: AnimateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that were made are not made again, the file is the same byte for byte, and the state goes with the last frame."""
    monkeypatch.setattr("bunraku.sampling.state.SAVED_EVERY", 0.0)
    options = replace(options, steps=4)
    run(puppets, tmp_path / "whole.mp4", options)
    kept, told = tmp_path / "run.state", list[tuple[str, int]]()

    def stop(what: str, done: int, total: int) -> None:
        told.append((what, done))
        if (what, done) == at:
            raise KeyboardInterrupt

    options = replace(options, state=kept)
    with pytest.raises(KeyboardInterrupt):
        animate(puppets / "a.png", puppets / "b.cues", tmp_path / "out.mp4", options, stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.state", "whole.mp4"]
    before = [done for what, done in told if what == "denoise"]
    with pytest.raises(BunrakuError, match=r"run\.state is the state of another run"):
        run(puppets, tmp_path / "out.mp4", options, seed=1)
    with pytest.raises(BunrakuError, match=r"run\.state is the state of another run"):
        run(puppets, tmp_path / "out.mp4", options, scheduler="dpm++")
    told.clear()
    animate(
        puppets / "a.png",
        puppets / "b.cues",
        tmp_path / "out.mp4",
        options,
        lambda what, done, _: told.append((what, done)),
    )
    assert [done for what, done in told if what == "denoise"] == list(range(max(1, before[-1] + (at[0] == "write")), 5))
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not kept.exists()


def test_a_state_is_a_file_of_its_own(puppets: Path, tmp_path: Path, options: AnimateOptions, no_model: None) -> None:
    for state, message in (
        (tmp_path / "out.mp4", "also an output"), (tmp_path, "is a folder"), (puppets / "b.cues", "also an input"), (tmp_path / "no" / "x", "does not exist"),
    ):  # fmt: skip
        with pytest.raises(BunrakuError, match=message):
            run(puppets, tmp_path / "out.mp4", options, state=state)


def test_a_file_that_no_run_wrote_stays(
    puppets: Path, tmp_path: Path, options: AnimateOptions, caplog: pytest.LogCaptureFixture
) -> None:
    """puppet-warp has no state, and says so; a model refuses what is none."""
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    run(puppets, tmp_path / "out.mp4", options, model="puppet-warp", state=mine)
    assert "has no state" in caplog.text
    with pytest.raises(BunrakuError, match="holds no state of a run"):
        run(puppets, tmp_path / "out.mp4", options, state=mine, overwrite=True)
    assert mine.read_text() == "precious"
