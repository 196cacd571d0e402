"""`bunraku perceive` of a folder: cues beside every clip, here or on a cluster, and shards of all for training."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import typer

from bunraku.cli.batch import Place, finish
from bunraku.cli.perceive import described, perceive_clip
from bunraku.cli.terminal import progress
from bunraku.data.shards import write_shards
from bunraku.progress import Progress
from bunraku.sampling.share import ALONE, Share
from bunraku.work import Task, Work, run_here


class Shards(NamedTuple):
    """Where clips are packed, and about how many bytes into each shard."""

    folder: Path
    size: int


class PerceiveWork(Work):
    """Cues beside clips.

    Args:
        options: how people are looked for.
        again: whether cues that are there are replaced.
        layers: what else is perceived.
    """

    def __init__(self, options: Any, again: bool, layers: Any) -> None:
        self._perceive = partial(perceive_clip, options=options, overwrite=again, layers=layers)

    def do(self, item: Path, prepared: Any, report: Progress, share: Share = ALONE) -> dict[str, Any]:
        return self._perceive(item, None, None, advance=report, picture=None)


def perceive_folder(
    clips: list[Path], work: Work, again: bool, shards: Shards | None, place: Place | None, json_output: bool
) -> None:
    """Cues beside every clip that has none; what fails is named and the rest is done. Exits with 1 where something failed."""
    run = place.run if place else run_here
    left = [clip.absolute() for clip in clips if again or not clip.with_suffix(".cues").exists()]
    skipped = [clip for clip in clips if clip.absolute() not in left]
    data: dict[str, Any] = {"written": [], "skipped": skipped, "failed": {}}
    with progress() as advance:
        for outcome in run(work, [Task(clip.name, clip) for clip in left], advance):
            if outcome.error is None:
                data["written"].append(outcome.result)
                if not json_output:
                    typer.echo(described(outcome.result))
            else:
                data["failed"][str(outcome.task.item)] = outcome.error
        if shards:
            ready = [clip for clip in clips if clip.with_suffix(".cues").exists()]
            data["shards"] = write_shards(ready, shards.folder, shards.size, run, advance)
    finish(data, len(clips), json_output)
