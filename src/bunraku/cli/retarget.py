"""`bunraku retarget`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bunraku.cli.options import MOTION, JsonFlag, MotionArguments, Overwrite, ReferencePicture, grouped
from bunraku.cli.terminal import progress, result

app = typer.Typer()


@app.command(epilog="Example: bunraku retarget character.png dance.mp4 -o skeletons.png --retarget full --retarget fit")
@grouped
def retarget(
    *,
    reference: ReferencePicture,
    driving: Annotated[
        Path,
        typer.Argument(
            help="The motion: footage of a person, a folder of frames, a folder of OpenPose JSON files, a BVH file, or cues of "
            "`bunraku perceive`."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="A picture (.png .jpg .bmp .tif) of a few moments, or a video (.mp4 .mov .mkv .webm .gif .webp, a folder or a "
            "pattern for PNG frames) of all frames.",
        ),
    ],
    method: Annotated[
        list[str] | None,  # text, and checked later: typer cannot take a list of choices
        typer.Option(
            "--retarget",
            metavar="[full|align|fit|off]",
            rich_help_panel=MOTION,
            help="As of `animate`; may be repeated (default: grounded, align, off)",
            show_default=False,
        ),
    ] = None,
    motion: MotionArguments,
    overwrite: Overwrite = False,
    json_output: JsonFlag = False,
) -> None:
    """Draw what `animate` would follow: the driver, the reference, and the driver's pose brought onto the reference.

    Each skeleton lies over its picture, so that one sees before a long run whether poses were found and limbs fit.
    """
    from bunraku.animate.options import MotionOptions
    from bunraku.animate.preview import METHODS, draw_retargeting

    options = MotionOptions(**motion.values())
    with progress() as advance:
        made = draw_retargeting(reference, driving, output, method or METHODS, options, advance, overwrite=overwrite)  # type: ignore[arg-type]
    height, width = made.size
    result(
        asdict(made),
        json_output,
        f"{made.output}: {made.frames} frames, {width}x{height} px, retargeting {', '.join(made.methods)}",
    )
