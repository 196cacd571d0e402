"""`bunraku models`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bunraku.cli.options import JsonFlag
from bunraku.cli.terminal import progress, result
from bunraku.errors import BunrakuError

app = typer.Typer(no_args_is_help=True, help="Weights: list, fetch, check, convert, look at.")

Name = Annotated[str, typer.Argument(help="A name from `bunraku models list`.")]
Source = Annotated[str, typer.Argument(help="A file or folder of weights, or a name from `bunraku models list`.")]
Extra = Annotated[
    list[str] | None,
    typer.Option(
        "--with", metavar="PATH", help="Where else to look for what is missing, or a name; may be repeated.", show_default=False
    ),
]  # fmt: skip


@app.command("list", epilog="Example: bunraku models list --json")
def list_models(json_output: JsonFlag = False) -> None:
    """What weights have a name, and which of them are here."""
    from bunraku.weights import list_models as known

    rows = [
        asdict(model) | {"folder": model.folder, "bytes": model.size, "present": model.present, "converted": _converted(model)}
        for model in known()
    ]  # fmt: skip
    for row in rows:
        row["state"] = "converted" if row["converted"] else "here" if row["present"] else "not fetched"
        row["from"] = (
            "the package" if row["repo"] is None and not row["files"] else row["source"].removeprefix("https://")
        )
    width = {column: max(len(row[column]) for row in rows) for column in ("name", "state", "licence", "description")}
    result(
        {"models": rows},
        json_output,
        *(f"{row['name']:{width['name']}} {row['bytes'] / 1e6:8,.0f} MB  {row['state']:{width['state']}} {row['licence']:{width['licence']}}  {row['description']:{width['description']}}  {row['from']}" for row in rows),
    )  # fmt: skip


@app.command(epilog="Example: bunraku models pull dwpose")
def pull(name: Name, json_output: JsonFlag = False) -> None:
    """Fetch weights and what they need; an interrupted download is resumed."""
    from bunraku.weights import pull as fetch
    from bunraku.weights.registry import get

    with progress() as advance:
        folder = fetch(name, progress=advance)
    model = get(name)
    used = f"; `bunraku animate --model {name}` converts it when it is first used" if model.kind == "checkpoint" else ""
    result({"folder": folder, "licence": model.licence, "source": model.source}, json_output, f"{folder}{used}")


@app.command(epilog="Example: bunraku models verify mini")
def verify(name: Name, json_output: JsonFlag = False) -> None:
    """Check weights against their checksums."""
    from bunraku.weights import verify as check

    folder = check(name)
    result({"folder": folder}, json_output, f"{folder} is whole")


@app.command(epilog="Example: bunraku models convert pretrained_weights moore --dtype float16")
def convert(
    source: Source,
    target: Annotated[Path, typer.Argument(help="Folder to write.")],
    extra: Extra = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="From Stable Diffusion: whose training it is a start for, animate-anyone (default), multi-character, or tcan, which needs an "
            "OpenPose ControlNet",
            show_default=False,
        ),
    ] = None,
    reference_net: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="From Stable Diffusion: the UNet that ReferenceNet starts from (default: a copy of the denoiser)",
            show_default=False,
        ),
    ] = None,
    betas: Annotated[
        Literal["scaled_linear", "linear"] | None,
        typer.Option(
            help="Noise schedule (default: the one that the weights were trained with; the public Animate Anyone code "
            "samples with linear)",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32"] | None,
        typer.Option(help="What the weights are stored in (default: as they are)", show_default=False),
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Turn public weights of any known layout into one folder for `animate --model`, diffusers, and training.

    Known: Moore-AnimateAnyone, MusePose, Champ, MagicAnimate, TCAN; Stable Diffusion 1.5 (with AnimateDiff and a ControlNet where
    --with names them) as a start for training at the papers' size; and single networks.
    """
    from bunraku.weights import convert as turn
    from bunraku.weights.loading import DTYPES

    place, *more = _places(source, extra)
    with progress() as advance:
        made = turn(
            place, target, extra=more, recipe=recipe, reference_net=_place(reference_net) if reference_net else None, betas=betas,
            dtype=DTYPES[dtype] if dtype else None, on_progress=advance,
        )  # fmt: skip
    lines = [f"{name:15} {count / 1e6:9,.2f} M parameters" for name, count in made.parameters.items()]
    about = f"{made.family}, recipe {made.recipe}" if made.family else "one network"
    result(asdict(made), json_output, f"{made.folder}: {about}", *lines)


@app.command(epilog="Example: bunraku models info pretrained_weights/denoising_unet.pth")
def info(source: Source, extra: Extra = None, json_output: JsonFlag = False) -> None:
    """Say what a file or folder of weights is: layout, licence, parameters, and every key that is missing or too many."""
    from bunraku.weights import describe

    found = describe(*_places(source, extra))
    result(found, json_output, *_described(found))
    if found["model"] is not None and not found["complete"]:
        raise typer.Exit(1)


def _described(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['source']}: {found['about']}{', licence: ' + found['licence'] if found['licence'] else ''}"]
    for name, part in found["parts"].items():
        lines.append(
            f"  {name:17} {part['keys']:5} keys {part['parameters'] / 1e6:9,.2f} M {'/'.join(part['dtypes'])}  "
            f"{part['layout']}, {'fits ' if part['fits'] else 'does not fit '}{part['network']}  {part['path']}"
        )
        for kind in ("missing", "unexpected", "misshaped"):
            lines += [f"    {kind}: {key}" for key in part[kind]]
    lines += [f"  missing: {name}" for name in found["missing"]]
    lines += [f"  cannot be read: {reason}" for reason in found["unread"].values()]
    return lines + [f"  not used: {path} ({reason})" for path, reason in found["unused"].items()]


def _places(source: str, extra: list[str] | None) -> list[Path]:
    """Where the source lies, then the further places, then what a source that has a name needs."""
    from bunraku.weights.registry import get

    place = _place(source)
    named = place != Path(source) and place == get(source).folder
    needs = [part.folder for part in map(get, get(source).needs) if part.present] if named else []
    return [place, *map(_place, extra or []), *needs]


def _place(source: str) -> Path:
    """A file or folder, or where the weights of that name lie."""
    from bunraku.weights.registry import get, list_models

    if Path(source).expanduser().exists() or source not in [model.name for model in list_models()]:
        return Path(source)
    model = get(source)
    if all((model.folder / file.path).is_file() for file in model.files):
        return model.folder
    if _converted(model):
        return model.converted
    raise BunrakuError(f"{source} is not here; fetch it with `bunraku models pull {source}`.")


def _converted(model: Any) -> bool:
    return (model.converted / "model_index.json").is_file()
