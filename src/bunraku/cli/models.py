"""`bunraku models`."""

from dataclasses import asdict
from typing import Annotated

import typer

from bunraku.cli.options import JsonFlag
from bunraku.cli.terminal import progress, result

app = typer.Typer(no_args_is_help=True, help="Named weights: list, fetch, check.")


@app.command("list", epilog="Example: bunraku models list --json")
def list_models(json_output: JsonFlag = False) -> None:
    """What weights have a name."""
    from bunraku.weights import list_models as known

    rows = [
        asdict(model) | {"folder": model.folder, "bytes": model.size, "present": model.folder.is_dir()}
        for model in known()
    ]
    width = {column: max(len(row[column]) for row in rows) for column in ("name", "licence")}
    result(
        {"models": rows},
        json_output,
        *(f"{row['name']:{width['name']}} {row['bytes'] / 1e6:8.1f} MB  {'here' if row['present'] else 'not fetched':12} {row['licence']:{width['licence']}}  {row['description']}" for row in rows),
    )  # fmt: skip


@app.command(epilog="Example: bunraku models pull dwpose")
def pull(
    name: Annotated[str, typer.Argument(help="A name from `bunraku models list`.")], json_output: JsonFlag = False
) -> None:
    """Fetch weights; an interrupted download is resumed."""
    from bunraku.weights import pull as fetch

    with progress() as advance:
        folder = fetch(name, progress=advance)
    result({"folder": folder}, json_output, str(folder))


@app.command(epilog="Example: bunraku models verify mini")
def verify(
    name: Annotated[str, typer.Argument(help="A name from `bunraku models list`.")], json_output: JsonFlag = False
) -> None:
    """Check weights against their checksums."""
    from bunraku.weights import verify as check

    folder = check(name)
    result({"folder": folder}, json_output, f"{folder} is whole")
