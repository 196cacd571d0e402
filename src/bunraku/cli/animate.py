"""`bunraku animate`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from bunraku.cli.batch import Place, run_jobs
from bunraku.cli.options import (
    MOTION,
    OUTPUT,
    SAMPLING,
    Compile,
    DeepCache,
    Dtype,
    Guidance,
    GuidanceInterval,
    JsonFlag,
    KeepScene,
    LowMemory,
    MotionArguments,
    Overwrite,
    QualityOption,
    Refine,
    Steps,
    complete_model,
    grouped,
)
from bunraku.cli.terminal import progress, result
from bunraku.values import DEFAULT_MODEL, parsed_interval, parsed_size, parsed_strengths

app = typer.Typer()


@app.command(
    epilog="Example: bunraku animate character.png dance.mp4 -o out.mp4 --sheet sheet.png, or "
    "bunraku animate character.png dance.mp4 -o out.mp4 --model puppet-warp --start 100 --stop 200, or "
    "bunraku animate stills/ dance.mp4 -o out/, or bunraku animate --jobs jobs.csv"
)
@grouped
def animate(
    *,
    context: typer.Context,
    reference: Annotated[
        Path | None, typer.Argument(help="Picture of one character, or a folder of pictures.", show_default=False)
    ] = None,
    driving: Annotated[
        Path | None,
        typer.Argument(
            help="The motion: footage of a person, a drawn skeleton video, a folder of frames, a folder of OpenPose JSON "
            "files, a BVH file, or cues of `bunraku perceive`; or a folder of video clips.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=".mp4 .mov .mkv .webm .gif .webp, or a folder or pattern (out/%04d.png) for PNG frames; of folders the folder for "
            "the videos.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Instead of REFERENCE, DRIVING and --output: a CSV table with these columns, and any option as one more (docs/batch.md).",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            rich_help_panel=SAMPLING,
            autocompletion=complete_model,
            help="puppet-warp: the reference cut out and moved limb by limb, without weights, sharp at any size. mini: a diffusion model, "
            "a demonstration at 128x128 px. Or another name of `bunraku models list`, a model folder, or a repository on the Hub.",
        ),
    ] = DEFAULT_MODEL,
    steps: Steps = None,
    guidance: Guidance = None,
    guidance_interval: GuidanceInterval = None,
    deep_cache: DeepCache = None,
    keep_scene: KeepScene = None,
    refine: Refine = True,
    quality: QualityOption = "best",
    seed: Annotated[int, typer.Option(rich_help_panel=SAMPLING, help="Same seed and settings, same file.")] = 0,
    scheduler: Annotated[
        Literal["ddim", "dpm++", "euler", "unipc", "lcm"] | None,
        typer.Option(rich_help_panel=SAMPLING, help="Sampler (default: the model's)", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Output height x width, rounded to multiples of 8 (default: the model's, in the reference's aspect ratio)",
            show_default=False,
        ),
    ] = None,
    fit: Annotated[
        Literal["auto", "letterbox", "crop"],
        typer.Option(
            help="How a reference of another shape meets the model's size: letterbox keeps it whole (its edges continue as a "
            "blur, which is cut off again unless --size is given), crop cuts what hangs over; auto letterboxes for models "
            "made for one size, and gives others the reference's aspect ratio."
        ),
    ] = "auto",
    window: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=SAMPLING, help="Frames denoised together (default: the model's)", show_default=False
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=SAMPLING,
            help="Frames that neighbouring windows share (default: the model's)",
            show_default=False,
        ),
    ] = None,
    chain: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=SAMPLING,
            help="Make windows one after the other, each starting with so many frames of the one before: sharper than windows that "
            "overlap, and may drift; 0: all together (default: the model's)",
            show_default=False,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=SAMPLING,
            help="Slope of TCAN's temperature map, which holds the background still; 0: none (default: the model's)",
            show_default=False,
        ),
    ] = None,
    strength: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=SAMPLING,
            metavar="NAME=AMOUNT[@START:END],...",
            help="How much a condition counts, 1 being as trained, and from where to where on the way from noise (0) to picture (1): "
            "pose, reference, of recipe bunraku also cutout, of whose figure nothing is taken away at 2. Such as pose=0.8,reference=1.5@0:0.6",
            show_default=False,
        ),
    ] = None,
    retarget: Annotated[
        Literal["grounded", "full", "align", "fit", "off"] | None,
        typer.Option(
            rich_help_panel=MOTION,
            show_default=False,
            help="grounded: the reference's bone lengths and hips, the driver's directions and foreshortening, feet on the reference's ground; "
            "full: the same from the neck, as TCAN has it; align: parts scaled by constants; fit: the driver's proportions at the "
            "reference's size and place; off: the pose as it is. Default: grounded; off in the driver's scene keeps every contact of its hands.",
        ),
    ] = None,
    scene: Annotated[
        str,
        typer.Option(
            metavar="reference|driving|transparent|PICTURE",
            help="What is behind the character, for puppet-warp: its own picture's background; driving: the driver's scene, in which it "
            "takes the driver's place; transparent: nothing (.webm, .mov, .webp, PNG frames); or a picture or video.",
        ),
    ] = "reference",
    order: Annotated[
        Literal["driver", "reference"],
        typer.Option(
            rich_help_panel=MOTION,
            help="Several people, for models of multi-character: who is in front of whom is taken from DRIVING, frame by frame, or from "
            "REFERENCE, once.",
        ),
    ] = "driver",
    motion: MotionArguments,
    dtype: Dtype = "auto",
    low_memory: LowMemory = False,
    compile: Compile = False,
    state: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=SAMPLING,
            help="For long runs of a diffusion model: file in which sampling keeps where it stands, every minute. The same command, given again "
            "after the run was stopped, goes on from there; the file goes when the animation is written.",
            show_default=False,
        ),
    ] = None,
    audio: Annotated[bool, typer.Option(help="Keep the sound of the driving video.")] = True,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="For puppet-warp: picture of REFERENCE's size with the character white or opaque, or everybody in a colour as `bunraku "
            "perceive --matte-out` writes it (default: REFERENCE's own transparency, else it is found).",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=OUTPUT,
            help="Picture to write: reference, driving frames, poses, results.",
            show_default=False,
        ),
    ] = None,
    side_by_side: Annotated[
        Path | None,
        typer.Option(rich_help_panel=OUTPUT, help="Video to write: the same next to each other.", show_default=False),
    ] = None,
    debug: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=OUTPUT,
            help="Folder for pictures of what goes on inside, written early: skeletons.png (driver, reference, retargeted), "
            "temperature.png (its maps, where there is a slope), and what else the model is shown, such as flow.png and depth_order.png.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json_output: JsonFlag = False,
) -> None:
    """Animate the character of a picture with the motion of a clip.

    Keeps the clip's frame rate and sound, and the picture's aspect ratio. Ctrl-C leaves no partial file. `bunraku retarget` shows
    beforehand, in seconds, whether poses were found and limbs fit.

    Of a folder or a table all animations are made whose outputs are not there yet; what fails is named, the rest is done, and the exit
    code is 1.
    """
    from bunraku.animate import AnimateOptions
    from bunraku.animate import animate as run
    from bunraku.animate.jobs import asked_jobs

    options = AnimateOptions(
        **motion.values(), model=model, retarget=retarget, fit=fit, size=parsed_size(size), steps=steps, guidance=guidance, guidance_interval=parsed_interval(guidance_interval), deep_cache=deep_cache, keep_scene=keep_scene, refine=refine, quality=quality,
        scheduler=scheduler, window=window, overlap=overlap, chain=chain, temperature=temperature, strengths=parsed_strengths(strength), seed=seed, dtype=dtype, low_memory=low_memory, compile=compile, state=state, audio=audio,
        mask=mask, scene=scene, order=order, sheet=sheet, side_by_side=side_by_side, debug=debug, overwrite=overwrite,
    )  # fmt: skip
    place = context.find_object(Place)
    if many := asked_jobs(reference, driving, output, jobs, options, always=place is not None):
        return run_jobs(many, json_output, place)
    with progress() as advance:
        made = run(reference, driving, output, options, advance)  # type: ignore[arg-type]
    height, width = made.size
    result(
        asdict(made),
        json_output,
        f"{made.output}: {made.frames} frames of {width}x{height} px at {float(made.fps):g} fps, "
        f"{sum(made.seconds.values()):.1f} s on {made.device}",
        *(str(path) for path in (made.sheet, made.side_by_side, made.debug) if path),
    )
