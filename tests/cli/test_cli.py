"""The command line: exit codes, plain errors, JSON alone on stdout, and nothing left behind."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bunraku import __version__
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import read_openpose_json
from bunraku.errors import BunrakuError
from bunraku.media import VideoWriter, read_image, write_image
from bunraku.perception.pose import WHOLE_BODY, Detections
from bunraku.recipes import RECIPES
from tests.conftest import Bunraku, Outcome
from tests.video import read_video

COMMANDS = (
    "animate",
    "perceive",
    "retarget",
    "theatre",
    "train",
    "evaluate",
    "serve",
    "doctor",
    "models list",
    "models pull",
    "models verify",
)


class Blind:
    """Finds nobody."""

    name, provider = "blind", "nothing"

    def __call__(self, frame: np.ndarray) -> Detections:
        return Detections.of([])

    def restart(self) -> None:
        pass

    def close(self) -> None:
        pass


class Dancer(Blind):
    """Finds one person in the first 4 frames and from the 15th on."""

    def __init__(self) -> None:
        self.frame = 0

    def __call__(self, frame: np.ndarray) -> Detections:
        spots = np.random.default_rng(0).uniform((10, 10), (50, 80), (WHOLE_BODY, 2)).astype(np.float32)
        self.frame += 1
        seen = self.frame <= 4 or self.frame >= 15
        return Detections.of([(spots + self.frame, np.ones(WHOLE_BODY, np.float32))] if seen else [])


def detector(monkeypatch: pytest.MonkeyPatch, kind: type[Blind]) -> None:
    for module in ("cues.perceive", "animate.reference"):
        monkeypatch.setattr(f"bunraku.{module}.create_pose_detector", lambda *_, **__: kind())


def listing(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """20 frames of nothing to see, 12 fps: no detector, no theatre."""
    (tmp_path / "clips").mkdir()
    with VideoWriter(tmp_path / "clips" / "footage.mp4", fps=12, size=(96, 64)) as video:
        for i in range(20):
            video.write(np.full((96, 64, 3), 100 + 5 * i, np.uint8))
    return tmp_path / "clips" / "footage.mp4"


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['bunraku', '--help']\n"
        "from bunraku.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'diffusers', 'av', 'cv2', 'numpy', 'mediapipe') if m in sys.modules], file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr.strip() == "[]"
    assert "animate" in done.stdout
    # of the processor: the clock depends on what else the machine does
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str, bunraku: Bunraku) -> None:
    code, out, _ = bunraku(*command.split(), "--help")
    assert code == 0
    assert f"Example: bunraku {command}" in re.sub(r"\s+", " ", out)


def test_version(bunraku: Bunraku) -> None:
    assert bunraku("--version") == Outcome(0, f"{__version__}\n", "")


def test_animate_prints_what_it_made(bunraku: Bunraku, puppets: Path, model_folder: Path, tmp_path: Path) -> None:
    arguments = (
        "animate",
        puppets / "a.png",
        puppets / "b.cues",
        "-o",
        tmp_path / "out.mp4",
        "--model",
        model_folder,
        "--stop",
        3,
    )
    code, out, err = bunraku(*arguments)
    assert code == 0
    assert out.startswith(f"{tmp_path / 'out.mp4'}: 3 frames of")
    assert "the pose of the reference is read from" in err
    assert "denoise" in err
    code, out, _ = bunraku(
        *arguments,
        "--json",
        "--seed",
        5,
        "--fps",
        "30000/1001",
        "--size",
        "64x48",
        "--scheduler",
        "unipc",
        "--steps",
        1,
        "--temperature",
        3,
        "--debug",
        tmp_path / "debug",
    )
    made = json.loads(out)
    # three of the clip's own frames, at 12 per second
    assert (code, made["frames"], made["fps"], made["size"], made["seed"]) == (0, 7, "30000/1001", [64, 48], 5)
    assert made["debug"] == str(tmp_path / "debug")
    assert sorted(path.name for path in (tmp_path / "debug").iterdir()) == ["skeletons.png", "temperature.png"]


def test_perceive_writes_cues_and_json(
    bunraku: Bunraku, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    code, out, err = bunraku(
        "perceive", footage, "-o", tmp_path / "x.cues", "--json-folder", tmp_path / "json", "--json"
    )
    assert code == 0
    assert json.loads(out)["people"] == 1
    assert "read as footage" in err
    pose = Cues.load(tmp_path / "x.cues").pose
    assert pose is not None
    np.testing.assert_array_equal(read_openpose_json(tmp_path / "json").keypoints[:4], pose.keypoints[:4])
    # never twice into one folder, and said before the work
    monkeypatch.setattr(Dancer, "__call__", lambda *_: pytest.fail("perceived before the output was checked"))
    code, _, err = bunraku("perceive", footage, "-o", tmp_path / "x.cues", "--json-folder", tmp_path / "json")
    assert code == 2
    assert "has .json files already" in err


def test_perceive_prepares_a_folder_of_clips(
    bunraku: Bunraku, footage: Path, puppets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    (footage.parent / "broken.mp4").write_text("no video")
    code, out, err = bunraku("perceive", footage.parent, "--json")
    assert code == 1
    assert "broken.mp4 is not a video" in re.sub(r"\s+", " ", err)
    result = json.loads(out)
    assert [Path(name).name for name in result["failed"]] == ["broken.mp4"]
    assert [Path(row["cues"]).name for row in result["written"]] == ["footage.cues"]
    assert len(Cues.load(footage.with_suffix(".cues"))) == 20
    (footage.parent / "broken.mp4").unlink()
    written = footage.with_suffix(".cues").stat().st_mtime_ns
    assert bunraku("perceive", footage.parent).code == 0
    assert footage.with_suffix(".cues").stat().st_mtime_ns == written
    assert bunraku("perceive", footage.parent, "--again").code == 0
    assert footage.with_suffix(".cues").stat().st_mtime_ns > written
    pytest.importorskip("webdataset")
    code, out, _ = bunraku("perceive", footage.parent, "--shards", footage.parent.parent / "shards", "--json")
    assert code == 0
    result = json.loads(out)
    assert (len(result["skipped"]), [Path(path).name for path in result["shards"]]) == (1, ["clips-00000.tar"])
    code, _, err = bunraku("perceive", footage, "--shards", footage.parent.parent / "other")
    assert (code, "--shards packs a folder of clips" in err) == (2, True)


def test_a_person_who_is_lost_is_a_warning_with_the_frames(
    bunraku: Bunraku, footage: Path, puppets: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    code, _, err = bunraku("animate", puppets / "a.png", footage, "-o", tmp_path / "out.mp4", "--model", model_folder)
    assert code == 0
    assert "warning: the person is lost in 10 of 20 frames" in err
    assert "4-13" in err


def test_theatre_renders_scenes_that_animate_takes(bunraku: Bunraku, tmp_path: Path, model_folder: Path) -> None:
    code, out, _ = bunraku(
        "theatre", "-o", tmp_path / "scenes", "--count", 2, "--frames", 6, "--size", "96x64", "--seed", 3, "--json"
    )
    assert code == 0
    first, second = json.loads(out)["scenes"]
    assert Path(first["video"]).name == "0003.mp4"
    assert read_video(first["video"]).frames.shape == (6, 96, 64, 3)
    assert read_image(first["reference"]).shape == (96, 64, 3)
    again = bunraku("theatre", "-o", tmp_path / "one.mp4", "--frames", 6, "--size", "96x64", "--seed", 3)
    assert again.code == 0
    assert (tmp_path / "one.mp4").read_bytes() == Path(first["video"]).read_bytes()
    (tmp_path / "one.png").write_text("mine")
    for output, seed in ((tmp_path / "one.mp4", 3), (tmp_path / "scenes", 4)):
        refused = bunraku("theatre", "-o", output, "--frames", 6, "--size", "96x64", "--seed", seed)
        assert refused.code == 2
        assert "would be replaced" in refused.err
        assert "--overwrite" in refused.err
    assert (tmp_path / "one.png").read_text() == "mine"
    assert bunraku("theatre", "-o", tmp_path / "one.mp4", "--frames", 6, "--size", "96x64", "--overwrite").code == 0
    arguments = (
        "animate",
        first["reference"],
        second["cues"],
        "-o",
        tmp_path / "out.gif",
        "--model",
        model_folder,
        "--stop",
        2,
    )
    assert bunraku(*arguments).code == 0


def test_doctor_says_what_is_there(bunraku: Bunraku) -> None:
    code, out, _ = bunraku("doctor", "--json")
    found = json.loads(out)
    assert found["bunraku"] == __version__
    assert found["codecs"]["libx264"]["usable"]
    assert found["devices"][-1] == "cpu"
    assert code == (0 if found["ready"] else 1)


def test_models_list_names_the_default(bunraku: Bunraku) -> None:
    code, out, _ = bunraku("models", "list", "--json")
    assert code == 0
    assert json.loads(out)["models"][0]["name"] == "bunraku"
    assert "mini" in bunraku("models", "list").out


def test_train_hands_its_settings_over(bunraku: Bunraku, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def train(config, until=None):
        given.append(config)
        return config.output / "model"

    monkeypatch.setattr("bunraku.training.run.train", train)
    monkeypatch.setattr("bunraku.training.codec.train_codec", given.append)
    settings = ("--set", "steps=20", "--set", "learning_rate=1e-3", "--set", "betas=[0.9,0.95]", "--set", "warmup=5")
    code, out, _ = bunraku(
        "train", "animate-anyone", "--stage", 1, "-o", tmp_path / "run", "--data", "clips", *settings
    )
    config = given[0]
    assert (code, out.strip()) == (0, str(tmp_path / "run" / "model"))
    assert (config.steps, config.learning_rate, config.betas, config.data, config.size) == (
        20,
        1e-3,
        (0.9, 0.95),
        "clips",
        "mini",
    )
    assert bunraku("train", "animate-anyone", "--size", "mini", "--stage", "1").code == 0
    assert given.pop().output == Path("runs/animate-anyone-mini-stage1")
    assert bunraku("train", "codec", "-o", tmp_path / "codec", "--set", "learning_rate=1").code == 0
    assert (given[1].output, given[1].learning_rate) == (tmp_path / "codec", 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "steps"), "is no setting; give KEY=VALUE"),
        (("--set", "stepps=3"), "no setting 'stepps'; there are"),
        (("--set", "steps=many"), "steps is 'many'; expected int"),
        (("--set", "steps=2.5"), "steps is 2.5; expected int"),
        (("--set", "resolution=100"), "resolution 100 is not a multiple of 8"),
        (("--stage", "3"), "has stages 1, 2, not 3"),
        (("--size", "giant"), "no size 'giant'"),
    ],
)
def test_training_settings_that_are_wrong(
    arguments: tuple[str, ...], message: str, bunraku: Bunraku, tmp_path: Path
) -> None:
    code, out, err = bunraku("train", "animate-anyone", "-o", tmp_path / "run", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_training_replaces_nothing_that_no_run_has_written(bunraku: Bunraku, tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "config.json").write_text('{"name": "mine"}')
    for recipe in ("codec", "animate-anyone"):
        code, _, err = bunraku("train", recipe, "-o", tmp_path / "mine", "--set", "steps=1")
        assert code == 2
        assert "is not the folder of a run, but has config.json and model" in err
    assert (tmp_path / "mine" / "config.json").read_text() == '{"name": "mine"}'
    assert not any((tmp_path / "mine" / "model").iterdir())
    code, _, err = bunraku("train", "nonsense")
    assert code == 2
    assert f"there is no recipe 'nonsense'; there are {', '.join(RECIPES)}, codec" in err


def test_bad_input_is_one_line_and_exit_code_2(
    bunraku: Bunraku, puppets: Path, footage: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Blind)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "cut.mp4").write_bytes(footage.read_bytes()[: footage.stat().st_size // 2])
    (tmp_path / "empty.mp4").touch()
    write_image(tmp_path / "tiny.png", np.zeros((31, 64, 3), np.uint8))
    write_image(tmp_path / "nobody.png", np.full((96, 64, 3), 128, np.uint8))
    output, reference, motion = tmp_path / "out.mp4", puppets / "a.png", puppets / "b.cues"
    output.write_text("precious")
    before = listing(tmp_path)
    for arguments, message in (
        ((tmp_path / "text.mp4", motion), "text.mp4 is not an image"),
        ((reference, tmp_path / "text.mp4"), "text.mp4 is not a video"),
        ((reference, tmp_path / "cut.mp4"), "cut.mp4"),
        ((reference, tmp_path / "empty.mp4"), "empty.mp4 is empty"),
        ((tmp_path / "tiny.png", motion), "32 px is the least"),
        ((tmp_path / "nobody.png", motion), "no person was found in the reference"),
        ((reference, footage), "no person was found in any of the 20 frames of"),
        ((reference, motion, "--model", "minni"), "Did you mean 'mini'"),
        ((reference, motion, "--model", "nonsense"), "There are puppet-warp, bunraku, mini, moore"),
        ((reference, "https://example.org/dance.mp4"), "is a web address; download it first"),
        ((reference, motion, "--size", "big"), "'big' is no size"),
        ((reference, motion, "--fps", "1/0"), "'1/0' is no frame rate"),
        ((reference, motion, "--steps", 0), "steps 0 must be"),
        ((reference, motion, "--temperature", -1), "temperature -1.0 must be"),
        ((reference, motion, "--person", 3), "no person 3"),
        ((reference, motion, "--device", "abacus"), "Device 'abacus'"),
        ((reference, motion, "-o", tmp_path / "no" / "out.mp4"), "does not exist"),
    ):
        code, out, err = bunraku("animate", "-o", output, "--model", model_folder, *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert "Traceback" not in err
    assert listing(tmp_path) == before


def test_a_wrong_option_is_exit_code_2(bunraku: Bunraku, puppets: Path, tmp_path: Path) -> None:
    code, out, err = bunraku(
        "animate", puppets / "a.png", puppets / "b.cues", "-o", tmp_path / "out.mp4", "--retarget", "some"
    )
    assert (code, out) == (2, "")
    assert "align" in err


def test_pictures_without_the_room_for_perception_or_theatre(bunraku: Bunraku, footage: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("perceive", footage, "-o", tmp_path / "x.mp4"), "a cues file ends in"),
        (("perceive", footage, "-o", tmp_path / "no" / "x.cues"), "does not exist"),
        (("perceive", footage.parent, "-o", tmp_path / "x.cues"), "is a folder of clips"),
        (("theatre", "-o", tmp_path / "x.mp4", "--count", 2), "one file for 2 scenes"),
        (("theatre", "-o", tmp_path / "s", "--size", "8"), "sizes from 32"),
        (("models", "verify", "maxi"), "no weights called 'maxi'"),
    ):
        code, _, err = bunraku(*arguments)
        assert code == 2
        assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


@pytest.mark.slow
def test_ctrl_c_during_sampling_leaves_everything_as_it_was(puppets: Path, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    before = listing(tmp_path)
    command = [
        sys.executable,
        "-m",
        "bunraku",
        "animate",
        puppets / "a.png",
        puppets / "b.cues",
        "-o",
        tmp_path / "out.mp4",
    ]
    command += ["--model", model_folder, "--steps", 1000, "--sheet", tmp_path / "sheet.png"]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"FORCE_COLOR": "1"},  # shows progress as it happens, as in a terminal
        # what a shell starts in the background, pytest perhaps, ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    try:
        shown = b""
        while b"denoise" not in shown:
            shown += (byte := process.stderr.read(1))
            assert byte, shown
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, b"")
    assert b"stopped by Ctrl-C" in err
    assert b"Traceback" not in err
    assert listing(tmp_path) == before


@pytest.mark.slow
def test_a_full_disk_while_writing(puppets: Path, model_folder: Path, tmp_path: Path) -> None:
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); from bunraku.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        limited,
        "animate",
        puppets / "a.png",
        puppets / "b.cues",
        "-o",
        tmp_path / "out.mp4",
        "--model",
        model_folder,
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert not any(tmp_path.iterdir())


def test_models_that_do_not_exist_are_named_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['bunraku', 'animate', 'a.png', 'b.mp4', '-o', 'c.mp4', '--model', 'nonsense']\n"
        "from bunraku.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'diffusers', 'transformers', 'mediapipe') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (2, "[]")
    assert "there is no model 'nonsense' (--model). There are puppet-warp, bunraku, mini" in re.sub(
        r"\s+", " ", done.stderr
    )
    assert "dwpose" not in done.stderr


def test_names_of_models_are_completed() -> None:
    from bunraku.cli.options import complete_model

    assert complete_model("m") == ["mini", "moore", "musepose", "magic-animate"]
    assert complete_model("pup") == ["puppet-warp"]


def test_quiet_says_nothing_but_warnings(bunraku: Bunraku, puppets: Path, model_folder: Path, tmp_path: Path) -> None:
    arguments = ("animate", puppets / "a.png", puppets / "b.cues", "-o", tmp_path / "out.mp4", "--model", model_folder)
    assert bunraku("-q", *arguments, "--stop", 2).err == ""
    loud = bunraku(*arguments, "--stop", 2, "--size", "128").err
    assert "paints 64x64 px: a demonstration" in loud
    assert "warning: " in loud
    assert "was made for 64x64 px; at 128x128 it may show ghosts" in loud
    assert "denoise 2/2" in loud


def test_the_pose_of_a_still_is_a_file_that_animate_reads(bunraku: Bunraku, puppets: Path, tmp_path: Path) -> None:
    (tmp_path / "hero.png").write_bytes((puppets / "a.png").read_bytes())
    code, out, _ = bunraku("perceive", tmp_path / "hero.png", "--draft", "--json")
    assert (code, json.loads(out)["pose"]) == (0, str(tmp_path / "hero.pose.json"))
    code, _, err = bunraku(
        "animate", tmp_path / "hero.png", puppets / "b.cues", "-o", tmp_path / "out.mp4", "--model", "puppet-warp", "--stop", 2
    )  # fmt: skip
    assert code == 0
    assert "the pose of the reference is read from" in err
    for arguments, message in (
        ((tmp_path / "hero.png", "--draft"), "would be replaced"),
        ((tmp_path / "hero.png", "--json-folder", tmp_path / "json"), "the pose of a still is one file"),
        ((puppets / "b.mp4", "--draft"), "--draft is for stills"),
    ):
        code, _, err = bunraku("perceive", *arguments)
        assert code == 2
        assert message in re.sub(r"\s+", " ", err)


def test_cues_that_were_not_named_are_not_replaced(
    bunraku: Bunraku, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    cues = footage.with_suffix(".cues")
    cues.write_text("edited by hand")
    code, _, err = bunraku("perceive", footage)
    assert code == 2
    assert "would be replaced" in err
    assert cues.read_text() == "edited by hand"
    assert bunraku("perceive", footage, "--overwrite").code == 0
    assert len(Cues.load(cues)) == 20
    cues.write_text("edited by hand")
    assert bunraku("perceive", footage, "-o", cues).code == 0
    assert len(Cues.load(cues)) == 20


def test_people_are_numbered_in_a_picture(
    bunraku: Bunraku, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    code, _, err = bunraku(
        "perceive", footage, "-o", tmp_path / "x.cues", "--people", "all", "--picture", tmp_path / "who.png"
    )
    assert code == 0, err
    picture = read_image(tmp_path / "who.png")
    assert picture.shape[0] == 640
    assert (picture == 255).all(-1).any()  # the number
    for arguments, message in (
        (("--people", "some"), "'some' is no number of people (--people)"),
        (("--people", "9"), "--max-people 9 must be from 1 to 8"),
        (("--picture", tmp_path / "who.txt"), "its name ends in none of"),
        (("--picture", footage), "(--picture)"),
    ):
        code, _, err = bunraku("perceive", footage, "-o", tmp_path / "x.cues", *arguments)
        assert code == 2
        assert message in " ".join(err.split())


def _never(*arguments: object, **options: object) -> None:
    raise AssertionError("perceived before the options were checked")


def test_perceive_cuts_people_out(
    bunraku: Bunraku, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    monkeypatch.setattr("bunraku.perception.matte.create_footage_segmenter", lambda: None)
    code, _, err = bunraku(
        "perceive", footage, "-o", tmp_path / "x.cues", "--matte", "--debug", tmp_path / "layers.png"
    )
    assert code == 0, err
    cues = Cues.load(tmp_path / "x.cues")
    assert cues.pose is not None
    assert cues.maps["mattes"].shape[:2] == (len(cues), cues.pose.people)
    assert cues.plate is not None
    assert read_image(tmp_path / "layers.png").shape[2] == 3
    for arguments, message in (
        (("--object", "3,4,5"), "names no thing"),
        (("--object", "3,4@99"), "there is no frame 99"),
        (("--object", "999,4"), "is no part of a frame"),
        (("--object", "ball"), "`bunraku models pull yolos-tiny`"),
        (("--object", tmp_path / "none.png"), "none.png"),
        (("--depth",), "`bunraku models pull depth-anything`"),
    ):
        monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path / "home"))
        monkeypatch.setattr("bunraku.animate.driving.Driving.cues", _never)
        code, _, err = bunraku("perceive", footage, "-o", tmp_path / "y.cues", *arguments)
        assert code == 2
        assert message in " ".join(err.split())
        assert not (tmp_path / "y.cues").exists()


def test_a_folder_of_stills_is_animated_and_what_fails_is_named(
    bunraku: Bunraku, puppets: Path, tmp_path: Path
) -> None:
    stills = tmp_path / "stills"
    stills.mkdir()
    for name in ("a", "b"):
        for suffix in (".png", ".pose.json"):
            (stills / f"{name}{suffix}").write_bytes((puppets / f"{name}{suffix}").read_bytes())
    for suffix in (".png", ".pose.json"):
        (stills / f"c{suffix}").write_bytes((puppets / f"a{suffix}").read_bytes())
    arguments = ("animate", stills, puppets / "b.cues", "-o", tmp_path / "out", "--model", "puppet-warp", "--stop", 2)
    code, out, _ = bunraku(*arguments)
    assert code == 0, out
    assert out.splitlines()[-1] == "3 in all: 3 written, 0 there already, 0 failed"
    (tmp_path / "out" / "b.mp4").unlink()
    code, out, _ = bunraku(*arguments, "--json")
    data = json.loads(out)
    assert (code, len(data["written"]), len(data["skipped"]), data["failed"]) == (0, 1, 2, {})


def test_a_table_of_jobs(bunraku: Bunraku, puppets: Path, tmp_path: Path) -> None:
    head = "reference,driving,output,stop"
    rows = [f"{puppets}/{name}.png,{puppets}/b.cues,{tmp_path}/{name}.mp4,2" for name in ("a", "b")]
    blank = tmp_path / "blank.png"
    write_image(blank, np.full((96, 64, 3), 200, np.uint8))
    table = tmp_path / "jobs.csv"
    table.write_text("\n".join([head, *rows, f"blank.png,{puppets}/b.cues,{tmp_path}/blank.mp4,2"]))
    code, out, err = bunraku("animate", "--jobs", table, "--model", "puppet-warp")
    assert code == 1
    assert out.splitlines()[-1] == "3 in all: 2 written, 0 there already, 1 failed"
    assert f"failed: {tmp_path}/blank.mp4: no person was found in the reference" in err
    table.write_text("\n".join([head, *rows, f"nobody.png,{puppets}/b.cues,new/x.mp4,2"]))
    code, _, err = bunraku("animate", "--jobs", table, "--model", "puppet-warp")
    assert code == 2
    assert "jobs.csv line 4: " in err
    assert bunraku("animate", "--jobs", table, puppets / "a.png").code == 2
    assert "is missing; give REFERENCE" in bunraku("animate", puppets / "a.png").err


def test_mattes_are_written_in_colours_and_taken_again(
    bunraku: Bunraku, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector(monkeypatch, Dancer)
    monkeypatch.setattr("bunraku.perception.matte.create_footage_segmenter", lambda: None)
    code, _, err = bunraku("perceive", footage, "-o", tmp_path / "x.cues", "--matte-out", tmp_path / "masks")
    assert code == 0, err
    cues = Cues.load(tmp_path / "x.cues")
    assert len(list((tmp_path / "masks").glob("*.png"))) == len(cues)
    code, _, err = bunraku("perceive", footage, "-o", tmp_path / "y.cues", "--mask", tmp_path / "masks")
    assert code == 0, err
    again = Cues.load(tmp_path / "y.cues").maps["mattes"]
    assert np.abs(again.astype(int) - cues.maps["mattes"]).max() <= 3
    for arguments, message in (
        (("--mask", tmp_path / "none"), "none"),
        (("--mask", tmp_path / "masks", "--stop", "2"), "masks for 2 frames"),
        (("--matte-out", tmp_path / "masks"), "--overwrite"),
    ):
        monkeypatch.setattr("bunraku.animate.driving.Driving.cues", _never)
        code, _, err = bunraku("perceive", footage, "-o", tmp_path / "z.cues", *arguments)
        assert code == 2
        assert message in " ".join(err.split())


def test_several_pictures_and_the_order_reach_the_options(bunraku, tmp_path, monkeypatch):
    asked = []

    def animated(reference, driving, output, options, *rest):
        asked.append(options)
        raise BunrakuError("enough")

    monkeypatch.setattr("bunraku.animate.animate", animated)
    picture = tmp_path / "a.png"
    picture.touch()
    bunraku(
        "animate", picture, tmp_path / "b.mp4", "-o", tmp_path / "c.mp4", "--reference", "d.png", "--reference", "e.png", "--view", "f.png",
        "--order", "reference",
    )  # fmt: skip
    (options,) = asked
    assert (options.references, options.views, options.order) == (
        (Path("d.png"), Path("e.png")),
        (Path("f.png"),),
        "reference",
    )


def test_a_name_that_the_system_does_not_take(bunraku, tmp_path):
    for arguments in (
        (f"{'n' * 300}.png", "b.mp4", "-o", tmp_path / "out.mp4"),
        ("a.png", "b.mp4", "-o", tmp_path / f"{'n' * 300}.mp4"),
    ):
        outcome = bunraku("animate", *arguments)
        assert outcome.code == 2
        assert "error: " in outcome.err
        assert "Traceback" not in outcome.err
