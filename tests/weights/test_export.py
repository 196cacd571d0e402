"""Saving a pipeline: round trip, nothing half-written, the pipeline untouched."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bunraku.errors import BunrakuError
from bunraku.pipeline import AnimationPipeline
from bunraku.weights.export import save_pipeline
from bunraku.weights.loading import load_pipeline
from tests.tiny import animated
from tests.weights.conftest import make_pipeline


def states(pipeline):
    return {name: c.state_dict() for name, c in pipeline.components.items() if isinstance(c, nn.Module)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_round_trip(pipeline, tmp_path, dtype):
    before = copy.deepcopy(states(pipeline))
    folder = save_pipeline(pipeline, tmp_path / "new" / "model", dtype=dtype)
    for loaded in (load_pipeline(folder, device="cpu"), AnimationPipeline.from_pretrained(folder, dtype=torch.float32)):
        for name, state in states(loaded).items():
            for key, value in state.items():
                assert torch.equal(value, before[name][key].to(dtype).float()), f"{name}.{key}"
        for key in ("options", "size", "defaults", "recipe", "styles"):
            assert loaded.config[key] == pipeline.config[key]
        assert loaded.scheduler.config.prediction_type == "sample"
        assert loaded.vae.config.scaling_factor == 0.7
    for name, state in states(pipeline).items():
        assert all(
            torch.equal(value, before[name][key]) and value.dtype == torch.float32 for key, value in state.items()
        )


def test_what_is_stored_in_half_precision_runs_as_it_opens(pipeline, tmp_path):
    """transformers keeps the stored dtype where diffusers opens in float32."""
    opened = AnimationPipeline.from_pretrained(save_pipeline(pipeline, tmp_path / "model"))
    assert {opened.image_encoder.dtype, opened.denoiser.dtype} == {torch.float16, torch.float32}
    opened.set_progress_bar_config(disable=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 40, 3), np.uint8)
    exact = animated(pipeline, pixels[0], pixels, pixels[0], generator=torch.Generator().manual_seed(0))
    half = animated(opened, pixels[0], pixels, pixels[0], generator=torch.Generator().manual_seed(0))
    assert np.abs(half.astype(float) - exact).mean() < 3


def test_layout_is_safetensors_and_names_no_local_path(pipeline, tmp_path):
    folder = save_pipeline(pipeline, tmp_path / "model")
    again = save_pipeline(load_pipeline(folder, device="cpu"), tmp_path / "again")
    files = sorted(str(path.relative_to(again)) for path in again.rglob("*") if path.is_file())
    (tmp_path / "plain").touch()
    assert {(again / file).stat().st_mode for file in files} == {(tmp_path / "plain").stat().st_mode}
    nets = ("denoiser", "pose_guider", "reference_net", "vae")
    assert files == sorted(
        [
            "model_index.json",
            "image_encoder/config.json",
            "image_encoder/model.safetensors",
            "scheduler/scheduler_config.json",
        ]
        + [f"{net}/{file}" for net in nets for file in ("config.json", "diffusion_pytorch_model.safetensors")]
    )
    for path in again.rglob("*.json"):
        assert str(tmp_path) not in path.read_text()
    for path in again.rglob("*.safetensors"):
        assert path.read_bytes() == (folder / path.relative_to(again)).read_bytes()


def test_an_earlier_model_is_replaced_as_a_whole(pipeline, tmp_path):
    folder = save_pipeline(pipeline, tmp_path / "model")
    (folder / "old.txt").write_text("old")
    other = make_pipeline(seed=1)
    save_pipeline(other, folder)
    assert not (folder / "old.txt").exists()
    stored = load_file(folder / "denoiser" / "diffusion_pytorch_model.safetensors")["conv_in.weight"]
    assert torch.equal(stored, other.denoiser.conv_in.weight.half())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_folders_are_left_alone(pipeline, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("")
    with pytest.raises(BunrakuError, match="photos exists and is no model"):
        save_pipeline(pipeline, tmp_path / "photos")
    with pytest.raises(BunrakuError, match=r"one\.jpg exists and is no model"):
        save_pipeline(pipeline, tmp_path / "photos" / "one.jpg")
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "one.jpg"]


def test_a_failure_leaves_the_earlier_model(pipeline, tmp_path, monkeypatch):
    folder = save_pipeline(pipeline, tmp_path / "model")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AnimationPipeline, "save_config", full)
    with pytest.raises(BunrakuError, match=r"the disk is full \(No space left on device\) while writing .*model"):
        save_pipeline(make_pipeline(seed=1), folder)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    broken = make_pipeline()
    broken.denoiser.conv_in.bias.data[0] = value
    with pytest.raises(
        BunrakuError, match=r"The denoiser is not saved: 1 weights are not finite, the first is conv_in\.bias"
    ):
        save_pipeline(broken, tmp_path / "model")
    assert not list(tmp_path.iterdir())
