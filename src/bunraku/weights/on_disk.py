"""Networks whose weights stay on disk: each layer's are read when it computes, and given back after it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json

HEADER = 8  # bytes that say how long the header is


class OnDisk(Mapping[str, Tensor]):
    """The tensors of safetensors files by name, read anew whenever they are asked for.

    They are copied, not mapped: what is mapped counts as this process's memory for as long as the file is.

    Args:
        files: that were checked before (`states.read_state`).
        dtype: of floating-point tensors as they are given.
    """

    def __init__(self, files: list[Path], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._at: dict[str, tuple[Path, int, int, torch.dtype, list[int]]] = {}
        for file in files:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(HEADER), "little")
                header = parsed_json(stream.read(length).decode())
            header.pop("__metadata__", None)
            for name, about in header.items():
                start, stop = about["data_offsets"]
                at = HEADER + length + start
                self._at[name] = file, at, stop - start, _DTYPES[about["dtype"]], about["shape"]

    def __getitem__(self, name: str) -> Tensor:
        file, start, size, dtype, shape = self._at[name]
        values = torch.empty(shape, dtype=dtype)
        with file.open("rb") as stream:
            stream.seek(start)
            into: Any = values.reshape(-1).view(torch.uint8).numpy()
            if stream.readinto(into) != size:
                raise BunrakuError(f"{file} has become shorter while it was used; fetch it again")
        return values.to(self.dtype) if dtype.is_floating_point else values

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def keep_on_disk(network: nn.Module, weights: Mapping[str, Tensor], device: str | torch.device) -> None:
    """Let a loaded network have its parameters only while it computes, in place; its buffers, which are small, stay.

    Args:
        weights: every parameter by name.
        device: that it computes on.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module, attach_align_device_hook

    add_hook_to_module(network, AlignDevicesHook(io_same_device=True), append=True)  # says that there are more below
    attach_align_device_hook(network, execution_device=torch.device(device), offload=True, weights_map=weights)
