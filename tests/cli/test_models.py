"""`bunraku models`: what it prints, what scripts read, and a checkpoint that is converted when it is first used."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bunraku.weights import load_pipeline, registry
from bunraku.weights.registry import File, Model, get
from tests.conftest import Bunraku
from tests.video import read_video
from tests.weights.small import control_net, moore_family, save, stable_diffusion_family, still, unet

COMMANDS = ("list", "pull", "verify", "convert", "info")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moore") / "pretrained_weights"
    folder.mkdir()
    moore_family(folder)
    return folder


@pytest.fixture
def home(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files in the place of the downloads of moore and of what it needs."""
    home = tmp_path / "home"
    monkeypatch.setenv("BUNRAKU_HOME", str(home))

    def pinned(name: str, kind: str, where: Path, needs: tuple[str, ...] = ()) -> Model:
        shutil.copytree(where, home / name, ignore=shutil.ignore_patterns("image_encoder", "sd-*", "stable-*"))
        paths = [path for path in sorted((home / name).rglob("*")) if path.is_file()]
        listed = tuple(
            File(str(path.relative_to(home / name)), hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
            for path in paths
        )
        return Model(name, "for tests", kind, "Apache-2.0", "https://example.org", "owner/x", listed, needs)  # type: ignore[arg-type]

    models = (
        pinned("moore", "checkpoint", files, ("sd-vae-ft-mse", "sd-image-variations")),
        pinned("sd-vae-ft-mse", "part", files / "sd-vae-ft-mse"),
        pinned("sd-image-variations", "part", files / "image_encoder"),
    )
    monkeypatch.setattr(registry, "MODELS", (get("mini"), *models))
    return home


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str, bunraku: Bunraku) -> None:
    code, out, _ = bunraku("models", command, "--help")
    assert code == 0
    assert f"Example: bunraku models {command}" in " ".join(out.split())


def test_list_says_what_is_here(bunraku: Bunraku, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(bunraku("models", "list", "--json").out)["models"]}
    assert rows["mini"]["present"]
    assert not rows["moore"]["present"]
    assert rows["moore"]["needs"] == ["sd-vae-ft-mse", "sd-image-variations"]
    assert rows["musepose"]["licence"] == "non-commercial research"
    (tmp_path / "animatediff-v2").mkdir()
    (tmp_path / "animatediff-v2" / "mm_sd_v15_v2.ckpt").touch()
    lines = {line.split()[0]: line for line in bunraku("models", "list").out.splitlines()}
    assert " here " in lines["animatediff-v2"]
    assert "not fetched" in lines["sd15"]
    assert "huggingface.co/guoyww/animatediff" in lines["animatediff-v2"]
    assert "1,818 MB" in lines["animatediff-v2"]


def test_convert_and_info(bunraku: Bunraku, files: Path, tmp_path: Path) -> None:
    code, out, err = bunraku("models", "convert", files, tmp_path / "model", "--dtype", "float16", "--betas", "linear")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'model'}: moore, recipe animate-anyone\n")
    assert "not used:" in err  # the UNet that it started from
    stored = load_file(tmp_path / "model" / "denoiser" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    pipeline = load_pipeline(tmp_path / "model", device="cpu")
    assert pipeline.scheduler.config.beta_schedule == "linear"  # type: ignore[attr-defined]
    code, out, _ = bunraku("models", "info", tmp_path / "model")
    assert code == 0
    assert "a model of bunraku" in out
    code, out, _ = bunraku("models", "info", files, "--json")
    found = json.loads(out)
    assert (code, found["model"], found["complete"]) == (0, "moore", True)
    assert found["parts"]["motion"]["keys"] == 546
    code, out, _ = bunraku("models", "info", files)
    assert "Moore-AnimateAnyone, licence: Apache-2.0" in out
    assert "AnimateDiff motion module, original, fits MotionAdapter" in out


def test_info_on_half_a_model(bunraku: Bunraku, files: Path, tmp_path: Path) -> None:
    """Exit code 1, and what is missing; with the rest named it is whole."""
    half = tmp_path / "half"
    half.mkdir()
    for name in ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "motion_module.pth"):
        (half / name).symlink_to(files / name)
    code, out, _ = bunraku("models", "info", half)
    assert code == 1
    assert "  missing: image_encoder\n  missing: vae" in out
    code, out, err = bunraku("models", "convert", half, tmp_path / "model")
    assert (code, out) == (2, "")
    assert "without image_encoder, vae. Say where they are (--with PATH)." in err
    more = ("--with", files / "image_encoder", "--with", files / "sd-vae-ft-mse")
    assert bunraku("models", "info", half, *more).code == 0
    code, out, _ = bunraku("models", "convert", half, tmp_path / "model", *more, "--json")
    assert (code, json.loads(out)["family"]) == (0, "moore")
    assert bunraku("models", "info", files / "motion_module.pth").code == 0  # a single network is whole by itself


def test_a_start_for_training_tcan_from_named_weights(
    bunraku: Bunraku, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/weights.md has it, with small files in the place of the downloads."""
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    stable_diffusion_family(tmp_path / "home" / "sd15")
    (tmp_path / "home" / "sd15" / "control_v11p_sd15_openpose.pth").unlink()
    controlnet = tmp_path / "home" / "controlnet-openpose-v10"
    save(control_net(), controlnet / "diffusion_pytorch_model.safetensors")
    (controlnet / "config.json").write_text("{}")
    save(still(unet(9)), tmp_path / "realistic-vision.safetensors")
    command = ("models", "convert", "sd15", "start", "--recipe", "tcan", "--with", "controlnet-openpose-v10")
    code, out, err = bunraku(*command, "--reference-net", "realistic-vision.safetensors")
    assert (code, out.splitlines()[0]) == (0, "start: stable-diffusion, recipe tcan"), err
    assert "ReferenceNet starts from realistic-vision.safetensors, the denoiser from" in " ".join(err.split())
    assert "a model of bunraku, recipe tcan" in bunraku("models", "info", "start").out
    code, _, err = bunraku(*command[:4], "--recipe", "tcan", "--with", "controlnet-openpose")
    assert (code, "fetch it with `bunraku models pull controlnet-openpose`" in err) == (2, True)
    code, _, err = bunraku(*command[:4], "--recipe", "tcan")
    assert (code, "without control_net. Say where they are (--with PATH)." in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "nowhere", "x"), "There is no file or folder nowhere"),
        (("info", "moore"), "moore is not here; fetch it with `bunraku models pull moore`"),
        (("info", "mor"), "There is no file or folder mor"),
        (("convert", "x", "y", "--dtype", "int8"), "int8"),
        (("pull", "mor"), "Did you mean 'moore'?"),
    ],
)
def test_plain_errors(
    arguments: tuple[str, ...], message: str, bunraku: Bunraku, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    code, out, err = bunraku("models", *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_converted_when_it_is_first_used(
    bunraku: Bunraku, home: Path, puppets: Path, tmp_path: Path
) -> None:
    """`animate --model moore`: from the files as they were fetched to a video; afterwards those are not needed any more."""
    assert bunraku("models", "pull", "moore").out.startswith(
        f"{home / 'moore'}; `bunraku animate --model moore` converts it"
    )
    command = (
        "animate", puppets / "a.png", puppets / "b.cues", "-o", tmp_path / "out.mp4", "--model", "moore", "--stop", 2, "--steps", 1,
        "--size", "64x128", "--guidance", 1, "--device", "cpu",
    )  # fmt: skip
    code, _, err = bunraku(*command)
    assert code == 0, err
    assert f"moore is converted to {home / 'converted' / 'moore'}, once" in err
    assert "reference_net" in err  # the bars of its conversion
    first = read_video(tmp_path / "out.mp4").frames
    assert first.shape == (2, 64, 128, 3)
    shutil.rmtree(home / "moore")
    code, _, err = bunraku(*command)
    assert code == 0
    assert "once" not in err
    assert np.array_equal(first, read_video(tmp_path / "out.mp4").frames)
    assert "converted" in bunraku("models", "list").out
    assert bunraku("models", "verify", "moore").out == f"{home / 'converted' / 'moore'} is whole\n"
    assert "a model of bunraku" in bunraku("models", "info", "moore").out


def test_a_damaged_checkpoint_is_not_converted(bunraku: Bunraku, home: Path, puppets: Path, tmp_path: Path) -> None:
    path = home / "moore" / "motion_module.pth"
    path.write_bytes(b"x" * path.stat().st_size)
    code, _, err = bunraku("models", "verify", "moore")
    assert code == 2
    assert "motion_module.pth has the wrong checksum" in err
    assert bunraku("models", "verify", "sd-vae-ft-mse").code == 0
    assert not (home / "converted").exists()
