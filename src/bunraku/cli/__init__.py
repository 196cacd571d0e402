"""The command line: reads the arguments, calls the library, shows progress, prints what came out.

Exit codes: 0 done, 1 `doctor` or `models info` found something missing, or one of many clips failed, 2 the user's input
cannot be used (one line on stderr says why), 130 Ctrl-C. With --json, stdout has one JSON document and nothing else; everything else always goes to stderr.
"""

import logging
import os
import sys
from typing import Annotated

import typer

from bunraku import __version__
from bunraku.cli import (
    animate,
    bench,
    cluster,
    doctor,
    evaluate,
    models,
    perceive,
    retarget,
    serve,
    studio,
    theatre,
    train,
)
from bunraku.cli.terminal import Log, err
from bunraku.errors import BunrakuError

INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Bring a still character to life with the motion of a video.",
    epilog="Example: bunraku animate character.png dance.mp4 -o out.mp4",
)
for module in (animate, perceive, retarget, theatre, train, evaluate, bench, studio, serve, doctor):
    app.add_typer(module.app)
app.add_typer(models.app, name="models")
app.add_typer(cluster.app, name="cluster")


def main() -> None:
    """Run the command line; see the module for exit codes."""
    try:
        app(prog_name="bunraku")
    except BunrakuError as error:
        err.print(f"error: {error}", style="red", soft_wrap=True, markup=False, highlight=False)
        sys.exit(2)
    except OSError as error:  # what the system says of a path that no command looked at first
        if error.filename is None or logging.getLogger("bunraku").isEnabledFor(logging.DEBUG):
            raise
        err.print(
            f"error: {error.filename}: {error.strerror}", style="red", soft_wrap=True, markup=False, highlight=False
        )
        sys.exit(2)
    except SystemExit as exit:
        if exit.code == INTERRUPTED:  # typer turns Ctrl-C into it
            err.print("stopped by Ctrl-C; what was not finished is not written", style="yellow")
        raise


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def configure(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Warnings and errors only: no progress, no remarks.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Details as well.")] = False,
) -> None:
    # of the libraries; they read it when they are imported, which is later
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if quiet:
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logger = logging.getLogger("bunraku")
    logger.handlers = [Log()]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
