"""Files of tensors by name: reading them without executing anything, comparing them with a network, loading them into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.weights.download import described, is_lfs_pointer

PICKLES = (".pth", ".pt", ".ckpt", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
LISTED_KEYS = 20
FLICKER = "Without motion modules every frame is made on its own and the video flickers."


@dataclass(frozen=True)
class Comparison:
    """What of a network's state a file has: keys that are missing, unexpected, or (with both shapes) mis-shaped."""

    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.misshaped)

    def report(self) -> list[str]:
        """One line for each kind that is there."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "mis-shaped": self.misshaped}
        return [f"  {len(keys)} {kind}: {_shorten(keys)}" for kind, keys in kinds.items() if keys]


def compare(
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    allowed_missing: Sequence[str] = (),
    allowed_unexpected: Sequence[str] = (),
) -> Comparison:
    """Compare keys and shapes; keys that match a pattern (as of a shell, `*.motion_modules.*`) may be absent, or are there
    for someone else. Neither side's values are looked at."""
    return Comparison(
        [key for key in expected if key not in tensors and not _matches(key, allowed_missing)],
        [key for key in tensors if key not in expected and not _matches(key, allowed_unexpected)],
        [
            f"{key} is {tuple(tensors[key].shape)}, expected {tuple(value.shape)}"
            for key, value in expected.items()
            if key in tensors and tensors[key].shape != value.shape
        ],
    )


def check(comparison: Comparison, name: str, source: str = "") -> None:
    """Raise BunrakuError unless everything fits `name`; says what of a `source` does not, and that nothing was loaded."""
    if comparison.fits:
        return
    hint = f"\n{FLICKER}" if any(".motion_modules." in key for key in comparison.missing) else ""
    place = f" in {source}" if source else ""
    lines = [f"The weights{place} do not fit the {name}, nothing was loaded:", *comparison.report()]
    raise BunrakuError("\n".join(lines) + hint)


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
        allowed_missing, allowed_unexpected: see `compare`.
        name: what messages call the module.

    Raises:
        BunrakuError: lists every other key that is missing, unexpected or has another shape.
    """
    tensors = read_state(state) if isinstance(state, str | Path) else state
    expected = module.state_dict()
    source = str(state) if isinstance(state, str | Path) else ""
    check(compare(expected, tensors, allowed_missing, allowed_unexpected), name, source)
    shared = {key: tensors[key] for key in expected if key in tensors}
    module.load_state_dict(shared, strict=False, assign=any(p.is_meta for p in module.parameters()))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a safetensors file, or from a pickle (.pth, .pt, .ckpt, .bin) that holds only data.

    Values are mapped from the file where the format allows it: they take memory when they are used. Where a checkpoint of a
    trainer wraps the weights as `state_dict`, that is unwrapped, and what is beside it (step counters, settings) is left out.

    Raises:
        BunrakuError: no such file, an unknown ending, a truncated file, a git-LFS pointer, a pickle that would run code, or
            one that holds something other than tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise BunrakuError(f"There is no weight file {path}.")
    if path.suffix not in SUFFIXES:
        raise BunrakuError(f"{path} is no weight file; expected {', '.join(SUFFIXES)}.")
    if is_lfs_pointer(path):
        raise BunrakuError(
            f"{path} is a git-LFS pointer instead of the weights; run `git lfs pull`, or download the file itself."
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except Exception as error:  # a library's, of any kind, whatever strange bytes meet first
        # torch's words for anything in a pickle that is not data, and for compiled programs
        if any(word in str(error).lower() for word in ("unsupported", "torchscript")):
            raise BunrakuError(
                f"{path} holds code, not only weights, and is not opened; ask its author for safetensors."
            ) from error
        raise BunrakuError(
            f"{path} is damaged or was not downloaded to the end; fetch it again ({described(error)})."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if isinstance(state, dict):
        state.pop("animatediff_config", None)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BunrakuError(f"{path} does not hold tensors by name.")
    return state


def weight_files(folder: Path) -> list[Path]:
    """The safetensors file of a component in diffusers' or transformers' layout, its half-precision variant, or its shards.

    Raises:
        BunrakuError: there is none.
    """
    for stem in ("diffusion_pytorch_model", "model"):
        for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
            if (single := folder / name).is_file():
                return [single]
            if (index := folder / f"{name}.index.json").is_file():
                return sorted({folder / file for file in read_json(index).get("weight_map", {}).values()})
    raise BunrakuError(f"{folder} has no weights; expected diffusion_pytorch_model.safetensors or model.safetensors.")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model in diffusers' layout.

    Raises:
        BunrakuError: no such file, no JSON, or something other than an object.
    """
    try:
        content = parsed_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BunrakuError(f"{path} cannot be read ({error}); expected a model in diffusers' layout.") from error
    if not isinstance(content, dict):
        raise BunrakuError(f"{path} holds a {type(content).__name__}; expected a model in diffusers' layout.")
    return content


def _unpickled(path: Path) -> Any:
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\x03\x04"  # torch's format since 1.6, the only one that can be mapped
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _shorten(keys: Sequence[str]) -> str:
    more = f", and {len(keys) - LISTED_KEYS} more" if len(keys) > LISTED_KEYS else ""
    return ", ".join(keys[:LISTED_KEYS]) + more
