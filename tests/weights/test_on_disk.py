"""Weights that stay on disk: exactly those of the file, in memory for no longer than they are used, and the same frames."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bunraku.animate.models import open_pipeline
from bunraku.animate.options import AnimateOptions
from bunraku.errors import BunrakuError
from bunraku.pipeline import AnimationPipeline
from bunraku.weights.export import save_pipeline
from bunraku.weights.loading import load_pipeline
from bunraku.weights.on_disk import OnDisk
from tests.tiny import animated


def test_every_kind_of_tensor_comes_back_as_it_was_written(tmp_path):
    generator = torch.Generator().manual_seed(0)
    real = {
        str(dtype): torch.randn(3, 5, generator=generator).to(dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    }
    whole = {
        "ids": torch.arange(7)[None],
        "yes": torch.tensor([True, False]),
        "one": torch.tensor(4, dtype=torch.uint8),
    }
    more = {"more": torch.zeros(0, 4), "scalar": torch.tensor(2.5)}
    save_file(real | whole, tmp_path / "a.safetensors", {"format": "pt"})
    save_file(more, tmp_path / "b.safetensors")
    weights = OnDisk([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], torch.float32)
    assert set(weights) == {*real, *whole, *more}
    assert len(weights) == 9
    for name, value in (real | more).items():
        assert torch.equal(weights[name], value.float()), name
    for name, value in whole.items():
        assert torch.equal(weights[name], value), name
    half = OnDisk([tmp_path / "a.safetensors"], torch.float16)
    assert half["torch.float32"].dtype == torch.float16
    path = tmp_path / "b.safetensors"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(BunrakuError, match="shorter"):
        weights["scalar"]


def frames(pipeline: AnimationPipeline) -> np.ndarray:
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    poses = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    return animated(pipeline, reference, poses, poses[0], generator=torch.Generator().manual_seed(1))


def test_what_is_compiled_stays_in_memory():
    with pytest.raises(BunrakuError, match="leave out --compile or --low-memory"):
        open_pipeline(AnimateOptions(model="mini", compile=True, low_memory=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_frames_are_the_same_and_no_weight_is_left_in_memory(pipeline, tmp_path, dtype):
    folder = save_pipeline(pipeline, tmp_path / "model")
    whole, low = (load_pipeline(folder, dtype=dtype, device="cpu", low_memory=low) for low in (False, True))
    np.testing.assert_array_equal(frames(low), frames(whole))
    for name, part in low.components.items():
        if isinstance(part, torch.nn.Module):
            assert all(value.is_meta for value in part.parameters()), name
            assert not any(value.is_meta for value in part.buffers()), name
    np.testing.assert_array_equal(frames(low), frames(whole))
