"""Many animations: what is there is skipped, each clip is perceived once, what fails is named and the rest is done."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bunraku.animate.driving import open_driving
from bunraku.animate.jobs import Job, check_jobs, output_folders
from bunraku.animate.models import open_pipeline
from bunraku.animate.options import AnimateOptions, MotionOptions
from bunraku.animate.run import Animation, animate
from bunraku.cues.cues import Cues
from bunraku.progress import Progress, silent
from bunraku.puppet_warp import PUPPET_WARP
from bunraku.sampling.share import ALONE, Share
from bunraku.work import Outcome, Runner, Task, Work, run_here


@dataclass
class Summary:
    """What became of many animations.

    Attributes:
        done: what was made, in the order in which it ended.
        skipped: outputs that were there already.
        failed: output -> why it is not there.
    """

    done: list[Animation] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def animate_jobs(
    jobs: Sequence[Job],
    on_progress: Progress | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    run: Runner = run_here,
    split: int | None = None,
) -> Summary:
    """Do all jobs whose outputs are not there yet; `overwrite` in a job's options does it again.

    All inputs and outputs are checked first. Jobs of one model, and among them those of one clip, are done in a row. Ctrl-C leaves what is
    finished; the same call goes on from there.

    Args:
        on_outcome: called when a job has ended.
        run: who does them.
        split: of a diffusion model: longer clips are made by several workers, one per so many frames, where `run` has several.

    Raises:
        BunrakuError: jobs that cannot be done, all of them by name; nothing was begun.
    """
    report = on_progress or silent
    summary, left = Summary(), []
    for job in jobs:
        if job.finished and not job.options.overwrite:
            summary.skipped.append(job.output)
        else:
            left.append(job.absolute)
    with output_folders(left):
        frames = check_jobs(left, report, run)
    tasks = [Task(job.name, job, job.clip, _workers(job, frames[job.name], split)) for job in in_a_row(left)]
    for outcome in run(AnimateWork(), tasks, report):
        if outcome.error is None:
            summary.done.append(outcome.result)
        else:
            summary.failed[outcome.task.item.output] = outcome.error
        if on_outcome:
            on_outcome(outcome)
    return summary


def _workers(job: Job, frames: int, split: int | None) -> int:
    """How many workers make it; the puppet warp is one process's work."""
    return 1 if split is None or job.options.model == PUPPET_WARP else math.ceil(frames / split)


def in_a_row(jobs: Sequence[Job]) -> list[Job]:
    """The jobs in their order, but with those of one model together, and of these those of one clip."""
    models: dict[Any, int] = {}
    clips: dict[Any, int] = {}
    return sorted(
        jobs,
        key=lambda job: (
            models.setdefault(_model(job.options), len(models)),
            clips.setdefault(job.clip, len(clips)),
        ),
    )


class AnimateWork(Work):
    """Animations by one process, which keeps its model open as long as the jobs ask for the same."""

    def __init__(self) -> None:
        self._opened: tuple[Any, Any] = (None, None)

    def prepare(self, needs: tuple[Path, MotionOptions], report: Progress) -> Cues | None:
        """The cues of everybody in footage; None for other motion, which is only read."""
        clip = open_driving(*needs)
        if clip.kind != "rgb":
            return None
        return clip.cues(needs[1], on_frame=lambda done, total: report("perceive", done, total))

    def do(self, item: Job, prepared: Cues | None, report: Progress, share: Share = ALONE) -> Animation:
        options = item.options
        clip = replace(open_driving(item.driving, options), perceived=prepared)
        return animate(
            item.reference, clip, item.output, options, report, pipeline=self._pipeline(options, report), share=share
        )

    def _pipeline(self, options: AnimateOptions, report: Progress) -> Any:
        """The pipeline of the options, opened when they are not those of the job before; None for the puppet warp, which needs none."""
        wanted = _model(options)
        if wanted != self._opened[0]:
            self._opened = None, None  # one at a time in memory
            self._opened = wanted, None if options.model == PUPPET_WARP else open_pipeline(options, report)
        return self._opened[1]


def _model(options: AnimateOptions) -> tuple:
    """What of the options decides which pipeline is open."""
    return options.model, options.device, options.dtype, options.low_memory, options.compile, options.scheduler
