"""What frozen networks made of pictures, kept on disk: a picture goes through the autoencoder or the image encoder once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bunraku.media.files import replacing
from bunraku.sampling.state import raw_bytes


@dataclass(frozen=True)
class Remembered:
    """One frozen network's results in a folder, found again by the pictures' own pixels. Several processes may fill it.

    Args:
        folder: where they are kept, float32, one file for each picture.
        network: whose weights, with `context`, tell its results from another network's.
        context: what else the results depend on, such as the precision.
    """

    folder: Path
    network: nn.Module
    context: str = ""
    _key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weights = hashlib.blake2b(self.context.encode(), digest_size=32)
        for name, tensor in self.network.state_dict().items():
            weights.update(name.encode())
            weights.update(raw_bytes(tensor))
        object.__setattr__(self, "_key", weights.digest())

    def __call__(self, pictures: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """`compute(pictures)`, of those alone that are not known yet.

        Args:
            pictures: uint8 (N, H, W, C).
            compute: of n pictures the network's results (n, ...), each picture's by itself.

        Returns:
            float32 (N, ...), where `pictures` are.
        """
        files = [self._file(picture) for picture in pictures.cpu().contiguous().numpy()]
        known = {file: result for file in files if (result := _read(file)) is not None}
        new = {file: index for index, file in enumerate(files) if file not in known}
        if new:
            made = compute(pictures[list(new.values())]).float()
            for file, result in zip(new, made.cpu().numpy()):
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as temporary, temporary.open("wb") as opened:
                    np.save(opened, result)
                known[file] = result
        return torch.from_numpy(np.stack([known[file] for file in files])).to(pictures.device)

    def _file(self, picture: np.ndarray) -> Path:
        name = hashlib.blake2b(repr(picture.shape).encode(), digest_size=20, key=self._key)
        name.update(picture.data)
        return self.folder / name.hexdigest()[:2] / f"{name.hexdigest()[2:]}.npy"


def _read(file: Path) -> np.ndarray | None:
    """What a file keeps; None where there is none, or a damaged one."""
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None
