"""Shards: clips and their cues in a few large files instead of many small ones, in WebDataset's layout.

A shard is a tar archive of `KEY.mp4` and `KEY.cues` (KEY: the clip's number) with an index beside it, which says where everything lies; so any
clip of any shard is read with one seek, and nothing has to be unpacked or gone through. `webdataset.WebDataset` reads the archives as well.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bunraku.data.clips import Clip, ClipSamples, read_clip, split_clips
from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.media import Slice, check_output, replacing
from bunraku.progress import Progress
from bunraku.sampling.share import ALONE, Share
from bunraku.work import Runner, Task, Work, attempt

logger = logging.getLogger(__name__)

VERSION = 1
NAMES = "clips-*.json"
MIXED = 8
"""So many shards are shuffled together: samples in a row come from so many files."""


@dataclass(frozen=True)
class Plan:
    """One shard that is to be written.

    Attributes:
        index: the file that says what is in it, beside the archive of the same name.
        first: number of its first clip among all.
        videos: clips, each with its cues beside it.
        shards: how many there are in all.
    """

    index: Path
    first: int
    videos: tuple[Path, ...]
    shards: int

    @property
    def archive(self) -> Path:
        return self.index.with_suffix(".tar")

    @property
    def sources(self) -> list[list[Any]]:
        """Name, sizes and times of what goes in: equal of equal files."""
        return [
            [
                video.name,
                *(
                    n
                    for file in (video, video.with_suffix(".cues"))
                    for n in (file.stat().st_size, file.stat().st_mtime_ns)
                ),
            ]
            for video in self.videos
        ]

    @property
    def written(self) -> bool:
        """Whether it is there already, of the same files."""
        if not (self.index.is_file() and self.archive.is_file()):
            return False
        return _read(self.index)["sources"] == self.sources


def write_shards(videos: Sequence[Path], folder: Path, size: int, run: Runner, report: Progress) -> list[Path]:
    """Pack clips and their cues, in this order; shards that are there of the same files stay as they are.

    Args:
        videos: clips with NAME.cues beside NAME.mp4. Those that show nobody are left out, with a warning.
        folder: of the shards; it may be new.
        size: bytes of a shard; one that a single clip fills is larger.
        run: who writes them.

    Returns:
        The archives.

    Raises:
        BunrakuError: no clips, shards of other clips in the folder, or shards that could not be written.
    """
    if not videos:
        raise BunrakuError("there are no clips with cues to be packed (--shards)")
    if not folder.is_dir():
        check_output(folder)
        folder.mkdir()
    plans = _plans(videos, folder.absolute(), size)
    foreign = set(folder.absolute().glob(NAMES)) - {plan.index for plan in plans}
    left = [plan for plan in plans if not plan.written]
    if foreign or any(plan.index.exists() for plan in left):
        raise BunrakuError(
            f"{folder} has shards of other clips, or of another --shard-size; give a new folder (--shards)"
        )
    tasks = [Task(plan.archive.name, plan) for plan in left]
    failed = [f"{outcome.task.name}: {outcome.error}" for outcome in run(PackWork(), tasks, report) if outcome.error]
    if failed:
        raise BunrakuError(f"{len(failed)} of {len(plans)} shards could not be written: {'; '.join(failed)}")
    return [plan.archive for plan in plans]


def _plans(videos: Sequence[Path], folder: Path, size: int) -> list[Plan]:
    groups: list[list[Path]] = []
    filled = size
    for video in videos:
        bytes_of = video.stat().st_size + video.with_suffix(".cues").stat().st_size
        if filled + bytes_of > size:
            groups.append([])
            filled = 0
        groups[-1].append(video.absolute())
        filled += bytes_of
    firsts = np.cumsum([0, *map(len, groups)]).tolist()
    return [
        Plan(folder / f"clips-{number:05}.json", first, tuple(group), len(groups))
        for number, (first, group) in enumerate(zip(firsts, groups))
    ]


class PackWork(Work):
    """Writes shards, each whole or not at all."""

    def do(self, item: Plan, prepared: Any, report: Progress, share: Share = ALONE) -> int:
        try:
            from webdataset import TarWriter
        except ImportError:
            raise BunrakuError("webdataset writes shards, and is not installed: pip install 'bunraku[data]'") from None
        sources = item.sources
        clips: dict[str, Clip] = {}
        with replacing(item.archive) as temporary:
            with (
                temporary.open("wb") as file,
                TarWriter(file, user="bunraku", group="bunraku", mode=0o644, mtime=0) as tar,
            ):
                for number, video in enumerate(item.videos, item.first):
                    cues = video.with_suffix(".cues")
                    clip, fault = attempt(lambda video=video, cues=cues: read_clip(video, cues))  # type: ignore[misc]
                    if fault is not None:
                        logger.warning("left out of the shards: %s", fault)
                        continue
                    key = f"{number:09}"
                    clips[key] = clip
                    tar.write({"__key__": key, video.suffix.lower()[1:]: video.read_bytes(), "cues": cues.read_bytes()})
            entries = _entries(temporary, clips)
        text = json.dumps({"version": VERSION, "shards": item.shards, "sources": sources, "clips": entries})
        with replacing(item.index) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return len(clips)


def _entries(archive: Path, clips: dict[str, Clip]) -> list[dict[str, Any]]:
    """What the index says of every clip of an archive."""
    import tarfile

    places: dict[str, dict[str, list[int]]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            kind = "cues" if suffix == "cues" else "video"
            places.setdefault(key, {})[kind] = [member.offset_data, member.offset_data + member.size]
    return [
        {
            "name": clip.video.name,
            **places[key],
            "seen": _runs(clip.seen),
            "maps": sorted(clip.maps),
            "matted": _runs(clip.matted),
            "box": [float(side) for side in clip.box],
        }
        for key, clip in clips.items()
    ]


def _runs(numbers: np.ndarray) -> list[list[int]]:
    """Ascending numbers as runs [first, stop)."""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    return [[int(run[0]), int(run[-1]) + 1] for run in np.split(numbers, breaks) if len(run)]


def is_sharded(folder: Path) -> bool:
    """Whether a folder holds shards."""
    return next(folder.glob(NAMES), None) is not None


def read_shards(folder: Path) -> list[list[Clip]]:
    """The clips of every shard; only indices are read.

    Raises:
        BunrakuError: a shard is missing, or an index cannot be read.
    """
    shards = []
    indices = sorted(folder.glob(NAMES))
    for index in indices:
        content = _read(index)
        archive = index.with_suffix(".tar")
        if content["shards"] != len(indices) or not archive.is_file():
            raise BunrakuError(f"{folder} has not all of its {content['shards']} shards; copy it again (--data)")
        shards.append([_clip(archive, entry) for entry in content["clips"]])
    return shards


def _read(index: Path) -> dict[str, Any]:
    try:
        content = parsed_json(index.read_text(encoding="utf-8"))
        version = content["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BunrakuError(f"{index} is not the index of a shard, or is damaged ({error})") from error
    if version > VERSION:
        raise BunrakuError(f"{index} was written by a newer version of this program; update it")
    return content


def _clip(archive: Path, entry: dict[str, Any]) -> Clip:
    video, cues = (
        Slice(archive, entry[kind][0], entry[kind][1], name)
        for kind, name in (("video", entry["name"]), ("cues", f"{Path(entry['name']).stem}.cues"))
    )
    seen, matted = (
        np.concatenate([np.arange(0), *(np.arange(*run) for run in entry[name])]) for name in ("seen", "matted")
    )
    return Clip(video, cues, seen, frozenset(entry["maps"]), matted, tuple(entry["box"]))


class ClipShards(ClipSamples):
    """Samples of the clips in shards: every clip once, then every clip again in another order, and so on.

    The order follows from the seed and the number of the sample alone, so a run that is resumed goes on with the samples that it would have
    had. Of each round the shards come in a random order, and `MIXED` of them at a time are shuffled.

    Args:
        folder: of the shards.
        split: see `split_clips`.
        others: as of `ClipSamples`.

    Raises:
        BunrakuError: see `read_shards` and `ClipSamples`.
    """

    def __init__(
        self, folder: Path, seed: int, *others: Any, split: Literal["train", "val"] = "train", **named: Any
    ) -> None:
        shards = read_shards(folder)
        numbered = [(shard, clip) for shard, clips in enumerate(shards) for clip in clips]
        chosen = split_clips(numbered, split)
        super().__init__([clip for _, clip in chosen], seed, *others, **named)
        counts = np.bincount([shard for shard, _ in chosen], minlength=len(shards))
        ends = np.cumsum(counts).tolist()
        self._shards = [range(end - count, end) for end, count in zip(ends, counts.tolist()) if count]

    def clip(self, index: int, rng: np.random.Generator) -> Clip:
        return self.clips[self.number(index)]

    def number(self, index: int) -> int:
        """Which of the clips sample `index` is of."""
        turn, place = divmod(index, len(self.clips))
        groups, ends = _groups(self.seed, turn, tuple(self._shards))
        group = int(np.searchsorted(ends, place, side="right")) - 1
        return int(_mixed(self.seed, turn, group, groups[group])[place - ends[group]])


@lru_cache(2)
def _groups(seed: int, turn: int, shards: tuple[range, ...]) -> tuple[list[tuple[range, ...]], list[int]]:
    """The shards of a round in their order, `MIXED` together, and the number of clips before each such group."""
    order = np.random.default_rng([seed, turn]).permutation(len(shards)).tolist()
    starts = [*range(0, len(shards), MIXED), len(shards)]
    groups = [tuple(shards[i] for i in order[first:stop]) for first, stop in pairwise(starts)]
    return groups, np.cumsum([0, *(sum(map(len, group)) for group in groups)]).tolist()[:-1]


@lru_cache(4)
def _mixed(seed: int, turn: int, group: int, shards: tuple[range, ...]) -> np.ndarray:
    """The clips of some shards, shuffled."""
    return np.random.default_rng([seed, turn, group]).permutation(np.concatenate(shards))
