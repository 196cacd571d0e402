"""Samples kept on disk: what took seconds to draw is read in milliseconds when it is trained on again."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from bunraku.data.samples import Sample
from bunraku.errors import BunrakuError
from bunraku.media.files import replacing

AHEAD = 512
"""So many samples are drawn before any comes again, and none comes again before half as many others: it may still be being drawn."""

PICTURES = ("reference", "views", "cutout", "environment", "object")
"""Conditions that show colours; a fourth channel is coverage."""


@dataclass(frozen=True)
class KeptSamples(Dataset):
    """The first `count` samples of another data set, each drawn once and then kept in a folder.

    With `repeats` 1 they come one after the other, and after the last comes the first again. With more, every so many-th is a new one until
    there are `count`, and the others are any of those before: drawing goes on all the time beside learning.

    Args:
        samples: where they come from; a function of the index alone, and described by its `repr`.
        folder: where they are kept. Several processes may fill it.
        count: how many.
        repeats: how often a sample comes, on average, while new ones are drawn.
        kinds: sample i is of kind i % kinds, and another of the same kind is given for it.
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
    repeats: int = 1
    kinds: int = 1

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
        sample = self.kept(self.number(index))
        if not self.permute_colours:
            return sample
        return permuted(sample, np.random.default_rng([self.seed, index]).permutation(3))

    def number(self, index: int) -> int:
        """Which of the kept samples is sample `index`."""
        place, kind = divmod(index, self.kinds)
        most, first = max(1, self.count // self.kinds), AHEAD // self.kinds
        if self.repeats > 1 and place >= first:
            new, left = divmod(place - first, self.repeats)
            place = new + first
            if left or place >= most:
                before = min(most, place - first // 2)
                place = int(np.random.default_rng([self.seed, index, before]).integers(before))
        return place % most * self.kinds + kind

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
    # numpy.savez_compressed compresses three times as long for a tenth less
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, pictures in {"frames": sample.frames, **stills, **driven}.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(pictures))


def _sample(arrays: dict[str, np.ndarray]) -> Sample[np.ndarray]:
    def of(kind: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}

    return Sample(arrays["frames"], of("still "), of("driven "))
