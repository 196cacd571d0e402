"""Writing a pipeline as a folder in diffusers' layout, safetensors only, whole or not at all."""

import os
import shutil
from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from bunraku.errors import BunrakuError
from bunraku.pipeline import AnimationPipeline


def save_pipeline(pipeline: AnimationPipeline, folder: str | Path, *, dtype: torch.dtype = torch.float16) -> Path:
    """Write `pipeline` to `folder` for `load_pipeline` and `from_pretrained`; the pipeline itself is left as it is.

    The folder is written under a temporary name beside its place. A model that was there before is replaced as a whole.

    Args:
        dtype: what the weights are stored in.

    Raises:
        BunrakuError: the folder holds something other than a model or cannot be written, or a weight is not finite in `dtype`.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "model_index.json").is_file() and (folder.is_file() or any(folder.iterdir())):
        raise BunrakuError(f"{folder} exists and is no model; give the name of a new folder.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        for name, component in pipeline.components.items():  # type: ignore[attr-defined]
            if isinstance(component, nn.Module):
                component = torch.nn.Module.to(deepcopy(component), device="cpu", dtype=dtype)
                _check_finite(component, name)
            component.save_pretrained(temporary / name)
        pipeline.save_config(temporary)  # type: ignore[attr-defined]
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except OSError as error:
        raise BunrakuError(f"The model could not be written to {folder} ({error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _check_finite(component: nn.Module, name: str) -> None:
    bad = [
        key for key, value in component.state_dict().items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if bad:
        raise BunrakuError(f"The {name} is not saved: {len(bad)} weights are not finite, the first is {bad[0]}.")
