"""What `bunraku evaluate` does: a model on a benchmark, or clips that exist, with the baselines beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bunraku.data.pairs import OnMismatch, SkipFirst
from bunraku.errors import BunrakuError
from bunraku.evaluation.benchmarks import Benchmark, PairBenchmark, open_benchmark
from bunraku.evaluation.extremes import Extremes
from bunraku.evaluation.results import Results
from bunraku.evaluation.runner import Made, evaluate, make
from bunraku.evaluation.scoring import Scorer
from bunraku.evaluation.systems import Codec, Composite, Copy, Masks, PipelineSystem, Recorded, System, Warp
from bunraku.media import check_output
from bunraku.perception.detector import DetectorName
from bunraku.progress import Progress, silent
from bunraku.puppet_warp import PUPPET_WARP
from bunraku.sampling.quality import Quality
from bunraku.sampling.share import ALONE, Share
from bunraku.work import Runner, Task, Work, in_order

DEFAULT_CODEC = "mini"
"""The model whose autoencoder is scored as codec where the evaluated one has none (puppet-warp)."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Everything about an evaluation that has a default; None leaves the choice to the model, the machine or the benchmark.

    Attributes:
        metrics: names out of `METRICS`; None: all.
        pose: detector for the pose metrics; None: they are left out.
        window_stride: of FID-VID and FVD, see `Scorer`.
        baselines: whether copy, puppet-warp, codec and, on stage, composite are scored as well.
        masks: of the references, for systems that cut them out, see `Masks`.
        clips: the first so many.
        partial: whether what is there of an incomplete data set is scored.
        size: (height, width) of the benchmark's frames.
        quality, steps, guidance, guidance_interval, deep_cache, keep_scene, seed: as of `animate.AnimateOptions`.
        refine: whether the poses are mended; None: by models that have a PoseRefiner.
        dtype, device: of the model.
        on_mismatch, skip_first: see `bunraku.data.pairs`.
        command: as typed, for the record.
    """

    metrics: tuple[str, ...] | None = None
    pose: DetectorName | None = None
    window_stride: int = 1
    baselines: bool = True
    masks: Masks = "found"
    clips: int | None = None
    partial: bool = False
    size: tuple[int, int] | None = None
    quality: Quality = "best"
    steps: int | None = None
    guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    deep_cache: int | None = None
    keep_scene: bool | None = None
    refine: bool | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str | None = None
    on_mismatch: OnMismatch = "error"
    skip_first: SkipFirst = "auto"
    command: str = ""


def evaluate_model(
    model: str,
    benchmark: str,
    data: Path | None,
    folder: Path,
    options: EvaluateOptions = EvaluateOptions(),
    on_progress: Progress | None = None,
    run: Runner | None = None,
) -> tuple[Results, Extremes]:
    """Animate the clips of a benchmark and score them.

    Args:
        model: name, folder, Hub repository, or "puppet-warp".
        benchmark, data: see `open_benchmark`.
        folder: where the report will go; a folder that cannot be made is found first.
        run: who animates the clips; None: this process, which opens and scores some while it animates others.

    Raises:
        BunrakuError: unusable model, benchmark, options or folder; or no clip could be scored.
    """
    scorer = _scorer(options)
    _check(folder)
    systems, clips, settings = open_systems(model, benchmark, data, options)
    made = None if run is None else _made_by(run, EvaluateWork(model, benchmark, data, options), clips.names)
    try:
        return evaluate(
            systems, clips, scorer, settings=settings, command=options.command, on_progress=on_progress, made=made
        )
    finally:
        scorer.close()


def open_systems(
    model: str, benchmark: str, data: Path | None, options: EvaluateOptions
) -> tuple[list[System], Benchmark, dict[str, Any]]:
    """The systems that are evaluated, the model first; the benchmark; and the settings for the record. Arguments as of `evaluate_model`."""
    settings: dict[str, Any] = {"model": model, "seed": options.seed, "masks": options.masks}
    pipeline = None
    if model != PUPPET_WARP:
        pipeline = _pipeline(model, options)
        own = pipeline.sampling
        chosen = own.asked(
            options.quality,
            options.steps,
            options.guidance,
            options.guidance_interval,
            options.deep_cache,
            keep_scene=options.keep_scene,
        )
        given = {name: value for name, value in asdict(chosen).items() if value != getattr(own, name)}
        settings |= own.stored() | given
    size = options.size or (tuple(pipeline.config.size) if pipeline is not None else (128, 128))
    clips = open_benchmark(
        benchmark,
        data=data,
        size=size,
        clips=options.clips,
        partial=options.partial,
        detector=options.pose or "auto",
        device=options.device,
    )
    settings |= {} if options.refine is None else {"refine": options.refine}
    refined = bool(options.refine) and model == PUPPET_WARP
    warp = [Warp(options.masks, refined)] if model == PUPPET_WARP or options.baselines else []
    systems: list[System] = []
    if pipeline is not None:
        systems.append(
            PipelineSystem(pipeline, Path(model).name, options.seed, given, masks=options.masks, refine=options.refine)
        )
    systems += warp
    if options.baselines:
        systems += [Composite(systems[0])] if clips.in_scene else []
        systems.append(Copy())
        of = model if pipeline is not None else DEFAULT_CODEC
        systems.append(Codec(pipeline if pipeline is not None else _pipeline(of, options), of))
    if pipeline is None:
        systems[0].role = "model"
    return systems, clips, settings


class EvaluateWork(Work):
    """What systems make of the clips of a benchmark, by number; arguments as of `evaluate_model`."""

    def __init__(self, model: str, benchmark: str, data: Path | None, options: EvaluateOptions) -> None:
        self._open = partial(open_systems, model, benchmark, data and data.absolute(), options)
        self._opened: tuple[list[System], Benchmark, dict[str, Any]] | None = None

    def do(self, item: int, prepared: Any, report: Progress, share: Share = ALONE) -> Made:
        self._opened = self._opened or self._open()
        systems, benchmark, _ = self._opened
        return make(systems, benchmark.clip(item))


def _made_by(run: Runner, work: Work, names: Sequence[str]) -> Iterator[tuple[str, Made | BunrakuError]]:
    tasks = [Task(name, number) for number, name in enumerate(names)]
    for outcome in in_order(tasks, run(work, tasks, silent)):
        yield outcome.task.name, outcome.result if outcome.error is None else BunrakuError(outcome.error)


def evaluate_clips(
    generated: Path,
    truth: Path,
    folder: Path,
    options: EvaluateOptions = EvaluateOptions(),
    on_progress: Progress | None = None,
) -> tuple[Results, Extremes]:
    """Score clips that exist against true ones of the same names; beside them the first true frame, repeated.

    Args:
        generated, truth: folders of videos or of frame folders, or one clip each.
        folder: where the report will go, see `evaluate_model`.

    Raises:
        BunrakuError: unusable folders or options; or no clip could be scored.
    """
    scorer = _scorer(options)
    clips = PairBenchmark(
        generated, truth, on_mismatch=options.on_mismatch, skip_first=options.skip_first, detector=options.pose,
        device=options.device, clips=options.clips,
    )  # fmt: skip
    _check(folder)
    systems: list[System] = [Recorded(clips, generated.resolve().name)]
    if options.baselines:
        systems.append(Copy())
    try:
        results, extremes = evaluate(systems, clips, scorer, command=options.command, on_progress=on_progress)
    finally:
        scorer.close()
    results.failed |= clips.unpaired
    return results, extremes


def _scorer(options: EvaluateOptions) -> Scorer:
    return Scorer(options.metrics, detector=options.pose, window_stride=options.window_stride, device=options.device)


def _pipeline(model: str, options: EvaluateOptions) -> Any:
    from bunraku.weights import load_pipeline

    pipeline = load_pipeline(model, dtype=options.dtype, device=options.device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _check(folder: Path) -> None:
    """Raise BunrakuError where the folder, which may be new with its parents, cannot be made or written into."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_file():
        raise BunrakuError(f"{there} is a file; give a folder for the report (--output)")
    check_output(there / "report.json")
