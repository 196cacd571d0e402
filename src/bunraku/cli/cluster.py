"""`bunraku cluster`: the commands that do many pieces of work, on the machines of a Ray cluster."""

from typing import Annotated

import typer

from bunraku.cli import animate, evaluate, perceive
from bunraku.cli.batch import Place
from bunraku.errors import BunrakuError

app = typer.Typer(
    no_args_is_help=True,
    help="Do `animate`, `perceive` or `evaluate` on many machines (or with several processes on this one), over Ray.",
    epilog="Example: bunraku cluster --local animate --jobs jobs.csv, or on the head of a Ray cluster: bunraku cluster perceive clips/",
)
for module in (animate, perceive, evaluate):
    app.add_typer(module.app)


@app.callback()
def cluster(
    context: typer.Context,
    local: Annotated[
        bool, typer.Option("--local", help="Start the workers on this machine, and end them with the run.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster (default: the one that this machine belongs to)", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="How many (default: one per accelerator; where there is none, one per --cpus)", show_default=False
        ),
    ] = None,
    cpus: Annotated[int, typer.Option(help="CPU cores for each worker.")] = 1,
    gpu: Annotated[
        bool | None,
        typer.Option(
            "--gpu/--no-gpu",
            help="Whether each worker takes an accelerator (default: if there are any)",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            help="Of `animate`: longer clips are made by several workers, one per so many frames, with the same result.",
            show_default=False,
        ),
    ] = None,
    tries: Annotated[int, typer.Option(help="How often a clip is begun that is lost with its worker.")] = 3,
) -> None:
    from bunraku.cluster import ClusterOptions, cluster_runner

    if local and address:
        raise BunrakuError(
            "--local starts workers on this machine, and --address is of those on others; give one of them"
        )
    options = ClusterOptions(None if local else address or "auto", workers, cpus, gpu, tries)
    context.obj = Place(cluster_runner(options), split)
