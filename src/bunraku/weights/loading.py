"""Loading pipelines: every missing, unexpected and mis-shaped key is reported, and nothing in a checkpoint is executed."""

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bunraku.cues.pose_refiner import PoseRefiner
from bunraku.errors import BunrakuError
from bunraku.machine import pick_device
from bunraku.perception.pose import PoseTrack
from bunraku.pipeline import CONFIGURATION, AnimationPipeline
from bunraku.recipes.parts import AUTOENCODERS, PARTS
from bunraku.weights.download import Progress, described, pull
from bunraku.weights.on_disk import OnDisk, keep_on_disk
from bunraku.weights.registry import MODELS, get
from bunraku.weights.states import load_state, read_json, read_state, weight_files

logger = logging.getLogger(__name__)

Poses = TypeVar("Poses", bound=PoseTrack | np.ndarray)

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def load_pipeline(
    model: str | Path = "mini",
    *,
    dtype: torch.dtype | str = "auto",
    device: str | None = None,
    low_memory: bool = False,
    on_progress: Progress | None = None,
) -> AnimationPipeline:
    """A pipeline ready to use: the same as `AnimationPipeline.from_pretrained`, but strict about keys and classes.

    Args:
        model: name in the registry, a folder in diffusers' layout, or a repository on the Hub (owner/name). Public checkpoints
            with a name are fetched and converted when they are first used.
        dtype: "auto" is float16 on a GPU and float32 on the CPU, whatever is stored.
        device: None takes `pick_device`.
        low_memory: networks take memory only while they compute: on the CPU each layer's weights are read from disk when it is its turn, on
            a GPU one network at a time is there and the others are in main memory.
        on_progress: called while something is fetched or converted: with its name, what is done, and how much there is.

    Raises:
        BunrakuError: unknown model, dtype or device; components missing, damaged, of a foreign class, or whose keys do not fit.
    """
    device = usable_device(device)
    if dtype == "auto":
        dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
    elif isinstance(dtype, str):
        if dtype not in DTYPES:
            raise BunrakuError(f"Unknown dtype {dtype!r}; expected auto, {', '.join(DTYPES)}.")
        dtype = DTYPES[dtype]
    folder = find_pipeline(model, on_progress)
    index = read_json(folder / "model_index.json")
    if index.get("_class_name") != AnimationPipeline.__name__:
        raise BunrakuError(f"{folder} holds a {index.get('_class_name')}, expected an {AnimationPipeline.__name__}.")
    entries = {name: value for name, value in index.items() if not name.startswith("_")}
    if unknown := sorted(entries.keys() - {"vae", "scheduler", *PARTS, *CONFIGURATION}):
        raise BunrakuError(
            f"{folder} has {', '.join(unknown)}, which this version of bunraku does not know; update bunraku."
        )
    if missing := [name for name in ("vae", "scheduler", "denoiser") if name not in entries]:
        raise BunrakuError(f"{folder}/model_index.json names no {', '.join(missing)}.")
    classes = {name: find_class(name, entries[name]) for name in entries if name not in CONFIGURATION}
    on_cpu = torch.device(device).type == "cpu"
    components = {
        name: load_component(cls, folder / name, name, dtype, on_disk=low_memory and on_cpu)
        for name, cls in classes.items()
    }
    try:
        pipeline: Any = AnimationPipeline(**entries | components)
    except BunrakuError:
        raise
    except Exception as error:
        raise BunrakuError(f"{folder / 'model_index.json'} does not describe a model ({described(error)}).") from error
    if not low_memory:
        return pipeline.to(device)
    if not on_cpu:
        pipeline.enable_model_cpu_offload(device=device)
    return pipeline


def find_pipeline(model: str | Path, on_progress: Progress | None = None) -> Path:
    """Folder of a named model (fetched, and converted where it is somebody's checkpoint), of a folder itself, or of a Hub
    repository, which is fetched (safetensors and JSON only).

    Raises:
        BunrakuError: none of these, or the Hub cannot be reached.
    """
    if model in [m.name for m in MODELS]:
        known = get(str(model))
        if known.kind == "checkpoint":
            from bunraku.weights.conversion import prepare

            return prepare(known.name, on_progress)
        if known.kind != "pipeline":
            raise BunrakuError(f"{model} is no animation model: {known.description}.")
        return pull(known.name, progress=on_progress)
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
    """Class of component `name` for its `entry` in model_index.json, [library, class]; only classes from `PARTS`.

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
        known_classes = AUTOENCODERS if name == "vae" else PARTS[name]
        module = known_classes.get(str(class_name))
        if module is not None and module.split(".")[0] == package:
            return getattr(import_module(module), str(class_name))
        expected = " or ".join(f"{known} of {module.split('.')[0]}" for known, module in known_classes.items())
    raise BunrakuError(f"model_index.json names {class_name} of {library} as {name}; expected {expected}.")


def load_component(cls: Any, folder: Path, name: str, dtype: torch.dtype, on_disk: bool = False) -> Any:
    """One component of a pipeline from its folder: a scheduler, or a network in `dtype` on the CPU, ready for inference; its parameters
    stay on disk if asked for (`keep_on_disk`). A small one that is `precise` is float32 and in memory, whatever is asked for.

    Raises:
        BunrakuError: folder, configuration or weights are missing, unusable, or do not fit each other.
    """
    if not folder.is_dir():
        raise BunrakuError(f"{folder.parent} has no folder {name}; a model in diffusers' layout has one per component.")
    if name == "scheduler":
        config = read_json(file := folder / "scheduler_config.json")
        try:
            _check_config(cls, config)
            return cls.from_config(config)
        except Exception as error:  # as in `empty_component`
            raise BunrakuError(f"{file} does not describe a {cls.__name__} ({described(error)}).") from error
    if getattr(cls, "precise", False):
        dtype, on_disk = torch.float32, False
    network, state = empty_component(cls, folder)
    load_state(network, state, name=f"{name} in {folder}")
    if on_disk:
        keep_on_disk(network, OnDisk(weight_files(folder), dtype), "cpu")
    # torch's own cast: diffusers' warns about parts to keep in float32 even where there are none
    return torch.nn.Module.to(network, dtype).eval()


def empty_component(cls: Any, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """A network as its folder configures it, on the meta device, and the tensors beside the configuration.

    Raises:
        BunrakuError: configuration or weights are missing or unusable.
    """
    from accelerate import init_empty_weights
    from transformers import PreTrainedModel

    config = read_json(folder / "config.json")
    try:
        _check_config(cls.config_class if issubclass(cls, PreTrainedModel) else cls, config)
        with init_empty_weights(include_buffers=False):
            if issubclass(cls, PreTrainedModel):
                network = cls(cls.config_class.from_dict(config))
            else:
                network = cls.from_config(config)
    except Exception as error:  # a library's, of any kind, whatever a strange configuration meets first
        raise BunrakuError(f"{folder / 'config.json'} does not describe a {cls.__name__} ({error}).") from error
    return network, {key: value for path in weight_files(folder) for key, value in read_state(path).items()}


def _check_config(cls: Any, config: Mapping[str, Any]) -> None:
    """Raise ValueError where a setting whose default is a number, or several, holds text, or a number that 32 bits do not: networks and
    schedulers meet them when they compute."""
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        kinds = {type(value) for value in _leaves(parameter.default)}
        if name not in config or not kinds or not kinds <= {int, float}:
            continue
        for value in _leaves(config[name]):
            if isinstance(value, str) or (isinstance(value, int | float) and not abs(value) < 2**31):
                raise ValueError(f"{name} is {value!r}")


def _leaves(value: Any) -> Iterator[Any]:
    """Everything in a value that is no list, tuple or dictionary."""
    if isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(part)
    else:
        yield value


@cache
def shipped_refiner() -> PoseRefiner:
    """The shipped network that mends poses, on the CPU."""
    refiner: PoseRefiner = load_component(
        PoseRefiner, find_pipeline("bunraku") / "pose_refiner", "pose_refiner", torch.float32
    )
    return refiner


def mended(poses: Poses, own: PoseTrack | None, refiner: PoseRefiner | None = None) -> Poses:
    """Driving poses on characters as a PoseRefiner mends them; drawn skeletons, and poses of whom nobody knows the still's, as they are.

    Args:
        own: (1, P, K), the characters' poses in the still.
        refiner: a model's own; None: the shipped one.
    """
    known = own is not None and isinstance(poses, PoseTrack) and poses.people == own.people
    return (refiner or shipped_refiner()).refine(poses, own) if known else poses  # type: ignore[arg-type, return-value]


def usable_device(device: str | None = None) -> str:
    """`device`, or the best there is.

    Raises:
        BunrakuError: this machine or this build of torch does not have it.
    """
    device = device or pick_device()
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BunrakuError(f"Device {device!r} cannot be used here ({described(error)}).") from error
    return device
