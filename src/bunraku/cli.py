"""The command line: reads the arguments, calls the library, shows progress, prints what came out.

Exit codes: 0 done, 1 `doctor` found something missing, 2 the user's input cannot be used (one line on stderr says why),
130 Ctrl-C. With --json, stdout has one JSON document and nothing else; everything else always goes to stderr.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bunraku import __version__
from bunraku.errors import BunrakuError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Bring a still character to life with the motion of a video.",
    epilog="Example: bunraku animate character.png dance.mp4 -o out.mp4",
)
models = typer.Typer(no_args_is_help=True, help="Named weights: list, fetch, check.")
app.add_typer(models, name="models")

err = Console(stderr=True)

MOTION, SAMPLING, OUTPUT = "The motion", "The model", "More output"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Start = Annotated[
    int | None, typer.Option(rich_help_panel=MOTION, help="First driving frame, counted from 0.", show_default=False)
]
Stop = Annotated[int | None, typer.Option(rich_help_panel=MOTION, help="Frame after the last.", show_default=False)]
Rate = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MOTION,
        help="Frames per second, such as 24, 29.97 or 30000/1001 (default: DRIVING's own)",
        show_default=False,
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        rich_help_panel=MOTION,
        help="Picture size of OpenPose JSON files that do not say it.",
        show_default=False,
    ),
]
Detector = Annotated[
    Literal["auto", "mediapipe", "dwpose"],
    typer.Option(
        "--pose", rich_help_panel=MOTION, help="Pose detector; auto is DWPose where its weights are, else MediaPipe."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SAMPLING, help="cpu, cuda, cuda:1, mps (default: the best there is)", show_default=False
    ),
]
MaxPeople = Annotated[int, typer.Option(rich_help_panel=MOTION, help="People looked for in each frame.")]
Kind = Annotated[
    Literal["auto", "rgb", "skeleton", "openpose", "bvh", "cues"],
    typer.Option("--driving-kind", rich_help_panel=MOTION, help="What DRIVING is; auto tells by name and contents."),
]


def main() -> None:
    """Run the command line; see the module for exit codes."""
    try:
        app(prog_name="bunraku")
    except BunrakuError as error:
        err.print(f"error: {error}", style="red", soft_wrap=True, markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def configure(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Details as well.")] = False,
) -> None:
    logger = logging.getLogger("bunraku")
    logger.handlers = [_Log()]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


@app.command(epilog="Example: bunraku animate character.png dance.mp4 -o out.mp4 --sheet sheet.png")
def animate(
    reference: Annotated[Path, typer.Argument(help="Picture of one character.")],
    driving: Annotated[
        Path,
        typer.Argument(
            help="The motion: footage of a person, a drawn skeleton video, a folder of frames, a folder of OpenPose JSON "
            "files, a BVH file, or cues of `bunraku perceive`."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help=".mp4 .mov .mkv .webm .gif .webp, or a folder or pattern (out/%04d.png) for PNG frames.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(rich_help_panel=SAMPLING, help="Name (`bunraku models list`), model folder, or Hub repository."),
    ] = "mini",
    steps: Annotated[
        int | None,
        typer.Option(rich_help_panel=SAMPLING, help="Sampling steps (default: the model's)", show_default=False),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(rich_help_panel=SAMPLING, help="Guidance scale (default: the model's)", show_default=False),
    ] = None,
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
    fps: Rate = None,
    start: Start = None,
    stop: Stop = None,
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
    retarget: Annotated[
        Literal["full", "align", "fit", "off"],
        typer.Option(
            rich_help_panel=MOTION,
            help="full: the reference's bone lengths, the driver's directions and foreshortening; align: parts scaled by "
            "constants; fit: the driver's proportions at the reference's size and place; off: the pose as it is.",
        ),
    ] = "full",
    smooth: Annotated[
        bool,
        typer.Option("--smooth", rich_help_panel=MOTION, help="Take jitter out of the driving pose (One-Euro filter)."),
    ] = False,
    person: Annotated[
        int, typer.Option(rich_help_panel=MOTION, help="Whom to follow, counted from 0; 0 is the largest.")
    ] = 0,
    max_people: MaxPeople = 2,
    pose: Detector = "auto",
    reference_pose: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=MOTION,
            help="OpenPose JSON of the reference (default: NAME.pose.json beside it, else detected)",
            show_default=False,
        ),
    ] = None,
    driving_kind: Kind = "auto",
    canvas: Canvas = None,
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"],
        typer.Option(rich_help_panel=SAMPLING, help="auto: float16 on a GPU, else float32."),
    ] = "auto",
    device: Device = None,
    audio: Annotated[bool, typer.Option(help="Keep the sound of the driving video.")] = True,
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
    json_output: JsonFlag = False,
) -> None:
    """Animate the character of a picture with the motion of a clip.

    Keeps the clip's frame rate and sound, and the picture's aspect ratio. Ctrl-C leaves no partial file.
    """
    rate, canvas_size, output_size = _rate(fps), _size(canvas), _size(size)
    from bunraku.animate import AnimateOptions
    from bunraku.animate import animate as run

    options = AnimateOptions(
        model=model, reference_pose=reference_pose, driving_kind=driving_kind, person=person, start=start, stop=stop, fps=rate,
        canvas=canvas_size, retarget=retarget, smoothing=smooth, fit=fit, size=output_size, steps=steps, guidance=guidance,
        scheduler=scheduler, window=window, overlap=overlap, seed=seed, dtype=dtype, device=device, detector=pose,
        max_people=max_people, audio=audio, sheet=sheet, side_by_side=side_by_side,
    )  # fmt: skip
    with _progress() as advance:
        made = run(reference, driving, output, options, advance)
    height, width = made.size
    _result(
        asdict(made),
        json_output,
        f"{made.output}: {made.frames} frames of {width}x{height} px at {float(made.fps):g} fps, "
        f"{sum(made.seconds.values()):.1f} s on {made.device}",
        *(str(path) for path in (made.sheet, made.side_by_side) if path),
    )


@app.command(
    epilog="Example: bunraku perceive dance.mp4 -o dance.cues, then bunraku animate character.png dance.cues -o out.mp4"
)
def perceive(
    driving: Annotated[
        Path, typer.Argument(help="Anything that `animate` takes as DRIVING, or a folder of video clips.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Cues file (default: NAME.cues beside DRIVING)", show_default=False),
    ] = None,
    json_folder: Annotated[
        Path | None, typer.Option(help="Write OpenPose JSON as well, one file per frame.", show_default=False)
    ] = None,
    fps: Rate = None,
    start: Start = None,
    stop: Stop = None,
    max_people: MaxPeople = 2,
    pose: Detector = "auto",
    driving_kind: Kind = "auto",
    canvas: Canvas = None,
    device: Device = None,
    again: Annotated[
        bool, typer.Option("--again", help="Of a folder: perceive clips anew that have their cues.")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Find the people in a clip, once: the cues file drives `animate` and can be inspected or edited.

    Everybody is kept, the largest first. A folder of clips is prepared for training: NAME.cues beside every NAME.mp4.
    """
    rate, canvas_size = _rate(fps), _size(canvas)
    from bunraku.cues.openpose_json import write_openpose_json
    from bunraku.driving import check_cues_outputs, load_driving
    from bunraku.media import clips_in

    clips = clips_in(driving)
    if clips and (output or json_folder):
        raise BunrakuError(
            f"{driving} is a folder of clips: their cues lie beside them; leave out --output and --json-folder"
        )
    jobs = [(clip, clip.with_suffix(".cues")) for clip in clips] or [(driving, output or driving.with_suffix(".cues"))]
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with _progress() as advance:
        for number, (clip, target) in enumerate(jobs):
            if clips:
                advance("clips", number, len(jobs))
                if target.exists() and not again:
                    continue
            try:
                check_cues_outputs(target, json_folder, (clip,))
                cues = load_driving(
                    clip, kind=driving_kind, start=start, stop=stop, fps=rate, canvas=canvas_size, detector=pose,
                    max_people=max_people, device=device, on_frame=lambda done, total: advance("perceive", done, total),
                )  # fmt: skip
                if json_folder and cues.pose is None:
                    raise BunrakuError(f"{clip} is drawn already: it has no keypoints for {json_folder}")
                cues.save(target)
                if json_folder and cues.pose is not None:
                    write_openpose_json(cues.pose, json_folder)
            except BunrakuError as error:
                if not clips:
                    raise
                failed.append({"clip": clip, "error": str(error)})
                continue
            people = cues.pose.people if cues.pose is not None else None
            rows.append(
                {
                    "cues": target,
                    "frames": len(cues),
                    "fps": cues.fps,
                    "size": cues.size,
                    "people": people,
                    "source": cues.source,
                }
            )
        if clips:
            advance("clips", len(jobs), len(jobs))
    _result(
        {"written": rows, "failed": failed} if clips else rows[0],
        json_output,
        *(f"{row['cues']}: {row['frames']} frames, {row['people'] or 'drawn'} people, {row['source']}" for row in rows),
    )
    if failed:
        raise BunrakuError(f"{len(failed)} of {len(jobs)} clips: " + "; ".join(row["error"] for row in failed))


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
    json_output: JsonFlag = False,
) -> None:
    """Render scenes of the puppet theatre: NAME.mp4, a still NAME.png with its pose NAME.pose.json, and NAME.cues."""
    pixels = _size(size)
    if count < 1 or not 1 <= frames <= 100_000 or pixels is None or not all(32 <= side <= 4096 for side in pixels):
        raise BunrakuError("count and frames must be at least 1, and sizes from 32 to 4096 pixels")
    from bunraku.media import check_video_output
    from bunraku.media.writer import VIDEO_SUFFIXES
    from bunraku.theatre import sample_scene
    from bunraku.theatre.files import write_scene

    if output.suffix.lower() in VIDEO_SUFFIXES:
        if count > 1:
            raise BunrakuError(f"{output} is one file for {count} scenes; give a folder")
        videos = [check_video_output(output)]
    else:
        check_video_output(output)
        output.mkdir(exist_ok=True)
        videos = [output / f"{number:04d}.mp4" for number in range(seed, seed + count)]
    written = []
    with _progress() as advance:
        for done, video in enumerate(videos):
            written.append(asdict(write_scene(sample_scene(seed + done, split), video, frames, pixels)))
            advance("scenes", done + 1, len(videos))
    _result({"scenes": written}, json_output, *(f"{row['video']} {row['reference']} {row['cues']}" for row in written))


@app.command(epilog="Example: bunraku train animate-anyone --size mini --stage 1 -o runs/stage1 --set steps=2000")
def train(
    recipe: Annotated[str, typer.Argument(help="animate-anyone, or codec (the mini size's autoencoder).")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the run; a run that is there is continued (default: runs/RECIPE-SIZE-stageN)",
            show_default=False,
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Size of the recipe: mini or sd15.")] = "mini",
    stage: Annotated[int, typer.Option(help="1: frames; 2: clips (motion modules).")] = 1,
    data: Annotated[
        str, typer.Option(help="theatre, or a folder of clips prepared by `bunraku perceive`.")
    ] = "theatre",
    init: Annotated[str | None, typer.Option(help="Model folder to start from.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the run, such as steps=2000; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Train a recipe, or continue its training; the finished model is in OUTPUT/model."""
    pairs = settings or []
    output = output or Path("runs") / (recipe if recipe == "codec" else f"{recipe}-{size}-stage{stage}")
    if recipe == "codec":
        from bunraku.training.codec import CodecConfig, train_codec

        start = {"init": Path(init)} if init else {}
        train_codec(CodecConfig(**{"output": output, **start, **_settings(pairs, CodecConfig)}))  # type: ignore[arg-type]
        model = output
    else:
        from bunraku.training.config import TrainingConfig, training_config
        from bunraku.training.run import train as run

        given = {"data": data} | ({"init": init} if init else {}) | _settings(pairs, TrainingConfig)
        model = run(training_config(recipe, size, stage, output, given))
    _result({"model": model}, json_output, str(model))


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
    _result(found, json_output, *lines)
    if not found["ready"]:
        raise typer.Exit(1)


@models.command("list", epilog="Example: bunraku models list --json")
def list_models(json_output: JsonFlag = False) -> None:
    """What weights have a name."""
    from bunraku.weights import list_models as known

    rows = [
        asdict(model) | {"folder": model.folder, "bytes": model.size, "present": model.folder.is_dir()}
        for model in known()
    ]
    width = {column: max(len(row[column]) for row in rows) for column in ("name", "licence")}
    _result(
        {"models": rows},
        json_output,
        *(f"{row['name']:{width['name']}} {row['bytes'] / 1e6:8.1f} MB  {'here' if row['present'] else 'not fetched':12} {row['licence']:{width['licence']}}  {row['description']}" for row in rows),
    )  # fmt: skip


@models.command(epilog="Example: bunraku models pull dwpose")
def pull(
    name: Annotated[str, typer.Argument(help="A name from `bunraku models list`.")], json_output: JsonFlag = False
) -> None:
    """Fetch weights; an interrupted download is resumed."""
    from bunraku.weights import pull as fetch

    with _progress() as advance:
        folder = fetch(name, progress=advance)
    _result({"folder": folder}, json_output, str(folder))


@models.command(epilog="Example: bunraku models verify mini")
def verify(
    name: Annotated[str, typer.Argument(help="A name from `bunraku models list`.")], json_output: JsonFlag = False
) -> None:
    """Check weights against their checksums."""
    from bunraku.weights import verify as check

    folder = check(name)
    _result({"folder": folder}, json_output, f"{folder} is whole")


class _Log(logging.Handler):
    """The library's log on stderr, above a running progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        serious = record.levelno >= logging.WARNING
        text = f"{'warning: ' if serious else ''}{record.getMessage()}"
        err.print(text, style="yellow" if serious else "dim", soft_wrap=True, markup=False, highlight=False)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function (what, done, total) that shows a bar with the time left for everything that goes on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=err) as bar:

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks or done < bar.tasks[tasks[what]].completed:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield advance


def _result(data: dict[str, Any], as_json: bool, *lines: str) -> None:
    for line in [json.dumps(data, default=str, indent=2)] if as_json else lines:
        typer.echo(line)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if (found := re.fullmatch(r"(\d+)(?:\s*[x×,]\s*(\d+))?", text.strip())) is None:
        raise BunrakuError(f"{text!r} is no size; give height x width in pixels, such as 768x512, or one number")
    return int(found[1]), int(found[2] or found[1])


def _rate(text: str | None) -> Fraction | None:
    try:
        return None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise BunrakuError(
            f"{text!r} is no frame rate; give frames per second, such as 24, 29.97 or 30000/1001"
        ) from None


def _settings(pairs: list[str], config: type) -> dict[str, Any]:
    """KEY=VALUE for the fields of a dataclass, with values as YAML types them."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    types = get_type_hints(config)
    if wrong := [pair for pair in pairs if not re.match(r"\w+=", pair)]:
        raise BunrakuError(f"{wrong[0]!r} is no setting; give KEY=VALUE, such as --set steps=2000")
    if unknown := [pair for pair in pairs if pair.split("=")[0] not in types]:
        raise BunrakuError(f"there is no setting {unknown[0].split('=')[0]!r}; there are {', '.join(types)}")
    try:
        values: dict[str, Any] = OmegaConf.to_container(OmegaConf.from_dotlist(pairs))  # type: ignore[assignment]
    except (OmegaConfBaseException, YAMLError) as error:
        raise BunrakuError(f"the settings {', '.join(pairs)} cannot be read: {error}") from error
    for key, value in values.items():
        expected = types[key]
        values[key] = value = (
            tuple(value)
            if isinstance(value, list)
            else float(value)
            if expected is float and type(value) is int
            else value
        )
        if expected in (int, float, str, bool) and type(value) is not expected:
            raise BunrakuError(f"{key} is {value!r}; expected {expected.__name__}")
    return values
