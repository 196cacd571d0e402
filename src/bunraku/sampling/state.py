"""Where a run of the denoising loop stands, kept in a file: a run that was stopped goes on from there, bit for bit."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.media.files import replacing

SAVED_EVERY = 60.0
"""Seconds from one writing of a state to the next; steps that take longer are all kept."""

LOOKED_AT = 16
"""Numbers of each parameter that tell one network from another."""


@dataclass(frozen=True)
class Stand:
    """Where the loop stands.

    Attributes:
        clip: number of the clip that is being made, in a chain; else 0.
        step: so many steps of that clip are made.
        tensors: what the loop goes on with, by name; on the CPU.
        numbers: those of the scheduler that change while it steps.
    """

    clip: int
    step: int
    tensors: dict[str, Tensor]
    numbers: dict[str, Any] = field(default_factory=dict)


class SamplingState:
    """The state of one run in a file, which is written under a temporary name and put in place when it is complete.

    Args:
        file: where it is; if it is there, the run goes on from it.
        run: what tells this run from others, such as `fingerprint`.
        every: seconds between writings; None: SAVED_EVERY.

    Raises:
        BunrakuError: a file that is no state, or another run's.
    """

    def __init__(self, file: Path, run: str, every: float | None = None) -> None:
        self.file, self.run, self.every = file, run, SAVED_EVERY if every is None else every
        self.stand = self._read() if file.is_file() else None
        self._written = time.monotonic()

    def _read(self) -> Stand:
        try:
            with safe_open(self.file, "pt") as opened:
                metadata = opened.metadata() or {}
                if metadata.get("run") == self.run:
                    tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                    return Stand(tensors=tensors, **json.loads(metadata["stand"]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise BunrakuError(
                f"{self.file} holds no state of a run ({error}); remove it, or name another file"
            ) from error
        raise BunrakuError(
            f"{self.file} is the state of another run: other pictures, settings, weights or another kind of machine; remove it, or name another file"
        )

    def keep(self, stand: Stand, *, now: bool = False) -> None:
        """Write where the loop stands, if it is time, or `now`."""
        if not now and time.monotonic() - self._written < self.every:
            return
        about = {"clip": stand.clip, "step": stand.step, "numbers": stand.numbers}
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in stand.tensors.items()
        }
        with replacing(self.file) as temporary:
            save_file(tensors, temporary, {"run": self.run, "stand": json.dumps(about)})
        self._written = time.monotonic()


def fingerprint(parts: Iterable[Any]) -> str:
    """What tells one run from another: a digest of tensors and arrays, of some numbers of each of a network's parameters, and of the texts of all else."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, nn.Module):
            for name, parameter in part.named_parameters():
                digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
                if parameter.device.type != "meta":  # read from disk when it is its turn
                    digest.update(raw_bytes(parameter.flatten()[:LOOKED_AT]))
        elif isinstance(part, Tensor):
            digest.update(f"{part.dtype} {part.device.type} {tuple(part.shape)}".encode() + raw_bytes(part))
        elif isinstance(part, np.ndarray):
            digest.update(f"{part.dtype} {part.shape}".encode() + part.tobytes())
        elif isinstance(part, Mapping):
            for name in sorted(part, key=str):
                digest.update(f"{name}: {fingerprint([part[name]])}".encode())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()


def scheduler_state(scheduler: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What of a scheduler changes while it steps: tensors by name, and numbers; of lists, such as solvers of several steps keep, each item."""
    tensors, numbers = dict[str, Tensor](), dict[str, Any]()
    for name, value in vars(scheduler).items():
        items = value if isinstance(value, list) else [value]
        if not all(item is None or isinstance(item, Tensor | bool | int | float) for item in items):
            continue
        tensors |= {f"{name}.{i}": item for i, item in enumerate(items) if isinstance(item, Tensor)}
        plain = [None if isinstance(item, Tensor) else item for item in items]
        numbers[name] = plain if isinstance(value, list) else plain[0]
    return tensors, numbers


def restore_scheduler(
    scheduler: Any, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], device: torch.device
) -> None:
    """Bring a scheduler to where another stood, after it was prepared for as many steps."""
    own = scheduler_state(scheduler)[0]

    def placed(name: str, otherwise: Any) -> Any:
        return tensors[name].to(own[name].device if name in own else device) if name in tensors else otherwise

    for name, value in numbers.items():
        if isinstance(value, list):
            setattr(scheduler, name, [placed(f"{name}.{i}", item) for i, item in enumerate(value)])
        else:
            setattr(scheduler, name, placed(f"{name}.0", value))


def raw_bytes(tensor: Tensor) -> bytes:
    """A tensor's numbers as they lie in memory, of any dtype and shape."""
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
