"""`bunraku perceive` of a folder: cues beside every clip, here or on a cluster, and shards of all for training."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import typer

from bunraku.cli.batch import Place, finish
from bunraku.cli.cues import described, perceive_clip
from bunraku.cli.terminal import progress
from bunraku.cues.cues import Cues, maps_in
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
        self._perceive = partial(perceive_clip, options=options, layers=layers)
        self._again, self._layers = again, layers

    def done(self, clip: Path) -> bool:
        """Whether cues are there with all that is asked for."""
        cues = clip.with_suffix(".cues")
        return not self._again and cues.exists() and (not self._layers or self._layers.maps <= maps_in(cues))

    def do(self, item: Path, prepared: Any, report: Progress, share: Share = ALONE) -> dict[str, Any]:
        cues = item.with_suffix(".cues")
        known = Cues.load(cues) if cues.exists() and not self._again else None
        overwrite = self._again or known is not None
        return self._perceive(item, None, None, overwrite=overwrite, advance=report, picture=None, known=known)


def perceive_folder(
    clips: list[Path], work: PerceiveWork, shards: Shards | None, place: Place | None, json_output: bool
) -> None:
    """Cues beside every clip that has none, or lacks some layer; what fails is named and the rest is done. Exits with 1 where something failed."""
    run = place.run if place else run_here
    left = [clip.absolute() for clip in clips if not work.done(clip)]
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
