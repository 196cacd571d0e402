"""Recorded numbers and tiny random weights of the public Animate Anyone code: what the repository holds, and all of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

RECORDED = Path(__file__).parent / "data" / "golden"
"""What the repository holds, see README.md there."""

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
"""Everything that was recorded, which is too large for the repository."""

whole = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="needs the weights of all levels, which the repository does not hold"
)

SCHEDULER = json.loads((RECORDED / "config" / "scheduler.json").read_text())
"""As the public code has it at inference: linear betas, v-prediction, zero terminal SNR, trailing steps."""

UNETS = ("denoising_unet", "reference_unet")
STATES = (*UNETS, "motion_module", "pose_guider")


def near(actual: Tensor, expected: Tensor, tolerance: float = 5e-5) -> None:
    torch.testing.assert_close(actual, expected.to(actual.dtype), atol=tolerance, rtol=0)


def recorded(name: str) -> dict[str, Tensor]:
    """The arrays of one file of the repository."""
    with np.load(RECORDED / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def moore_files(folder: Path, suffix: str, *, complete: bool = GOLDEN.is_dir()) -> Path:
    """The public code's layout: four files, and the folders of the autoencoder and the image encoder.

    Args:
        complete: whether all weights are the recorded ones; else those of the deep levels are noise.
    """
    folder.mkdir()
    if complete:
        states = {name: torch.load(GOLDEN / "weights" / f"{name}.pth", weights_only=True) for name in STATES}
    else:
        states = {name: _part(name) for name in STATES}
        for name in UNETS:
            _fill(states[name], _shapes_of_unet(name))
        _fill(states["motion_module"], _shapes_of_motion(states["motion_module"]))
    for name, state in states.items():
        (save_file if suffix == ".safetensors" else torch.save)(state, folder / f"{name}{suffix}")
    for name in UNETS:  # heads and groups are not those of SD1.5
        (folder / f"{name}.json").write_bytes((RECORDED / "config" / f"{name}.json").read_bytes())
    for name, file in (("vae", "diffusion_pytorch_model"), ("image_encoder", "model")):
        (folder / name).mkdir()
        (folder / name / "config.json").write_bytes((RECORDED / "config" / f"{name}.json").read_bytes())
        state = {key: value.float() if value.is_floating_point() else value for key, value in _part(name).items()}
        save_file(state, folder / name / f"{file}.safetensors", {"format": "pt"})
    return folder


def _part(name: str) -> dict[str, Tensor]:
    weights = load_file(RECORDED / "weights.safetensors")
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def _shapes_of_unet(name: str) -> dict[str, tuple[int, ...]]:
    config = json.loads((RECORDED / "config" / f"{name}.json").read_text())
    known = ("block_out_channels", "cross_attention_dim", "attention_head_dim", "norm_num_groups")
    with torch.device("meta"):
        network = UNet2DConditionModel(**{key: config[key] for key in known})
    left_out = ("conv_norm_out", "conv_out") if name == "reference_unet" else ()
    return {key: tuple(v.shape) for key, v in network.state_dict().items() if not key.startswith(left_out or "-")}


def _shapes_of_motion(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Every motion module has the tensors of the first; the deep ones are twice as wide. Tables of positions are added."""
    first = "down_blocks.0.motion_modules.0."
    like = {key.removeprefix(first): tuple(value.shape) for key, value in state.items() if key.startswith(first)}
    for number in (0, 1):
        like[f"temporal_transformer.transformer_blocks.0.attention_blocks.{number}.pos_encoder.pe"] = (1, 32, 32)
    counts = {f"down_blocks.{i}": 2 for i in range(4)} | {"mid_block": 1} | {f"up_blocks.{i}": 3 for i in range(4)}
    deep = ("down_blocks.2", "down_blocks.3", "mid_block", "up_blocks.0", "up_blocks.1")
    return {
        f"{level}.motion_modules.{number}.{key}": _wider(shape) if level in deep else shape
        for level, count in counts.items() for number in range(count) for key, shape in like.items()
    }  # fmt: skip


def _wider(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] + (2 * shape[-1],) if shape[0] == 1 else tuple(2 * side if side > 1 else side for side in shape)


def _fill(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]) -> None:
    """Noise for what `state` lacks, in the scale of the recorded weights; tables of positions by their formula."""
    generator = torch.Generator().manual_seed(0)
    for key, shape in shapes.items():
        if key in state:
            assert tuple(state[key].shape) == shape, key
        elif key.endswith("pos_encoder.pe"):
            state[key] = _positions(*shape[1:])
        else:
            noise = torch.randn(shape, generator=generator)
            scale = 0.1 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            state[key] = (scale * noise + (key.endswith("weight") and len(shape) == 1)).half()


def _positions(length: int, channels: int) -> Tensor:
    angles = torch.arange(length)[:, None] * torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000) / channels))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[None]
