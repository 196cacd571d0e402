"""`bunraku serve`."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from bunraku.errors import BunrakuError

app = typer.Typer()
logger = logging.getLogger("bunraku")

WHO, MUCH = "Who may come", "How much is granted"


@app.command(epilog="Example: bunraku serve --work /srv/bunraku --port 8000, then http://127.0.0.1:8000/docs")
def serve(
    *,
    work: Annotated[
        Path, typer.Option(help="Folder of the server's own: uploads, jobs, results, and who may come.")
    ] = Path("bunraku-serve"),
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in: put TLS before it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    tokens: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=WHO,
            help="File of lines NAME TOKEN (default: WORK/tokens, made with one token for `me`)",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="What may be asked for; repeatable (default: all models that are here)", show_default=False),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a worker; repeatable: one worker each (default: one, on the best there is)", show_default=False
        ),
    ] = None,
    keep_hours: Annotated[
        float, typer.Option(min=0.001, rich_help_panel=MUCH, help="After which uploads and ended jobs are deleted.")
    ] = 24,
    megabytes: Annotated[int, typer.Option(min=1, rich_help_panel=MUCH, help="Of an upload.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, rich_help_panel=MUCH, help="Of a motion.")] = 120,
    frames: Annotated[int, typer.Option(min=1, rich_help_panel=MUCH, help="Of a motion, and of a result.")] = 3600,
    side: Annotated[
        int, typer.Option(min=64, max=4096, rich_help_panel=MUCH, help="Longest side of a result, px.")
    ] = 2048,
    minutes: Annotated[float, typer.Option(min=0.01, rich_help_panel=MUCH, help="That a job may compute.")] = 30,
    memory: Annotated[float, typer.Option(min=0.5, rich_help_panel=MUCH, help="GB that a job may occupy.")] = 16,
    queue: Annotated[int, typer.Option(min=1, rich_help_panel=MUCH, help="Jobs that may wait.")] = 100,
    queue_each: Annotated[
        int, typer.Option(min=1, rich_help_panel=MUCH, help="Jobs of one person that may wait.")
    ] = 20,
    storage_each: Annotated[
        float, typer.Option(min=0.01, rich_help_panel=MUCH, help="GB of uploads of one person.")
    ] = 2,
) -> None:
    """Serve animations over HTTP: upload, job, progress, result, cancel; see /docs of the running server.

    Jobs outlive the server: those that wait go on when it starts again, and one that was running begins anew.
    """
    try:
        import uvicorn

        from bunraku.apps.serve.app import create_app
    except ModuleNotFoundError as error:
        raise BunrakuError(f"{error.name} is not installed; pip install '.[serve]' brings it") from None
    from bunraku.apps.serve.settings import Settings, read_tokens
    from bunraku.apps.uploads import Limits

    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    token_file = tokens or work / "tokens"
    settings = Settings(
        work=work.resolve(), owners=read_tokens(token_file), models=_models(model), devices=tuple(device or [None]), side=side,
        limits=Limits(bytes=megabytes * 2**20, frames=frames, seconds=seconds), queue=queue, queue_each=queue_each,
        storage_each=round(storage_each * 2**30), minutes=minutes, memory=round(memory * 2**30), keep_hours=keep_hours,
    )  # fmt: skip
    application = create_app(settings)
    logger.info("http://%s:%d/docs; tokens are in %s", host, port, token_file)
    uvicorn.run(
        application, host=host, port=port, log_level="warning", server_header=False, limit_concurrency=500, timeout_graceful_shutdown=3,
    )  # fmt: skip


def _models(asked: list[str] | None) -> tuple[str, ...]:
    from bunraku.animate.models import check_model
    from bunraku.puppet_warp import PUPPET_WARP
    from bunraku.weights import list_models

    for name in asked or []:
        check_model(name)
    kinds = ("pipeline", "checkpoint")
    return tuple(asked or [PUPPET_WARP, *(m.name for m in list_models() if m.kind in kinds and m.present)])
