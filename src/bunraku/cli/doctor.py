"""`bunraku doctor`."""

import typer

from bunraku.cli.options import JsonFlag
from bunraku.cli.terminal import result

app = typer.Typer()


@app.command(epilog="Example: bunraku doctor")
def doctor(json_output: JsonFlag = False) -> None:
    """Show what works here: versions, devices, pose detectors, weights, codecs."""
    from bunraku.doctor import examine

    found = examine()
    lines = [
        f"bunraku {found['bunraku']}, Python {found['python']}, {found['platform']}",
        ", ".join(f"{name} {version or 'missing'}" for name, version in found["packages"].items()),
        f"devices: {', '.join(found['devices'])}; {found['cores']} cores, {found['threads']} threads",
    ]
    for group in ("pose_detectors", "models", "codecs"):
        lines += [f"{'ok' if row['usable'] else '--'}  {name}: {row['note']}" for name, row in found[group].items()]
    result(found, json_output, *lines)
    if not found["ready"]:
        raise typer.Exit(1)
