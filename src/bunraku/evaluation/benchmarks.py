"""Benchmarks by name: where the clips of an evaluation come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bunraku.errors import BunrakuError
from bunraku.theatre.benchmark import CLIPS, SPLITS, VERSION, BenchmarkClip, benchmark_clip

SIZES = (128, 256)
"""Pixels a side that `theatre-1` is defined at."""


class Benchmark(Protocol):
    """Clips that can be opened one by one, from any thread.

    Attributes:
        name: with version, as in reports.
        names: of the clips.
        size: (height, width) of the truth.
        protocol: what must agree for scores to be comparable; JSON values.
    """

    name: str
    names: Sequence[str]
    size: tuple[int, int]
    protocol: Mapping[str, Any]

    def clip(self, index: int) -> BenchmarkClip:
        """Clip number `index`.

        Raises:
            BunrakuError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class TheatreBenchmark:
    """One split of the puppet theatre's benchmark, rendered on demand.

    Args:
        split: one of `bunraku.theatre.benchmark.SPLITS`.
        side: of the square frames, one of SIZES.
        clips: how many, from the first; None: all.
    """

    split: str
    side: int = 128
    clips: int | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise BunrakuError(f"there is no benchmark theatre/{self.split}; there are {', '.join(names())}")
        if self.side not in SIZES:
            raise BunrakuError(f"{VERSION} is defined at {' and '.join(map(str, SIZES))} pixels; got {self.side}")
        if self.clips is not None and not 1 <= self.clips <= CLIPS:
            raise BunrakuError(f"{VERSION}/{self.split} has {CLIPS} clips; got {self.clips}")

    @property
    def name(self) -> str:
        return f"{VERSION}/{self.split}"

    @property
    def names(self) -> list[str]:
        return [f"{self.split}/{index:03d}" for index in range(self.clips or CLIPS)]

    @property
    def size(self) -> tuple[int, int]:
        return self.side, self.side

    @property
    def protocol(self) -> dict[str, Any]:
        return {"source": "the clip's still; all driven frames are scored"}

    def clip(self, index: int) -> BenchmarkClip:
        return benchmark_clip(self.split, index, self.side)


def names() -> list[str]:
    """The theatre's benchmarks, as `--benchmark` takes them."""
    return [f"theatre/{split}" for split in SPLITS]
