"""Samples kept on disk: what took seconds to draw is read in milliseconds when it is trained on again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from bunraku.data.samples import Sample
from bunraku.errors import BunrakuError
from bunraku.media.files import replacing

PICTURES = ("reference", "views", "cutout", "environment", "object")
"""Conditions that show colours; a fourth channel is coverage."""


@dataclass(frozen=True)
class KeptSamples(Dataset):
    """The first `count` samples of another data set, each drawn once and then kept in a folder; after the last comes the first again.

    Args:
        samples: where they come from; a function of the index alone, and described by its `repr`.
        folder: where they are kept. Several processes may fill it.
        count: how many.
        permute_colours: with every reading the colour channels of the whole sample are permuted anew: six times the wardrobe.
        seed: of the permutations.

    Raises:
        BunrakuError: the folder keeps samples of another data set.
    """

    samples: Any
    folder: Path
    count: int
    permute_colours: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        note, description = self.folder / "samples.txt", repr(self.samples)
        if not note.is_file():
            with replacing(note) as path:
                path.write_text(description)
        elif (before := note.read_text()) != description:
            raise BunrakuError(
                f"{self.folder} keeps samples of {before}, and these are {description}: keep them in another folder (--set keep=DIR)"
            )

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        sample = self.kept(index % self.count)
        if not self.permute_colours:
            return sample
        return permuted(sample, np.random.default_rng([self.seed, index]).permutation(3))

    def kept(self, index: int) -> Sample[np.ndarray]:
        """Sample `index` as it was drawn; drawn now if it never was."""
        file = self.folder / f"{index // 1000:04}" / f"{index}.npz"
        if file.is_file():
            with np.load(file) as arrays:
                return _sample(dict(arrays))
        sample = self.samples[index]
        file.parent.mkdir(exist_ok=True)
        with replacing(file) as path:
            _write(path, sample)
        return sample


def permuted(sample: Sample[np.ndarray], colours: np.ndarray) -> Sample[np.ndarray]:
    """A sample with the colour channels of everything that shows colours in another order (3,)."""

    def recoloured(name: str, pictures: np.ndarray) -> np.ndarray:
        order = [*colours, *range(3, pictures.shape[-1])]
        return pictures[..., order] if name in PICTURES else pictures

    return Sample(
        sample.frames[..., colours],
        {name: recoloured(name, still) for name, still in sample.stills.items()},
        {name: recoloured(name, drawn) for name, drawn in sample.driven.items()},
    )


def _write(path: Path, sample: Sample[np.ndarray]) -> None:
    stills = {f"still {name}": still for name, still in sample.stills.items()}
    driven = {f"driven {name}": drawn for name, drawn in sample.driven.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, frames=sample.frames, **stills, **driven)  # type: ignore[arg-type]


def _sample(arrays: dict[str, np.ndarray]) -> Sample[np.ndarray]:
    def of(kind: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}

    return Sample(arrays["frames"], of("still "), of("driven "))
