"""Running an experiment in a folder: what is there already, and was made with the same settings, is not done again.

FOLDER/training/NAME/model        what each training made
FOLDER/training/NAME/bench.json   from what it is made: its own settings, and those of the training that it starts from
FOLDER/SPLIT/report.json          scores of all systems on a split; report.html beside it, with films of all systems
FOLDER/findings.json              the claims with their differences and intervals; findings.md beside it
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bunraku.bench.experiment import Experiment
from bunraku.bench.findings import Finding, find, markdown
from bunraku.errors import BunrakuError
from bunraku.evaluation import report
from bunraku.evaluation import systems as evaluated
from bunraku.evaluation.results import Results
from bunraku.evaluation.runner import evaluate
from bunraku.evaluation.scoring import POSE_METRICS, Scorer
from bunraku.evaluation.theatre_benchmark import TheatreBenchmark
from bunraku.media import plain_write_errors, replacing
from bunraku.perception.detector import DetectorName
from bunraku.progress import Progress
from bunraku.training.config import training_config

RECORD = "bench.json"
WITHOUT_EFFECT = {
    "output", "init", "workers", "keep_checkpoints", "checkpoint_every", "validate_every", "log_every",
}  # fmt: skip
"""Settings of the trainer that do not change the model; of `init`, the settings of that training are compared instead."""


def run(
    experiment: Experiment,
    folder: Path,
    *,
    clips: int | None = None,
    processes: int | None = None,
    detector: DetectorName | None = "auto",
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> list[Finding]:
    """Train, evaluate and compare; a run that was interrupted goes on where it stopped.

    Trainings and reports that are there are used if they were made with the same settings, else the run is refused before any work:
    they may have taken hours.

    Args:
        experiment: what is done.
        folder: of everything that comes out.
        clips: of each split, the first so many; None: all.
        processes: that each training runs in; the batch is that of one times their number. None: see `default_processes`.
        detector: finds the poses of generated frames again; None: pose errors are left out.
        device: of the models in evaluation.
        settings: of every training, such as {"steps": 10} to try the whole out.
        overwrite: whether reports of other settings are written anew; trainings never are.
        on_progress: called after every clip.

    Raises:
        BunrakuError: more processes than GPUs, the folder holds trainings or reports of other settings, a training failed, or see `evaluate`.
    """
    processes = processes or default_processes()
    if 0 < (gpus := gpu_count()) < processes:
        raise BunrakuError(f"{processes} processes need as many GPUs, and there are {gpus}: give --processes {gpus}")
    made_of = records(experiment, processes, settings)
    for name, record in made_of.items():
        _check_record(folder / "training" / name, name, record)
    asked = {split: _asked(experiment, split, made_of, clips, detector) for split in experiment.benchmarks}
    for split, settings_of_report in asked.items():
        if not overwrite:
            _check_report(folder / split / "report.json", settings_of_report)
    with plain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, command in commands(experiment, folder, processes, settings).items():
        here = folder / "training" / name
        if not (here / "model").is_dir():
            with plain_write_errors(here):
                here.mkdir(parents=True, exist_ok=True)
            _write(here / RECORD, json.dumps(made_of[name], indent=1) + "\n")
            _train(name, command)
    results = {}
    for split in experiment.benchmarks:
        results[split] = _evaluated(experiment, split, folder, asked[split], device, on_progress)
    findings = find(experiment, results)
    _write(folder / "findings.json", json.dumps([finding.to_json() for finding in findings], indent=1) + "\n")
    _write(folder / "findings.md", markdown(experiment, results, findings))
    return findings


def default_processes() -> int:
    """One per GPU; without one, two, as a training on a CPU gains little from more."""
    return gpu_count() or 2


def gpu_count() -> int:
    """Of this machine."""
    import torch

    return torch.cuda.device_count()


def commands(
    experiment: Experiment, folder: Path, processes: int, settings: Mapping[str, Any] | None = None
) -> dict[str, list[str]]:
    """The command line of every training, in order."""
    made = {}
    several = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes))
    for name, training in experiment.trainings.items():
        start = [] if training.init is None else ["--init", str(folder / "training" / training.init / "model")]
        made[name] = [
            *(sys.executable, *(several if processes > 1 else ())),
            *("-m", "bunraku", "train", training.recipe, "--size", training.size, "--stage", str(training.stage)),
            *("-o", str(folder / "training" / name), *start),
            *(part for pair in ({**training.settings, **(settings or {})}).items() for part in ("--set", _setting(*pair))),
        ]  # fmt: skip
    return made


def records(
    experiment: Experiment, processes: int, settings: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Everything that the model of each training depends on: setting -> JSON value, those of the training it starts from included.

    Raises:
        BunrakuError: a setting that the trainer refuses.
    """
    made: dict[str, dict[str, Any]] = {}
    for name, training in experiment.trainings.items():
        chosen = {**training.settings, **(settings or {})}
        config = asdict(training_config(training.recipe, training.size, training.stage, Path(), chosen))
        own = {key: value for key, value in config.items() if key not in WITHOUT_EFFECT} | {"processes": processes}
        start = {} if training.init is None else {f"{training.init}.{key}": v for key, v in made[training.init].items()}
        made[name] = _plain(own | start)
    return made


def _plain(value: Any) -> Any:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(value, default=str))


def _check_record(folder: Path, name: str, record: Mapping[str, Any]) -> None:
    """Raises BunrakuError where a training of other settings, or of unknown ones, lies in its folder."""
    if not folder.exists():
        return
    away = f"choose another folder with --output, or delete {folder}"
    if not (folder / RECORD).is_file():
        raise BunrakuError(f"{folder} holds a training, but no {RECORD} that says of which settings; {away}")
    try:
        there = dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BunrakuError(f"{folder / RECORD} is damaged ({error}); {away}") from error
    if told := _differences(there, record):
        raise BunrakuError(f"training {name} was made with other settings than are asked for now ({told}); {away}")


def _check_report(path: Path, asked: Mapping[str, Any]) -> None:
    """Raises BunrakuError where a report of other settings lies."""
    if path.is_file() and (told := _differences(Results.load(path).settings, asked)):
        raise BunrakuError(
            f"{path} was made with other settings than are asked for now ({told}); choose another folder with --output, or say with "
            "--overwrite that it may be replaced (the trainings stay)"
        )


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What differs, in words; nothing if nothing does."""
    keys = [key for key in dict.fromkeys([*there, *asked]) if there.get(key, key) != asked.get(key, key)]
    return "; ".join(f"{key} was {json.dumps(there.get(key))}, now {json.dumps(asked.get(key))}" for key in keys)


def _setting(name: str, value: Any) -> str:
    return f"{name}=[{','.join(map(str, value))}]" if isinstance(value, tuple | list) else f"{name}={value}"


def _train(name: str, command: list[str]) -> None:
    # on a CPU, several single-threaded processes beat one with many threads
    environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"} | dict(os.environ)
    done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise BunrakuError(f"training {name} failed (exit code {done.returncode}): {shlex.join(command)}")


def _asked(
    experiment: Experiment, split: str, made_of: Mapping[str, Any], clips: int | None, detector: DetectorName | None
) -> dict[str, Any]:
    """Everything that the scores of a split depend on, JSON values."""
    chosen = {name: experiment.systems[name] for name in experiment.benchmarks[split]}
    return _plain({
        "clips": len(TheatreBenchmark(split, clips=clips).names),
        "detector": detector,
        "metrics": [name for name in experiment.metrics if detector or name not in POSE_METRICS],
        "systems": {n: {"training": s.training, "retarget": s.retarget, **s.settings} for n, s in chosen.items()},
        "trainings": {name: made_of[name] for name in dict.fromkeys(system.training for system in chosen.values())},
    })  # fmt: skip


def _evaluated(
    experiment: Experiment,
    split: str,
    folder: Path,
    asked: dict[str, Any],
    device: str | None,
    on_progress: Progress | None,
) -> Results:
    """Scores of a split: those that are there, if they depend on the same."""
    path = folder / split / "report.json"
    if path.is_file() and (there := Results.load(path)).settings == asked:
        return there

    from bunraku.weights import load_pipeline

    benchmark = TheatreBenchmark(split, clips=asked["clips"])
    chosen = {name: experiment.systems[name] for name in experiment.benchmarks[split]}
    pipelines = {}
    for training in dict.fromkeys(system.training for system in chosen.values()):
        pipelines[training] = load_pipeline(str(folder / "training" / training / "model"), device=device)
        pipelines[training].set_progress_bar_config(disable=True)
    systems: list[evaluated.System] = []
    for name, system in chosen.items():
        model = evaluated.PipelineSystem(
            pipelines[system.training], name, settings=system.settings, retargeting=system.retarget
        )
        model.description = system.description
        systems.append(model)
    systems += [evaluated.Composite(systems[0])] if benchmark.in_scene else []
    systems += [evaluated.Copy(), evaluated.Codec(next(iter(pipelines.values())), "the base")]
    scorer = Scorer(asked["metrics"], detector=asked["detector"], device=device)
    try:
        results, extremes = evaluate(systems, benchmark, scorer, settings=asked, on_progress=on_progress)
    finally:
        scorer.close()
    path.parent.mkdir(exist_ok=True)
    results.save(path)
    report.write_html(results, path.with_suffix(".html"), extremes)
    return results


def _write(path: Path, text: str) -> None:
    with plain_write_errors(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
