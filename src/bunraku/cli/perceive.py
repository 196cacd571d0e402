"""`bunraku perceive`."""

from pathlib import Path
from typing import Annotated

import typer

from bunraku.cli.batch import Place
from bunraku.cli.cues import Layers, check_picture, described, layers_for, perceive_clip, write_still_mattes
from bunraku.cli.options import ClipArguments, JsonFlag, grouped
from bunraku.cli.terminal import progress, result
from bunraku.errors import BunrakuError

app = typer.Typer()


@app.command(
    epilog="Example: bunraku perceive dance.mp4 -o dance.cues, then bunraku animate character.png dance.cues -o out.mp4; or "
    "bunraku perceive drawing.png --draft, then move the joints in drawing.pose.json"
)
@grouped
def perceive(
    *,
    context: typer.Context,
    driving: Annotated[
        Path, typer.Argument(help="Anything that `animate` takes as DRIVING, a folder of video clips, or a still.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Cues file; of a still its OpenPose JSON (default: NAME.cues or NAME.pose.json beside it)",
            show_default=False,
        ),
    ] = None,
    json_folder: Annotated[
        Path | None, typer.Option(help="Write OpenPose JSON as well, one file per frame.", show_default=False)
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Write a picture with everybody's skeleton and number, as --person counts them.", show_default=False
        ),
    ] = None,
    matte: Annotated[
        bool,
        typer.Option(
            "--matte",
            help="Of footage: cut everybody out as well, find flow and the camera's motion, and what is behind the people; a second a frame.",
        ),
    ] = False,
    objects: Annotated[
        list[str] | None,
        typer.Option(
            "--object",
            metavar="THING[@FRAME]",
            help="A thing to follow from a frame on: a pixel X,Y of it, a box LEFT,TOP,RIGHT,BOTTOM, a picture with it white, or its name "
            "(`bunraku models pull yolos-tiny`); may be given several times; implies --matte.",
            show_default=False,
        ),
    ] = None,
    depth: Annotated[
        bool,
        typer.Option(
            "--depth", help="Depth of every pixel as well (`bunraku models pull depth-anything`); implies --matte."
        ),
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="RECIPE",
            help="Of a folder of clips: find all that training this recipe reads, such as animate-anyone-2; depth where its network is here, "
            "things by the names that --object gives. What is there already is kept.",
            show_default=False,
        ),
    ] = None,
    debug: Annotated[
        Path | None,
        typer.Option(help="A picture of every layer in eight frames; implies --matte.", show_default=False),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Of a folder of clips: pack them with their cues into shards for `bunraku train --data DIR`.",
            show_default=False,
        ),
    ] = None,
    shard_size: Annotated[int, typer.Option(metavar="MB", min=1, help="Of each shard, about.")] = 1000,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Take this for the mattes: a picture of a still, or frames or a video of a clip, people white, or each in the colour that "
            "--matte-out gives them; implies --matte.",
            show_default=False,
        ),
    ] = None,
    matte_out: Annotated[
        Path | None,
        typer.Option(
            help="Write the mattes, everybody in a colour: of a still a picture, of a clip a folder of frames or a video; implies --matte.",
            show_default=False,
        ),
    ] = None,
    clip: ClipArguments,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft",
            help="Of a still: look for nobody, and write a standing figure whose joints are then moved by hand, in a pose "
            "editor or as text. For characters that no detector understands.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", "--again", help="Replace what has the default name; of a folder: perceive all clips anew."
        ),
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Find the people in a clip, once: the cues file drives `animate` and can be inspected or edited.

    Everybody is kept, the largest first; the clip's sound is found again as long as the clip stays where it is beside the cues. A
    folder of clips is prepared for training: NAME.cues beside every NAME.mp4; what fails is named, the rest is done, and the exit code is
    1. Of a still, the pose is written as OpenPose JSON.
    """
    from bunraku.animate.options import MotionOptions
    from bunraku.animate.preview import numbered
    from bunraku.animate.still import is_still, perceive_still
    from bunraku.media import check_free, clips_in, read_image, write_image
    from bunraku.perception.objects import Named, parse_thing

    options = MotionOptions(**clip.values())
    layers = None
    if matte or objects or depth or debug or mask or matte_out:
        layers = Layers([parse_thing(text) for text in objects or []], depth, debug, mask, matte_out)
    if recipe is not None:
        layers = layers_for(recipe, layers)
    if is_still(driving):
        if json_folder is not None or (layers and (layers.things or layers.depth or layers.debug)):
            raise BunrakuError(
                "--json-folder, --object, --depth and --debug are for clips; the pose of a still is one file, --output"
            )
        if layers:
            layers = layers._replace(matte_out=matte_out or driving.with_suffix(".mask.png"))
            check_picture(layers.matte_out, driving, "--matte-out")
            if matte_out is None:
                check_free([driving.with_suffix(".mask.png")], overwrite)
        check_picture(picture, driving)
        file, track = perceive_still(driving, output, options, draft=draft, overwrite=overwrite)
        if picture:
            write_image(picture, numbered(read_image(driving), track))
        if layers:
            write_still_mattes(driving, track, layers)
        look = f"`bunraku retarget {driving} DRIVING -o check.png` shows it"
        what = f"a standing figure to be moved joint by joint; {look}" if draft else f"{track.people} people"
        row = {"pose": file, "people": track.people, "size": track.size, "matte": layers and layers.matte_out}
        return result(row, json_output, f"{file}: {what}", *([f"{layers.matte_out}: who is where"] if layers else []))
    if draft:
        raise BunrakuError(f"--draft is for stills, and {driving} is none")
    clips = clips_in(driving)
    if clips and (output or json_folder or picture):
        raise BunrakuError(
            f"{driving} is a folder of clips: their cues lie beside them; leave out --output, --json-folder and --picture"
        )
    if recipe is not None and not clips:
        raise BunrakuError(f"--for prepares a folder of clips, and {driving} has none")
    if clips:
        own = layers and (layers.debug or layers.mask or layers.matte_out)
        if layers and (own or any(not isinstance(thing, Named) for thing in layers.things)):
            raise BunrakuError(
                f"{driving} is a folder of clips: leave out --debug, --mask and --matte-out, and give things by their names (--object ball)"
            )
        from bunraku.cli.clips import PerceiveWork, Shards, perceive_folder

        packed = Shards(shards, shard_size * 10**6) if shards else None
        work = PerceiveWork(options, overwrite, layers)
        return perceive_folder(clips, work, packed, context.find_object(Place), json_output)
    if shards:
        raise BunrakuError(f"--shards packs a folder of clips, and {driving} is none")
    with progress() as advance:
        row = perceive_clip(driving, output, json_folder, options, overwrite, advance, picture, layers)
    result(row, json_output, described(row))
