"""`bunraku evaluate`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bunraku.cli.batch import Place
from bunraku.cli.options import (
    SAMPLING,
    DeepCache,
    Device,
    Dtype,
    Guidance,
    GuidanceInterval,
    JsonFlag,
    KeepScene,
    QualityOption,
    RefineForScores,
    Steps,
    complete_model,
)
from bunraku.cli.terminal import err, progress, result
from bunraku.errors import BunrakuError
from bunraku.values import parsed_interval, parsed_size

app = typer.Typer()

WHAT, SCORES = "What is evaluated", "The scores"


@app.command(
    epilog="Example: bunraku evaluate --model mini --benchmark theatre/solo, or "
    "bunraku evaluate --generated results/ --truth clips/ -o report/, or "
    "bunraku evaluate --compare first/report.json second/report.json"
)
def evaluate(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=WHAT,
            help="Model to animate the benchmark with: name, folder, Hub repository, or puppet-warp.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    benchmark: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT,
            help="theatre/solo, theatre/bizarre, theatre/noisy, theatre/crowd, theatre/stage, theatre/camera, theatre/camera-still, or a "
            "data set on your disk (with --data): tiktok, ubc-fashion, ted-talks, multi-character, folder.",
        ),
    ] = "theatre/solo",
    data: Annotated[
        Path | None, typer.Option(rich_help_panel=WHAT, help="Folder of the data set.", show_default=False)
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", rich_help_panel=WHAT, help="Score what is there of an incomplete data set.")
    ] = False,
    generated: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=WHAT,
            help="Clips that any system has made: videos or folders of frames, named as the true ones.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(rich_help_panel=WHAT, help="The true clips.", show_default=False)
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            rich_help_panel=WHAT, help="Two report.json: the differences, with intervals.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for report.json and report.html (default: runs/evaluation/SYSTEM-BENCHMARK)",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=SCORES,
            help="Comma-separated names, such as psnr,ssim,lpips_vgg,fvd (default: all)",
            show_default=False,
        ),
    ] = None,
    pose: Annotated[
        Literal["auto", "mediapipe", "dwpose"] | None,
        typer.Option(
            rich_help_panel=SCORES,
            help="Score poses as well, by detecting them again with this detector.",
            show_default=False,
        ),
    ] = None,
    window_stride: Annotated[
        int,
        typer.Option(
            rich_help_panel=SCORES,
            help="Frames between the 16-frame windows of FID-VID and FVD: 1 is every window (DisCo), 16 overlaps none.",
        ),
    ] = 1,
    baselines: Annotated[
        bool,
        typer.Option(
            rich_help_panel=SCORES,
            help="Score copy, puppet-warp, codec and (on theatre/stage) composite beside the model.",
        ),
    ] = True,
    masks: Annotated[
        Literal["found", "exact"],
        typer.Option(
            rich_help_panel=SCORES,
            help="Where the characters are in the references, for systems that cut them out: found as animate does, or the theatre's own.",
        ),
    ] = "found",
    on_mismatch: Annotated[
        Literal["error", "trim", "resize"],
        typer.Option(
            rich_help_panel=SCORES,
            help="Generated clips of other length or size: not scored, cut to the shorter, or cut and resized.",
        ),
    ] = "error",
    skip_first: Annotated[
        Literal["auto", "both", "truth", "none"],
        typer.Option(rich_help_panel=SCORES, help="Which clips begin with the source frame, which is not scored."),
    ] = "auto",
    clips: Annotated[
        int | None,
        typer.Option(rich_help_panel=SCORES, help="Score the first clips only (default: all)", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            rich_help_panel=SAMPLING,
            help="Frames of the benchmark; the theatre has 128, 256 and 512 (default: the model's)",
            show_default=False,
        ),
    ] = None,
    steps: Steps = None,
    guidance: Guidance = None,
    guidance_interval: GuidanceInterval = None,
    deep_cache: DeepCache = None,
    keep_scene: KeepScene = None,
    refine: RefineForScores = None,
    quality: QualityOption = "best",
    seed: Annotated[int, typer.Option(rich_help_panel=SAMPLING, help="Of the noise of every clip.")] = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the report that the folder holds.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Score animations against the truth: a model on a benchmark, any system's clips, or one report against another.

    Writes report.json, and report.html with plots and the worst and best clips. Exits with 1 if clips could not be scored.
    """
    uses = [model is not None, generated is not None or truth is not None, compare is not None]
    if sum(uses) != 1 or (generated is None) != (truth is None):
        raise BunrakuError(
            "say what is to be evaluated: --model NAME with --benchmark NAME, --generated DIR with --truth DIR, or --compare "
            "FIRST.json SECOND.json"
        )
    if compare is not None:
        return _compare(*compare, output, json_output)

    system = Path(model).name if model else Path(str(generated)).resolve().name
    folder = output or Path("runs/evaluation") / (f"{system}-{benchmark.replace('/', '-')}" if model else system)
    written = {"report": folder / "report.json", "page": folder / "report.html"}
    from rich.console import Console

    from bunraku.animate.models import check_model
    from bunraku.media import check_free, plain_write_errors

    check_free(written.values(), overwrite)
    if model is not None:
        check_model(model)
    from bunraku.evaluation import report
    from bunraku.evaluation.evaluate import EvaluateOptions, evaluate_clips, evaluate_model

    options = EvaluateOptions(
        metrics=None if metrics is None else tuple(name.strip() for name in metrics.split(",")), pose=pose,
        window_stride=window_stride, baselines=baselines, masks=masks, clips=clips, size=parsed_size(size), steps=steps, guidance=guidance, guidance_interval=parsed_interval(guidance_interval), deep_cache=deep_cache, keep_scene=keep_scene, refine=refine, quality=quality, seed=seed, dtype=dtype, partial=partial,
        device=device, on_mismatch=on_mismatch, skip_first=skip_first, command=shlex.join(["bunraku", *sys.argv[1:]]),
    )  # fmt: skip
    with progress() as advance:
        if model is not None:
            run = place.run if (place := context.find_object(Place)) else None
            results, shown = evaluate_model(model, benchmark, data, folder, options, advance, run)
        else:
            results, shown = evaluate_clips(Path(str(generated)), Path(str(truth)), folder, options, advance)
    with plain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    results.save(written["report"])
    report.write_html(results, written["page"], shown)
    if not json_output:
        Console().print(report.score_table(results))
    result(written | results.to_json(), json_output, *map(str, written.values()))
    if results.failed:
        err.print(
            f"{len(results.failed)} clips were not scored: " + "; ".join(f"{k}: {v}" for k, v in results.failed.items()),
            style="red", soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip
        raise typer.Exit(1)


def _compare(first: Path, second: Path, output: Path | None, json_output: bool) -> None:
    import json

    from rich.console import Console

    from bunraku.evaluation.compare import compare
    from bunraku.evaluation.results import Results
    from bunraku.media import check_output, replacing

    names = (first.parent.name or first.stem, second.parent.name or second.stem)
    if names[0] == names[1]:
        names = str(first), str(second)
    found = compare(Results.load(first), Results.load(second), names=names)
    data: dict[str, Any] = found.to_json()
    if output is not None:
        path = check_output(output, (first, second))
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if not json_output:
        Console().print(found.table())
    result(data, json_output, *([str(output)] if output else []))
