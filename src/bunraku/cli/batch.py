"""What commands that do many pieces of work share: a line for each as it ends, a summary, and the exit code."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from bunraku.cli.terminal import err, progress, result

if TYPE_CHECKING:
    from bunraku.animate.jobs import Job
    from bunraku.work import Outcome, Runner


class Place(NamedTuple):
    """Where the pieces are done, and how many frames of a clip by one worker; None: all of them. `bunraku cluster` leaves it in the context of
    its commands."""

    run: "Runner"
    split: int | None = None


def run_jobs(jobs: "list[Job]", json_output: bool, place: Place | None) -> None:
    """Animate all of them, here if no place is given; exits with 1 where one failed."""
    from bunraku.animate.batch import animate_jobs
    from bunraku.work import run_here

    run, split = place or Place(run_here)
    with progress() as advance:
        made = animate_jobs(jobs, advance, None if json_output else _say, run, split)
    rows = [asdict(one) for one in made.done]
    failed = {str(output): reason for output, reason in made.failed.items()}
    finish({"written": rows, "skipped": made.skipped, "failed": failed}, len(jobs), json_output)


def finish(data: dict[str, Any], total: int, json_output: bool) -> None:
    """The summary of {"written": ..., "skipped": ..., "failed": {name: why}}; exits with 1 where something failed."""
    counts = {"written": len(data["written"]), "there already": len(data["skipped"]), "failed": len(data["failed"])}
    result(data, json_output, f"{total} in all: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    for name, reason in data["failed"].items():
        err.print(f"failed: {name}: {reason}", style="red", soft_wrap=True, markup=False, highlight=False)
    if data["failed"]:
        raise typer.Exit(1)


def _say(outcome: "Outcome") -> None:
    if outcome.error is None:
        made, where = outcome.result, f" on {outcome.where}" if outcome.where else ""
        typer.echo(f"{made.output}: {made.frames} frames, {outcome.seconds:.1f} s{where}")
    else:
        err.print(
            f"failed: {outcome.task.item.output}: {outcome.error}",
            style="red",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
