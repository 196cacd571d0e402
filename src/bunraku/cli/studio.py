"""`bunraku studio`."""

from typing import Annotated

import typer

from bunraku.cli.options import complete_model
from bunraku.cli.terminal import err
from bunraku.errors import BunrakuError

app = typer.Typer()

FIRST_PORT = 7860


@app.command(epilog="Example: bunraku studio, or for everybody in the house: bunraku studio --host 0.0.0.0 --no-open")
def studio(
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port (default: the first free one from 7860)", show_default=False),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    public: Annotated[
        bool,
        typer.Option(
            "--share",
            help="Also let anybody in who has a secret link, through Gradio's servers; needs a network. Off unless given.",
        ),
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            autocompletion=complete_model, help="What animates unless somebody chooses otherwise on the page."
        ),
    ] = "puppet-warp",
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Videos that are made at the same time.")] = 1,
    keep_hours: Annotated[
        float,
        typer.Option(min=0.01, max=10_000, help="Hours after a visitor's last click at which their files are deleted."),
    ] = 2,
    max_mb: Annotated[int, typer.Option(min=1, max=100_000, help="Largest file that is taken, in MB.")] = 200,
    max_seconds: Annotated[float, typer.Option(min=1, max=100_000, help="Longest clip that is taken.")] = 120,
) -> None:
    """Open the studio, a page on this machine: drop a picture and a clip, see what was found, pair, mend, animate.

    Nothing is fetched from a network, and nobody else gets in unless --host or --share says so. Everybody who visits has files of their own,
    which are deleted after --keep-hours, or when the studio is closed with Ctrl-C.
    """
    import logging
    import os
    import webbrowser
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise BunrakuError("the studio needs Gradio: pip install '.[studio]' in bunraku's folder")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from bunraku.animate.models import check_model
    from bunraku.apps.studio.server import free_port, serve, share
    from bunraku.apps.studio.session import Rules
    from bunraku.apps.uploads import Limits

    check_model(model)
    chosen = free_port(host, port or FIRST_PORT, 1 if port else 100)
    logging.getLogger("bunraku").handlers = [
        logging.NullHandler()
    ]  # what is said of a visitor's files is said on their page

    link = share(host, chosen) if public else None

    def ready(url: str) -> None:
        err.print(
            f"the studio is open at {url} (Ctrl-C closes it and deletes all files)", highlight=False, soft_wrap=True
        )
        if link:
            err.print(f"and for everybody who has this link: {link}", highlight=False, soft_wrap=True)
        if open_page:
            webbrowser.open(url)

    limits = Limits(bytes=max_mb * 2**20, seconds=max_seconds)
    serve(host, chosen, Rules(limits, keep=keep_hours * 3600, model=model), at_once, ready)
