"""`bunraku train`."""

from pathlib import Path
from typing import Annotated

import typer

from bunraku.cli.options import JsonFlag
from bunraku.cli.terminal import parsed_settings, result
from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json

app = typer.Typer()

ALONE = ("codec", "poses")
"""Parts that are trained by themselves."""

REPLACED = ("config.json", "model", "model.writing", "checkpoints")
"""What a run writes into its folder again and again."""


@app.command(epilog="Example: bunraku train animate-anyone --size mini --stage 1 -o runs/stage1 --set steps=2000")
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="bunraku, animate-anyone, tcan, multi-character, codec (the shipped model's autoencoder), or poses (its PoseRefiner)."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the run; a run that is there is continued (default: runs/RECIPE-SIZE-stageN)",
            show_default=False,
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Size of the recipe: small (bunraku), mini or sd15.")] = "mini",
    stage: Annotated[
        int, typer.Option(help="1: frames; 2: clips (motion modules); 0: the base of tcan's mini size.")
    ] = 1,
    data: Annotated[
        str, typer.Option(help="theatre, or a folder of clips or shards prepared by `bunraku perceive`.")
    ] = "theatre",
    init: Annotated[
        str | None, typer.Option(help="Model to start from: a folder or a name.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the run, such as steps=2000; may be repeated.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            help="Stop with a checkpoint after this step; the same command without it goes on from there.",
            min=1,
            show_default=False,
        ),
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Train a recipe, or continue its training; the finished model is in OUTPUT/model."""
    from bunraku.machine import keep_freed_memory
    from bunraku.recipes import RECIPES

    if recipe not in (known := (*RECIPES, *ALONE)):
        raise BunrakuError(f"there is no recipe {recipe!r}; there are {', '.join(known)}")
    keep_freed_memory()  # a training needs the same buffers in every step until it ends
    pairs = settings or []
    output = output or Path("runs") / (recipe if recipe in ALONE else f"{recipe}-{size}-stage{stage}")
    _check_folder(output)
    start = {"init": Path(init)} if init else {}
    model = output / "model"
    if recipe == "codec":
        from bunraku.training.codec import CodecConfig, train_codec

        train_codec(CodecConfig(**{"output": output, **start, **parsed_settings(pairs, CodecConfig)}))  # type: ignore[arg-type]
    elif recipe == "poses":
        from bunraku.training.poses import PoseConfig, train_poses

        train_poses(PoseConfig(**{"output": output, **start, **parsed_settings(pairs, PoseConfig)}))  # type: ignore[arg-type]
    else:
        from bunraku.training.config import TrainingConfig, training_config
        from bunraku.training.run import train as run

        given = {"data": data} | ({"init": init} if init else {}) | parsed_settings(pairs, TrainingConfig)
        model = run(training_config(recipe, size, stage, output, given), until)
    result({"model": model}, json_output, str(model))


def _check_folder(output: Path) -> None:
    """Raise BunrakuError where a run would replace what no run has written."""
    if output.exists() and not output.is_dir():
        raise BunrakuError(f"{output} is a file; --output takes a folder")
    taken = [name for name in REPLACED if (output / name).exists()]
    if taken and not _is_run(output / "config.json"):
        raise BunrakuError(
            f"{output} is not the folder of a run, but has {' and '.join(taken)}, which training would replace; give another --output"
        )


def _is_run(config: Path) -> bool:
    try:
        return {"output", "steps", "seed"} <= set(parsed_json(config.read_text()))
    except (OSError, ValueError, TypeError):
        return False
