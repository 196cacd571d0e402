"""`bunraku bench`."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bunraku.cli.options import SAMPLING, Device, JsonFlag
from bunraku.cli.terminal import parsed_settings, progress, result

app = typer.Typer()


@app.command(
    epilog="Example: bunraku bench tcan -o runs/tcan --clips 16, or bunraku bench tcan --plan to see what it would do"
)
def bench(
    experiment: Annotated[
        str,
        typer.Argument(
            help="tcan, multi-character or animate-anyone-2: the ablations and other claims of these papers."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder; what is there and was made with the same settings is not done again (default: runs/bench-NAME)",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="Evaluate the first clips of each split only (default: all)", show_default=False)
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="Processes of each training; the batch grows with them (default: one per GPU, without GPUs 2)",
            min=1,
            show_default=False,
        ),
    ] = None,
    pose: Annotated[
        Literal["auto", "mediapipe", "dwpose", "none"],
        typer.Option(help="Detector that finds the poses of generated frames again; none: no pose errors."),
    ] = "auto",
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the training commands and what is compared, and stop.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            rich_help_panel=SAMPLING,
            help="Of every training, such as steps=10 to try it out (in a folder of its own).",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A system to be trained and scored now, and what it starts from; may be repeated (default: all).",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            help="Train so many steps at most, over all trainings, then score what is finished; the same command goes on.",
            min=1,
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace scores of other settings, such as of fewer clips; trainings stay."),
    ] = False,
    device: Device = None,
    json_output: JsonFlag = False,
) -> None:
    """Test a paper's claims: train its variants on the theatre, score them on exact truth, compare with intervals.

    Takes hours on a CPU, and continues where it stopped, system by system; a folder with models or scores of other settings is refused.
    Writes a report per benchmark and findings.md.
    """
    from bunraku.bench import get_experiment
    from bunraku.bench.findings import tables
    from bunraku.bench.run import commands, default_processes, run
    from bunraku.training.config import TrainingConfig

    chosen = get_experiment(experiment)
    folder = output or Path("runs") / f"bench-{experiment}"
    given: dict[str, Any] = parsed_settings(settings or [], TrainingConfig)
    if plan:
        trainings = {
            name: shlex.join(command)
            for name, command in commands(chosen, folder, processes or default_processes(), given).items()
        }
        claims = [f"theatre/{c.benchmark}, {c.first} to {c.second}: {c.text}" for c in chosen.claims]
        return result({"trainings": trainings, "claims": claims}, json_output, *trainings.values(), "", *claims)

    with progress() as advance:
        found = run(
            chosen, folder, clips=clips, processes=processes, detector=None if pose == "none" else pose, device=device,
            settings=given, only=only or (), budget=budget, overwrite=overwrite, on_progress=advance,
        )  # fmt: skip
    if not json_output:
        from rich.console import Console

        Console().print(tables(found))
    result({"findings": [finding.to_json() for finding in found]}, json_output, str(folder / "findings.md"))
