"""Depth: the real loading code on a small random network of the same class."""

from pathlib import Path

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.perception.depth import DepthAnything


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=518, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8, head_hidden_size=4,
        patch_size=14,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("depth")
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    return folder


def test_every_pixel_has_a_depth(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "depth-anything").symlink_to(weights)
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    estimator = DepthAnything(device="cpu")
    frame = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    depth = estimator(frame)
    assert depth.shape == (90, 120)
    assert depth.dtype == np.float32
    assert np.isfinite(depth).all()
    assert np.array_equal(depth, estimator(frame))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match=r"cannot be loaded .*`bunraku models pull depth-anything`"):
        DepthAnything(tmp_path)


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(weights, tmp_path / "damaged"))
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(next(iter(tensors)))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BunrakuError, match="does not fit Depth Anything: 1 weights differ"):
        DepthAnything(folder)
