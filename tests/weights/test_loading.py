"""Strict loading: pipelines equal to from_pretrained bit for bit, and every way in which a folder can be wrong."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bunraku.animate.models import open_pipeline
from bunraku.animate.options import AnimateOptions
from bunraku.errors import BunrakuError
from bunraku.pipeline import AnimationPipeline
from bunraku.weights import loading
from bunraku.weights.export import save_pipeline
from bunraku.weights.loading import load_pipeline
from tests.tiny import animated
from tests.weights.conftest import make_pipeline


@pytest.fixture(scope="module")
def stored(tmp_path_factory, pipeline):
    return save_pipeline(pipeline, tmp_path_factory.mktemp("stored") / "model")


@pytest.fixture
def folder(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "model")


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, edit):
    path = folder / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    path.unlink()
    save_file(edit(state), path)


def values(pipeline):
    return {
        f"{name}.{key}": value
        for name, component in pipeline.components.items()
        if isinstance(component, nn.Module)
        for key, value in component.state_dict().items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_from_pretrained(folder, dtype):
    ours, theirs = (
        load_pipeline(folder, dtype=dtype, device="cpu"),
        AnimationPipeline.from_pretrained(folder, dtype=dtype),
    )
    left, right = values(ours), values(theirs)
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert value.dtype == right[key].dtype, key
        assert torch.equal(value, right[key]), key
    assert {k: v for k, v in ours.config.items() if k != "_name_or_path"} == {
        k: v for k, v in theirs.config.items() if k != "_name_or_path"
    }
    assert dict(ours.scheduler.config) == dict(theirs.scheduler.config)
    assert not any(c.training for c in ours.components.values() if isinstance(c, nn.Module))


def test_the_result_animates_as_from_pretrained(folder):
    rng = np.random.default_rng(0)
    reference, poses = rng.integers(0, 255, (32, 40, 3), np.uint8), rng.integers(0, 255, (3, 32, 40, 3), np.uint8)
    frames = []
    for pipe in (
        load_pipeline(str(folder), device="cpu"),
        AnimationPipeline.from_pretrained(folder, dtype=torch.float32),
    ):
        pipe.set_progress_bar_config(disable=True)
        frames.append(animated(pipe, reference, poses, poses[0], generator=torch.Generator().manual_seed(1)))
    assert np.array_equal(*frames)


def test_auto_dtype_upcasts_on_the_cpu(folder):
    assert load_file(folder / "denoiser/diffusion_pytorch_model.safetensors")["conv_in.weight"].dtype == torch.float16
    pipe = load_pipeline(folder, device="cpu")
    assert {value.dtype for value in values(pipe).values() if value.is_floating_point()} == {torch.float32}
    half = load_pipeline(folder, device="cpu", dtype="bfloat16")
    assert half.denoiser.dtype == torch.bfloat16


def test_missing_motion_modules_are_named(folder):
    edit_weights(folder / "denoiser", lambda s: {k: v for k, v in s.items() if ".motion_modules." not in k})
    with pytest.raises(BunrakuError, match=r"(?s)denoiser in .* \d+ missing: .*and \d+ more.*the video flickers\."):
        load_pipeline(folder, device="cpu")


def test_a_pipeline_made_without_motion_modules_loads_and_who_animates_with_it_is_warned(tmp_path, caplog):
    save_pipeline(make_pipeline(motion=False), tmp_path / "still")
    with caplog.at_level(logging.WARNING, "bunraku"):
        load_pipeline(tmp_path / "still", device="cpu")
        assert not caplog.text
        open_pipeline(AnimateOptions(model=str(tmp_path / "still"), device="cpu"))
    assert "no motion modules" in caplog.text


@pytest.mark.parametrize("name", ["vae", "reference_net", "pose_guider"])
def test_one_key_too_many_or_too_few(folder, name):
    edit_weights(folder / name, lambda s: {"stray": torch.zeros(1)} | dict(list(s.items())[1:]))
    with pytest.raises(BunrakuError, match=rf"(?s)do not fit the {name} .*1 missing: .*1 unexpected: stray"):
        load_pipeline(folder, device="cpu")


def test_sharded_weights(folder, pipeline):
    whole = folder / "denoiser" / "diffusion_pytorch_model.safetensors"
    state = load_file(whole)
    whole.unlink()
    shards = {"a.safetensors": dict(list(state.items())[:9]), "b.safetensors": dict(list(state.items())[9:])}
    for file, part in shards.items():
        save_file(part, whole.parent / file)
    index = {"weight_map": {key: file for file, part in shards.items() for key in part}}
    (whole.parent / f"{whole.name}.index.json").write_text(json.dumps(index))
    loaded = load_pipeline(folder, device="cpu").denoiser.state_dict()
    assert all(torch.equal(value.half(), state[key]) for key, value in loaded.items())


@pytest.mark.parametrize(
    ("component", "entry"),
    [
        ("denoiser", ["os", "system"]),
        ("denoiser", ["bunraku.cli", "main"]),
        ("vae", ["elsewhere.nets", "PatchCodec"]),
        ("vae", ["diffusers", "UNet2DConditionModel"]),
        ("image_encoder", ["transformers", "AutoModel"]),
        ("scheduler", ["diffusers", "UNet2DConditionModel"]),
        ("scheduler", ["mine", "DDIMScheduler"]),
        ("scheduler", [None, None]),
    ],
)
def test_a_checkpoint_does_not_choose_what_is_imported(folder, component, entry, monkeypatch):
    imported = []
    monkeypatch.setattr(loading, "import_module", lambda name: imported.append(name) or pytest.importorskip(name))
    edit_json(folder / "model_index.json", **{component: entry})
    with pytest.raises(
        BunrakuError, match=rf"model_index\.json names {entry[1]} of {entry[0]} as {component}; expected"
    ):
        load_pipeline(folder, device="cpu")
    assert not {name.split(".")[0] for name in imported} - {"bunraku", "diffusers", "transformers"}
    assert entry[0] not in imported


def test_a_bunraku_class_is_found_by_its_name_where_it_is_now(folder):
    edit_json(folder / "model_index.json", vae=["bunraku.once_here", "PatchCodec"])
    load_pipeline(folder, device="cpu")


def break_folder(folder, how):
    if how == "component":
        shutil.rmtree(folder / "pose_guider")
    elif how == "weights":
        (folder / "pose_guider" / "diffusion_pytorch_model.safetensors").unlink()
    elif how == "pickle only":
        (folder / "pose_guider" / "diffusion_pytorch_model.safetensors").rename(
            folder / "pose_guider" / "diffusion_pytorch_model.bin"
        )
    elif how == "config":
        (folder / "pose_guider" / "config.json").write_text("{")
    elif how == "list":
        (folder / "model_index.json").write_text("[]")
    elif how == "bad config":
        edit_json(folder / "pose_guider" / "config.json", unshuffle=3)
    elif how == "index":
        (folder / "model_index.json").unlink()
    elif how == "class":
        edit_json(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    elif how == "part":
        index = json.loads((folder / "model_index.json").read_text())
        del index["denoiser"]
        (folder / "model_index.json").write_text(json.dumps(index))
    elif how == "future":
        edit_json(folder / "model_index.json", depth_guider=["bunraku", "DepthGuider"])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("component", "has no folder pose_guider"),
        ("weights", "pose_guider has no weights; expected diffusion_pytorch_model.safetensors"),
        ("pickle only", "pose_guider has no weights; expected diffusion_pytorch_model.safetensors"),
        ("config", r"pose_guider/config\.json cannot be read"),
        ("bad config", r"pose_guider/config\.json does not describe a PoseGuider"),
        ("index", r"model_index\.json cannot be read"),
        ("list", r"model_index\.json holds a list"),
        ("class", "holds a StableDiffusionPipeline, expected an AnimationPipeline"),
        ("part", "names no denoiser"),
        ("future", "has depth_guider, which this version of bunraku does not know"),
    ],
)
def test_broken_folders(folder, how, message):
    break_folder(folder, how)
    with pytest.raises(BunrakuError, match=message):
        load_pipeline(folder, device="cpu")


def test_unknown_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BunrakuError, match="Did you mean 'mini'"):
        load_pipeline("minni", device="cpu")
    with pytest.raises(BunrakuError, match=r"There is no model folder \./here"):
        load_pipeline("./here", device="cpu")
    with pytest.raises(BunrakuError, match="dwpose is no animation model"):
        load_pipeline("dwpose", device="cpu")


def test_a_hub_repository_is_fetched_without_code(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []

    def snapshot(repo, allow_patterns):
        asked.append((repo, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    load_pipeline("someone/theirs", device="cpu")
    assert asked == [("someone/theirs", ["*.json", "*.safetensors"])]

    def offline(repo, allow_patterns):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(BunrakuError, match="someone/theirs is no folder here and could not be fetched"):
        load_pipeline("someone/theirs", device="cpu")


def test_unknown_dtype_and_device(folder):
    with pytest.raises(BunrakuError, match="Unknown dtype 'half'; expected auto, float16"):
        load_pipeline(folder, dtype="half", device="cpu")
    with pytest.raises(BunrakuError, match="Device 'gpu' cannot be used here"):
        load_pipeline(folder, device="gpu")


def test_the_best_device_is_picked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert loading.pick_device() == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert loading.pick_device() == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loading.pick_device() == "cuda"


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("model_index.json", "size", 7), ("model_index.json", "defaults", [1]), ("denoiser/config.json", "block_out_channels", 0),
        ("denoiser/config.json", "block_out_channels", [10**30]), ("denoiser/config.json", "layers_per_block", {}), ("image_encoder/config.json", "num_channels", 1e-320),
        ("image_encoder/config.json", "num_attention_heads", [None]), ("scheduler/scheduler_config.json", "num_train_timesteps", "many"),
        ("scheduler/scheduler_config.json", "beta_schedule", 10**30), ("denoiser/config.json", "spatial_positions", 10**30),
        ("denoiser/config.json", "spatial_positions", "many"), ("image_encoder/config.json", "layer_norm_eps", 1e300),
        ("denoiser/config.json", "num_attention_heads", "8"), ("scheduler/scheduler_config.json", "clip_sample_range", "wide"),
    ],
)  # fmt: skip
def test_configurations_of_nothing_are_refused(tmp_path, file, name, value):
    save_pipeline(make_pipeline(), tmp_path / "model")
    path = tmp_path / "model" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(BunrakuError, match=path.parent.name):
        load_pipeline(tmp_path / "model", device="cpu")
