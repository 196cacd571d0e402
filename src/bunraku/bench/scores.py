"""The scores of one split: every system by itself, kept in a file of its own, and all of them together in a report."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bunraku.bench.experiment import COMPOSITE, Experiment, Variant, file_name
from bunraku.errors import BunrakuError
from bunraku.evaluation import report
from bunraku.evaluation import systems as evaluated
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.extremes import Extremes, Panels
from bunraku.evaluation.results import Results
from bunraku.evaluation.runner import evaluate, panels_of, ranking
from bunraku.evaluation.scoring import POSE_METRICS, Scorer
from bunraku.evaluation.theatre_benchmark import TheatreBenchmark
from bunraku.media import plain_write_errors, replacing
from bunraku.perception.detector import DetectorName
from bunraku.progress import Progress
from bunraku.training.config import completed


def asked_of(
    experiment: Experiment,
    split: str,
    made_of: Mapping[str, Mapping[str, Any]],
    clips: int | None,
    detector: DetectorName | None,
) -> dict[str, dict[str, Any]]:
    """Everything that the scores of each system on a split depend on, baselines included, JSON values by system.

    Args:
        made_of: what the model of each run depends on, see `run.records`.
    """
    benchmark = TheatreBenchmark(split, clips=clips)
    common = {
        "clips": len(benchmark.names),
        "detector": detector,
        "metrics": [name for name in experiment.metrics if detector or name not in POSE_METRICS],
    }
    variants = {n: v for system in experiment.benchmarks[split] for n, v in experiment.repetitions(system).items()}
    asked = {name: common | _settings(variant, made_of) for name, variant in variants.items()}
    if benchmark.in_scene:
        asked[COMPOSITE] = common | _settings(pasted(experiment, split), made_of)
    for name in experiment.baselines:
        asked[name] = common | ({"model": made_of[_oldest(experiment)]} if name == "codec" else {})
    return json.loads(json.dumps(asked))


def pasted(experiment: Experiment, split: str) -> Variant:
    """The system of the composite."""
    return experiment.systems[experiment.composite or experiment.benchmarks[split][0]]


def _settings(variant: Variant, made_of: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    about = {"training": variant.training, "retarget": variant.retarget, **variant.settings}
    return {"system": about, "model": made_of[variant.training]}


def _oldest(experiment: Experiment) -> str:
    """The training whose autoencoder is the ceiling: the first, from which the others have it."""
    return next(iter(experiment.runs))


@dataclass(frozen=True)
class Scores:
    """What is known of a split in the folder of an experiment.

    Args:
        asked: of `asked_of`.
    """

    experiment: Experiment
    split: str
    folder: Path
    asked: Mapping[str, Mapping[str, Any]]

    def check(self) -> None:
        """Raise BunrakuError where scores of other settings lie."""
        for name, settings in self.asked.items():
            path = self._path(name)
            if path.is_file() and (told := differences(Results.load(path).settings, settings)):
                raise BunrakuError(
                    f"{path} was made with other settings than are asked for now ({told}); choose another folder with --output, or say "
                    "with --overwrite that it may be replaced (the trainings stay)"
                )

    def update(self, wanted: Collection[str], device: str | None, on_progress: Progress | None) -> Results | None:
        """Score the wanted systems whose models are there, and the baselines, as far as that has not been done; the report of all that
        have scores. None: nobody has any."""
        names = {name for system in wanted for name in self.experiment.by_seed(system).values()}
        for name in self.asked:
            # baselines come last, and not before there is something to stand beside
            due = name in names if name in self._variants else any(map(self._known, self._variants))
            if due and not self._known(name) and self._ready(name):
                self._score(name, device, on_progress)
        known = [name for name in self.asked if self._known(name)]
        if not any(name in self._variants for name in known):
            return None
        results = together([Results.load(self._path(name)) for name in known])
        results.settings = {name: dict(self.asked[name]) for name in known}
        results.save(self._here / "report.json")
        report.write_html(results, self._here / "report.html", self._films(results, device))
        return results

    @property
    def _here(self) -> Path:
        return self.folder / self.split

    def _path(self, name: str) -> Path:
        return self._here / "systems" / f"{file_name(name)}.json"

    def _films_of(self, name: str) -> Path:
        return self._path(name).with_suffix(".npz")

    @cached_property
    def _benchmark(self) -> TheatreBenchmark:
        return TheatreBenchmark(self.split, clips=next(iter(self.asked.values()))["clips"])

    @cached_property
    def _variants(self) -> dict[str, Variant]:
        systems = self.experiment.benchmarks[self.split]
        return {name: one for system in systems for name, one in self.experiment.repetitions(system).items()}

    def _known(self, name: str) -> bool:
        path = self._path(name)
        return path.is_file() and not differences(Results.load(path).settings, self.asked[name])

    def _model(self, name: str) -> Path | None:
        """The folder of the model that a system or baseline needs."""
        if name in self._variants or name == COMPOSITE:
            variant = self._variants.get(name) or pasted(self.experiment, self.split)
            return self.folder / "training" / variant.training / "model"
        return self.folder / "training" / _oldest(self.experiment) / "model" if name == "codec" else None

    def _ready(self, name: str) -> bool:
        model = self._model(name)
        return model is None or model.is_dir()

    def _opened(self, name: str, device: str | None) -> evaluated.System:
        """The system or baseline of that name, ready to animate."""
        if name == "copy":
            return evaluated.Copy()
        if name == "puppet-warp":
            return evaluated.Warp()
        from bunraku.weights import load_pipeline

        pipeline = load_pipeline(str(self._model(name)), device=device)
        pipeline.set_progress_bar_config(disable=True)
        if name == "codec":
            return evaluated.Codec(pipeline, "the base")
        variant = self._variants.get(name) or pasted(self.experiment, self.split)
        called = name if name != COMPOSITE else self.experiment.composite or self.experiment.benchmarks[self.split][0]
        system = evaluated.PipelineSystem(pipeline, called, settings=variant.settings, retargeting=variant.retarget)
        system.description = variant.description
        return evaluated.Composite(system) if name == COMPOSITE else system

    def _score(self, name: str, device: str | None, on_progress: Progress | None) -> None:
        settings = dict(self.asked[name])
        system, path = _Filmed(self._opened(name, device), self._shown()), self._path(name)
        scorer = Scorer(settings["metrics"], detector=settings["detector"], device=device)

        def report_progress(what: str, done: int, total: int) -> None:
            if on_progress:
                on_progress(f"{self.split}, {name}: {what}", done, total)

        try:
            results, _ = evaluate([system], self._benchmark, scorer, settings=settings, on_progress=report_progress)
        finally:
            scorer.close()
        with plain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        results.save(path)
        kept = {_key(clip): system.kept[clip] for clip in self._shown() if clip in system.kept}
        with replacing(self._films_of(name)) as temporary, temporary.open("wb") as file:
            np.savez(file, **kept)  # type: ignore[arg-type]

    def _shown(self) -> list[str]:
        """The clips of which the report shows films: the worst and the best of the first system that has scores; none: not known yet."""
        first = next((name for name in self._variants if self._known(name)), None)
        if first is None:
            return list(self._benchmark.names)
        extremes = _ranked(Results.load(self._path(first)), first, lambda clip: {})
        return list(dict.fromkeys(shown.clip for shown in (*extremes.worst(), *extremes.best())))

    def _films(self, results: Results, device: str | None) -> Extremes:
        """The films; frames that were not kept are made again."""
        shown = self._shown()
        clips = {name: self._benchmark.clip(list(self._benchmark.names).index(name)) for name in shown}
        frames: dict[str, dict[str, np.ndarray]] = {name: {} for name in shown}
        for system in results.systems:
            there: dict[str, np.ndarray] = {}
            if (path := self._films_of(system)).is_file():
                with np.load(path) as file:
                    there = {name: file[_key(name)] for name in shown if _key(name) in file}
            opened = None
            for name, clip in clips.items():
                if name not in there:
                    opened = opened or self._opened(system, device)
                    there[name] = np.asarray(opened(clip))
                frames[name][system] = there[name]
        first = next(name for name in self._variants if name in results.systems)
        return _ranked(results, first, lambda clip: panels_of(clips[clip], frames[clip]), shown, clips)


class _Filmed:
    """A system whose frames of some clips are kept."""

    def __init__(self, system: evaluated.System, clips: Collection[str]) -> None:
        self._system, self._clips = system, clips
        self.name, self.role, self.description = system.name, system.role, system.description
        self.kept: dict[str, np.ndarray] = {}

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        frames = self._system(clip)
        if clip.name in self._clips:
            self.kept[clip.name] = np.asarray(frames)
        return frames


def _ranked(
    results: Results,
    system: str,
    panels: Callable[[str], Panels],
    clips: Iterable[str] | None = None,
    opened: Mapping[str, BenchmarkClip] | None = None,
) -> Extremes:
    """The worst and best clips of a system, with what is shown of them."""
    extremes = Extremes()
    for clip in results.systems[system].clips if clips is None else clips:
        scores = {name: value for name, value in results.systems[system].clips[clip].items() if value is not None}
        if extremes.metric is None and (metric := ranking(scores)):
            extremes.rank_by(metric, results.metrics[metric].better)
        fps = {} if opened is None else {"fps": opened[clip].fps}
        extremes.offer(clip, scores.get(extremes.metric or ""), lambda clip=clip: panels(clip), **fps)  # type: ignore[misc]
    return extremes


def _key(clip: str) -> str:
    """A clip's name as arrays of a file are called."""
    return clip.replace("/", "-")


def together(parts: Collection[Results]) -> Results:
    """The results of several systems on the same clips as one."""
    whole, *others = parts
    for other in others:
        whole.systems |= other.systems
        whole.metrics |= other.metrics
        whole.failed |= other.failed
        whole.tags |= other.tags
        total = whole.seconds["all"] + other.seconds["all"]
        whole.seconds |= other.seconds | {"all": round(total, 2)}
    return whole


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What differs, in words; nothing if nothing does."""
    there = completed(there, asked)
    keys = [key for key in dict.fromkeys([*there, *asked]) if there.get(key) != asked.get(key)]
    return "; ".join(f"{key} was {json.dumps(there.get(key))}, now {json.dumps(asked.get(key))}" for key in keys)
