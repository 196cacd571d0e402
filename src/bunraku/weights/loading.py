"""Loading weights: every missing, unexpected and mis-shaped key is reported, and nothing in a checkpoint is executed."""

import inspect
import json
import logging
import pickle
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.pipeline import AnimationPipeline
from bunraku.weights.download import described, is_lfs_pointer, pull
from bunraku.weights.registry import MODELS, get

logger = logging.getLogger(__name__)

PICKLES = (".pth", ".pt", ".ckpt", ".bin")
LISTED_KEYS = 20
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
FLICKER = "Without motion modules every frame is made on its own and the video flickers."

CLASSES = {
    "vae": {"AutoencoderKL": "diffusers", "PatchCodec": "bunraku.nets.patch_codec"},
    "denoiser": {"Denoiser": "bunraku.nets.denoiser"},
    "reference_net": {"ReferenceNet": "bunraku.nets.reference_net"},
    "pose_guider": {"PoseGuider": "bunraku.nets.pose_guider", "LiteralPoseGuider": "bunraku.nets.pose_guider"},
    "image_encoder": {"CLIPVisionModelWithProjection": "transformers"},
}
"""Where the classes come from that a component of `AnimationPipeline` may have. A scheduler is any of diffusers'."""


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor] | str | Path,
    *,
    allowed_missing: Sequence[str] = (),
    allowed_unexpected: Sequence[str] = (),
    name: str,
) -> None:
    """Copy weights into `module`, in place, all of them or none.

    Values take the dtype and device of the module's own; parameters on the meta device are replaced as they are.

    Args:
        state: tensors by name, or a file for `read_state`.
        allowed_missing, allowed_unexpected: patterns of keys (as of a shell, `*.motion_modules.*`) that may be absent from
            `state`, or are there for someone else.
        name: what messages call the module.

    Raises:
        BunrakuError: lists every other key that is missing, unexpected or has another shape.
    """
    tensors = read_state(state) if isinstance(state, str | Path) else state
    expected = module.state_dict()
    missing = [key for key in expected if key not in tensors and not _matches(key, allowed_missing)]
    unexpected = [key for key in tensors if key not in expected and not _matches(key, allowed_unexpected)]
    shared = {key: tensors[key] for key in expected if key in tensors}
    shaped = [
        f"{key} is {tuple(value.shape)}, expected {tuple(expected[key].shape)}"
        for key, value in shared.items()
        if value.shape != expected[key].shape
    ]
    report = [
        f"  {len(keys)} {kind}: {_shorten(keys)}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", shaped))
        if keys
    ]
    if report:
        source = f" in {state}" if isinstance(state, str | Path) else ""
        hint = f"\n{FLICKER}" if any(".motion_modules." in key for key in missing) else ""
        raise BunrakuError(
            "\n".join([f"The weights{source} do not fit the {name}, nothing was loaded:", *report]) + hint
        )
    module.load_state_dict(shared, strict=False, assign=any(p.is_meta for p in module.parameters()))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a safetensors file, or from a pickle (.pth, .pt, .ckpt, .bin) that holds only data.

    Raises:
        BunrakuError: no such file, an unknown ending, a truncated file, a git-LFS pointer, a pickle that would run code, or
            one that holds something other than tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise BunrakuError(f"There is no weight file {path}.")
    if path.suffix != ".safetensors" and path.suffix not in PICKLES:
        raise BunrakuError(f"{path} is no weight file; expected .safetensors, {', '.join(PICKLES)}.")
    if is_lfs_pointer(path):
        raise BunrakuError(
            f"{path} is a git-LFS pointer instead of the weights; run `git lfs pull`, or download the file itself."
        )
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        if "unsupported" in str(error).lower():  # torch's word for anything in a pickle that is not data
            raise BunrakuError(
                f"{path} holds code, not only weights, and is not opened; ask its author for safetensors."
            ) from error
        raise BunrakuError(
            f"{path} is damaged or was not downloaded to the end; fetch it again ({described(error)})."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BunrakuError(f"{path} does not hold tensors by name.")
    return state


def load_pipeline(
    model: str | Path = "mini", *, dtype: torch.dtype | str = "auto", device: str | None = None
) -> AnimationPipeline:
    """A pipeline ready to use: the same as `AnimationPipeline.from_pretrained`, but strict about keys and classes.

    Args:
        model: name in the registry, a folder in diffusers' layout, or a repository on the Hub (owner/name).
        dtype: "auto" is float16 on a GPU and float32 on the CPU, whatever is stored.
        device: None takes `pick_device`.

    Raises:
        BunrakuError: unknown model, dtype or device; components missing, damaged, of a foreign class, or whose keys do not fit.
    """
    device = _usable_device(device or pick_device())
    if dtype == "auto":
        dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
    elif isinstance(dtype, str):
        if dtype not in DTYPES:
            raise BunrakuError(f"Unknown dtype {dtype!r}; expected auto, {', '.join(DTYPES)}.")
        dtype = DTYPES[dtype]
    folder = find_pipeline(model)
    index = _read_json(folder / "model_index.json")
    if index.get("_class_name") != AnimationPipeline.__name__:
        raise BunrakuError(f"{folder} holds a {index.get('_class_name')}, expected an {AnimationPipeline.__name__}.")
    entries = {name: value for name, value in index.items() if not name.startswith("_")}
    parameters = inspect.signature(AnimationPipeline).parameters
    if unknown := sorted(entries.keys() - parameters.keys()):
        raise BunrakuError(
            f"{folder} has {', '.join(unknown)}, which this version of bunraku does not know; update bunraku."
        )
    required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    if missing := [name for name in required if name not in entries]:
        raise BunrakuError(f"{folder}/model_index.json names no {', '.join(missing)}.")
    classes = {name: find_class(name, entries[name]) for name in required}
    components = {name: load_component(cls, folder / name, name, dtype) for name, cls in classes.items()}
    if not components["denoiser"].config.motion:
        logger.warning("%s has no motion modules. %s", model, FLICKER)
    pipeline: Any = AnimationPipeline(**entries | components)
    return pipeline.to(device)


def find_pipeline(model: str | Path) -> Path:
    """Folder of a named model, of a folder itself, or of a Hub repository, which is fetched (safetensors and JSON only).

    Raises:
        BunrakuError: none of these, or the Hub cannot be reached.
    """
    if model in [m.name for m in MODELS]:
        known = get(str(model))
        if known.kind != "pipeline":
            raise BunrakuError(f"{model} is no animation model: {known.description}.")
        return pull(known.name)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(model)):
        if folder.name == str(model):
            get(str(model))
        raise BunrakuError(f"There is no model folder {model}.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the Hub's client raises its own, its HTTP library's and the system's errors
        raise BunrakuError(
            f"{model} is no folder here and could not be fetched from the Hugging Face Hub ({described(error)})."
        ) from error


def find_class(name: str, entry: Any) -> type:
    """Class of component `name` for its `entry` in model_index.json, [library, class]; only classes from `CLASSES`.

    Raises:
        BunrakuError: any other: a checkpoint does not choose what is imported.
    """
    library, class_name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
    package = str(library).split(".")[0]
    if name == "scheduler":
        import diffusers

        found = getattr(diffusers, str(class_name), None) if package == "diffusers" else None
        if isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin):
            return found
        expected = "a scheduler of diffusers"
    else:
        module = CLASSES[name].get(str(class_name))
        if module is not None and module.split(".")[0] == package:
            return getattr(import_module(module), str(class_name))
        expected = " or ".join(f"{known} of {module.split('.')[0]}" for known, module in CLASSES[name].items())
    raise BunrakuError(f"model_index.json names {class_name} of {library} as {name}; expected {expected}.")


def load_component(cls: Any, folder: Path, name: str, dtype: torch.dtype) -> Any:
    """One component of a pipeline from its folder: a scheduler, or a network in `dtype` on the CPU, ready for inference.

    Raises:
        BunrakuError: folder, configuration or weights are missing, unusable, or do not fit each other.
    """
    from accelerate import init_empty_weights
    from transformers import PreTrainedModel

    if not folder.is_dir():
        raise BunrakuError(f"{folder.parent} has no folder {name}; a model in diffusers' layout has one per component.")
    if name == "scheduler":
        return cls.from_config(_read_json(folder / "scheduler_config.json"))
    config = _read_json(folder / "config.json")
    try:
        with init_empty_weights(include_buffers=False):
            if issubclass(cls, PreTrainedModel):
                network = cls(cls.config_class.from_dict(config))
            else:
                network = cls.from_config(config)
    except (TypeError, ValueError) as error:
        raise BunrakuError(f"{folder / 'config.json'} does not describe a {cls.__name__} ({error}).") from error
    state = {key: value for path in _weight_files(folder) for key, value in read_state(path).items()}
    load_state(network, state, name=f"{name} in {folder}")
    # torch's own cast: diffusers' warns about parts to keep in float32 even where there are none
    return torch.nn.Module.to(network, dtype).eval()


def pick_device() -> str:
    """The best device this machine has: "cuda", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _usable_device(device: str) -> str:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BunrakuError(f"Device {device!r} cannot be used here ({described(error)}).") from error
    return device


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors file of a component, or its shards."""
    for stem in ("diffusion_pytorch_model", "model"):
        if (single := folder / f"{stem}.safetensors").is_file():
            return [single]
        if (index := folder / f"{stem}.safetensors.index.json").is_file():
            return sorted({folder / file for file in _read_json(index).get("weight_map", {}).values()})
    raise BunrakuError(f"{folder} has no weights; expected diffusion_pytorch_model.safetensors or model.safetensors.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BunrakuError(f"{path} cannot be read ({error}); expected a model in diffusers' layout.") from error
    if not isinstance(content, dict):
        raise BunrakuError(f"{path} holds a {type(content).__name__}; expected a model in diffusers' layout.")
    return content


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _shorten(keys: Sequence[str]) -> str:
    more = f", and {len(keys) - LISTED_KEYS} more" if len(keys) > LISTED_KEYS else ""
    return ", ".join(keys[:LISTED_KEYS]) + more
