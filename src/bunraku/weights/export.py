"""Writing models as folders in diffusers' layout, safetensors only, whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.media.files import replacing
from bunraku.pipeline import AnimationPipeline


@contextmanager
def whole_folder(folder: Path, mark: str = "model_index.json") -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends well, and of which nothing is left when not.

    A model that was there before is replaced as a whole.

    Args:
        mark: the file that tells such a model from any other folder.

    Raises:
        BunrakuError: `folder` holds something other than a model, or it cannot be written.
    """
    if folder.exists() and not (folder / mark).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise BunrakuError(f"{folder} exists and is no model; give the name of a new folder.")
    try:
        with replacing(folder) as temporary:
            temporary.mkdir(parents=True)
            yield temporary
    except OSError as error:
        raise BunrakuError(f"The model could not be written to {folder} ({error}).") from error


def save_pipeline(pipeline: AnimationPipeline, folder: str | Path, *, dtype: torch.dtype = torch.float16) -> Path:
    """Write `pipeline` to `folder` for `load_pipeline` and `from_pretrained`; the pipeline itself is left as it is.

    Args:
        dtype: what the weights are stored in.

    Raises:
        BunrakuError: as of `whole_folder`, or a weight is not finite in `dtype`.
    """
    folder = Path(folder)
    with whole_folder(folder) as temporary:
        for name, component in pipeline.components.items():  # type: ignore[attr-defined]
            if isinstance(component, nn.Module):
                component = torch.nn.Module.to(deepcopy(component), device="cpu", dtype=dtype)
                check_finite(component.state_dict(), name)
            component.save_pretrained(temporary / name)
        pipeline.save_config(temporary)  # type: ignore[attr-defined]
    return folder


def save_component(
    network: Any,
    state: Mapping[str, Tensor],
    folder: Path,
    *,
    name: str,
    dtype: torch.dtype | None = None,
    on_tensor: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write a network of diffusers, transformers or bunraku whose tensors are not in it, but in `state`.

    Args:
        network: on the meta device; what `state` lacks is its own (positional encodings).
        state: mapped from files where that is possible, so that no more than what changes its dtype takes memory.
        dtype: what the weights are stored in; None: as they are.
        on_tensor: called with the number of tensors that are ready and of all.

    Raises:
        BunrakuError: a weight is not finite in `dtype`.
    """
    tensors = {}
    expected = network.state_dict()
    for key, own in expected.items():
        tensor = state.get(key, own)
        if dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(dtype)
        check_finite({key: tensor}, name)
        tensors[key] = tensor.contiguous()
        on_tensor(len(tensors), len(expected))
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(network, "save_config"):
        network.save_config(folder)
        file = "diffusion_pytorch_model.safetensors"
    else:
        network.config.architectures = [type(network).__name__]
        network.config.dtype = torch.float32  # what it opens as unless a dtype is asked for, like those of diffusers
        network.config.save_pretrained(folder)
        file = "model.safetensors"
    save_file(tensors, folder / file, {"format": "pt"})


def check_finite(state: Mapping[str, Tensor], name: str) -> None:
    """Raise BunrakuError where a weight of the network called `name` is not finite."""
    bad = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise BunrakuError(f"The {name} is not saved: {len(bad)} weights are not finite, the first is {bad[0]}.")
