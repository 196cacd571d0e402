"""`bunraku perceive`."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from bunraku.cli.batch import Place
from bunraku.cli.options import ClipArguments, JsonFlag, grouped
from bunraku.cli.terminal import progress, result
from bunraku.errors import BunrakuError

logger = logging.getLogger(__name__)

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
        layers = _layers_for(recipe, layers)
    if is_still(driving):
        if json_folder is not None or (layers and (layers.things or layers.depth or layers.debug)):
            raise BunrakuError(
                "--json-folder, --object, --depth and --debug are for clips; the pose of a still is one file, --output"
            )
        if layers:
            layers = layers._replace(matte_out=matte_out or driving.with_suffix(".mask.png"))
            _check_picture(layers.matte_out, driving, "--matte-out")
            if matte_out is None:
                check_free([driving.with_suffix(".mask.png")], overwrite)
        _check_picture(picture, driving)
        file, track = perceive_still(driving, output, options, draft=draft, overwrite=overwrite)
        if picture:
            write_image(picture, numbered(read_image(driving), track))
        if layers:
            _write_still_mattes(driving, track, layers)
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


class Layers(NamedTuple):
    """What is perceived beside poses and mattes: things, depth, a picture of all layers; and mattes that are given and to be written."""

    things: list[Any]
    depth: bool
    debug: Path | None
    mask: Path | None
    matte_out: Path | None

    @property
    def maps(self) -> set[str]:
        """Names of the maps that they are kept as."""
        return {"mattes"} | ({"depth"} if self.depth else set()) | ({"objects"} if self.things else set())


def _write_still_mattes(still: Path, track: Any, layers: Layers) -> None:
    from bunraku.animate.models import of_each
    from bunraku.cues.identity import draw_identities, read_mattes
    from bunraku.media import read_image, write_image
    from bunraku.perception.matte import create_segmenter, still_mattes

    if layers.mask:
        mattes = of_each(read_mattes(layers.mask, track.size), track)
    else:
        mattes = still_mattes(read_image(still), track, create_segmenter())
    write_image(layers.matte_out, draw_identities(mattes[None])[0])  # type: ignore[arg-type]


def _layers_for(recipe: str, given: Layers | None) -> Layers | None:
    """What a recipe is trained on, beside what was asked for; says what it will go without."""
    from bunraku.cues.drawn import TOLD_BY
    from bunraku.perception.depth import depth_is_here
    from bunraku.recipes import get_recipe

    size = list(get_recipe(recipe).sizes.values())[-1]  # the smallest is built for its names alone
    read = size.build(False, size.options).reads.frames
    told = {name for condition in read for name in TOLD_BY.get(condition, ())}
    asked = given or Layers([], False, None, None, None)
    if "objects" in told and not asked.things:
        logger.warning(
            "no things are looked for: name those that people hold (--object ball), or the model learns nothing of things"
        )
    depth = asked.depth or ("depth" in told and depth_is_here())
    if "depth" in told and not depth:
        logger.warning("depth is not looked for: bunraku models pull depth-anything fetches its network")
    return asked._replace(depth=depth) if told or given else None


def perceive_clip(
    clip: Path,
    output: Path | None,
    json_folder: Path | None,
    options: Any,
    overwrite: bool,
    advance: Any,
    picture: Path | None,
    layers: Layers | None,
    known: Any = None,
) -> dict[str, Any]:
    """Cues of a clip, written; `known` cues are kept and get the layers."""
    from bunraku.animate.driving import check_cues_outputs, open_driving
    from bunraku.animate.preview import draw_people
    from bunraku.cues.cues import Cues
    from bunraku.cues.openpose_json import write_openpose_json
    from bunraku.media import write_image

    driving = replace(open_driving(clip, options), perceived=known)
    target = output or clip.with_suffix(".cues")
    check_cues_outputs(target, json_folder, driving.files, overwrite=overwrite or output is not None)
    _check_picture(picture, clip)
    if (asked := json_folder or picture) and not driving.has_keypoints:
        raise BunrakuError(f"{clip} is drawn already: it has no keypoints for {asked}")
    if layers and driving.kind != "rgb":
        raise BunrakuError(f"--matte looks at footage, and {clip} is {driving.kind}")
    look = _open_layers(layers, driving, options, advance) if layers and not isinstance(driving.source, Cues) else None
    cues = driving.cues(options, on_frame=lambda done, total: advance("perceive", done, total))
    if look:
        cues = look(cues)
    cues.save(target)
    if json_folder and cues.pose is not None:
        write_openpose_json(cues.pose, json_folder)
    if picture:
        write_image(picture, draw_people(driving, cues))
    people = None if cues.pose is None else cues.pose.people
    return {
        "cues": target, "frames": len(cues), "fps": cues.fps, "size": cues.size, "people": people, "source": cues.source,
        "sound": driving.sound, "layers": sorted(cues.maps),
    }  # fmt: skip


def _open_layers(layers: Layers, driving: Any, options: Any, advance: Any) -> Callable[[Any], Any]:
    """What adds the layers to cues; networks, things and files are checked here, before anything slow."""
    from bunraku.cues.identity import draw_identities
    from bunraku.cues.layers import check_masks, check_things, layer_sheet, perceive_layers
    from bunraku.media import VideoWriter, check_video_output, open_frames, resize, write_image
    from bunraku.perception.depth import DepthAnything
    from bunraku.perception.matte import create_footage_segmenter

    if layers.debug:
        _check_picture(layers.debug, driving.path, "--debug")
    check_things(layers.things, driving.source.size, len(driving))
    masks = None if layers.mask is None else open_frames(layers.mask, fps=driving.source.fps)
    check_masks(masks, driving.source.size, len(driving))
    if layers.matte_out:
        check_video_output(layers.matte_out, driving.files)
    depth = DepthAnything(device=options.device) if layers.depth else None

    def look(cues: Any) -> Any:
        cues = perceive_layers(
            cues, driving.source, create_footage_segmenter(), things=layers.things, depth=depth, masks=masks,
            on_frame=lambda done, total: advance("matte", done, total),
        )  # fmt: skip
        if layers.debug:
            write_image(layers.debug, layer_sheet(cues, driving.source))
        if layers.matte_out:
            with VideoWriter(layers.matte_out, fps=cues.fps, size=cues.size) as video:
                for mattes in cues.maps["mattes"]:
                    video.write(resize(draw_identities(mattes[None])[0], cues.size))
        return cues

    return look


def described(row: dict[str, Any]) -> str:
    return f"{row['cues']}: {row['frames']} frames, {row['people'] or 'drawn'} people, {row['source']}"


def _check_picture(picture: Path | None, source: Path, option: str = "--picture") -> None:
    from bunraku.media import check_output
    from bunraku.media.images import IMAGE_SUFFIXES

    if picture is not None:
        if picture.suffix.lower() not in IMAGE_SUFFIXES:
            raise BunrakuError(
                f"cannot write {picture} ({option}): its name ends in none of {', '.join(IMAGE_SUFFIXES)}"
            )
        check_output(picture, (source,))
