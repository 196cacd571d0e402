"""`bunraku theatre`."""

from dataclasses import asdict, astuple
from pathlib import Path
from typing import Annotated, Literal

import typer

from bunraku.cli.options import JsonFlag
from bunraku.cli.terminal import progress, result
from bunraku.errors import BunrakuError
from bunraku.values import parsed_size

app = typer.Typer()


@app.command(
    epilog="Example: bunraku theatre -o scenes --count 4, then bunraku animate scenes/0000.png scenes/0001.mp4 -o out.mp4"
)
def theatre(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the scenes, or the video file of one.")],
    seed: Annotated[int, typer.Option(help="Number of the first scene; same seed, same pixels.")] = 0,
    count: Annotated[int, typer.Option(help="How many scenes, with following seeds.")] = 1,
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="They share no character, motion or stage.")
    ] = "test",
    frames: Annotated[int, typer.Option(help="Frames per scene, 12 per second.")] = 48,
    size: Annotated[str, typer.Option(metavar="HxW", help="Height x width in pixels, or one number.")] = "128",
    people: Annotated[int, typer.Option(min=1, max=3, help="Actors; of several, some walk across and cross.")] = 1,
    props: Annotated[bool, typer.Option("--props", help="Everybody holds something.")] = False,
    objects: Annotated[bool, typer.Option("--objects", help="Things stand before and behind the actors.")] = False,
    moving_camera: Annotated[bool, typer.Option("--moving-camera", help="The camera moves.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace scenes of the same numbers.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Render scenes of the puppet theatre: NAME.mp4, a still NAME.png with its pose NAME.pose.json, and NAME.cues."""
    pixels = parsed_size(size)
    if count < 1 or not 1 <= frames <= 100_000 or pixels is None or not all(32 <= side <= 4096 for side in pixels):
        raise BunrakuError("count and frames must be at least 1, and sizes from 32 to 4096 pixels")
    from bunraku.media import check_free, check_output
    from bunraku.media.writer import VIDEO_SUFFIXES
    from bunraku.theatre import sample_scene
    from bunraku.theatre.files import SceneFiles, write_scene

    if output.suffix.lower() in VIDEO_SUFFIXES:
        if count > 1:
            raise BunrakuError(f"{output} is one file for {count} scenes; give a folder")
        videos = [check_output(output)]
    elif output.suffix:
        raise BunrakuError(
            f"{output} is neither a video ({' '.join(VIDEO_SUFFIXES)}) nor a folder, which has no extension"
        )
    else:
        check_output(output / "scene" if output.is_dir() else output)
        videos = [output / f"{number:04d}.mp4" for number in range(seed, seed + count)]
    files = [file for video in videos for file in astuple(SceneFiles.beside(video))]
    check_free([file for file in files if file != output], overwrite)
    videos[0].parent.mkdir(exist_ok=True)
    written = []
    with progress() as advance:
        for done, video in enumerate(videos):
            scene = sample_scene(
                seed + done,
                split,
                people=people,
                props=props,
                objects=objects,
                moving_camera=moving_camera,
                frames=frames,
            )
            written.append(asdict(write_scene(scene, video, frames, pixels)))
            advance("scenes", done + 1, len(videos))
    result({"scenes": written}, json_output, *(f"{row['video']} {row['reference']} {row['cues']}" for row in written))
