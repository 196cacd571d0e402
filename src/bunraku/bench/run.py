"""Running an experiment in a folder: what is there already, and was made with the same settings, is not done again.

FOLDER/training/NAME/model          what each training made
FOLDER/training/NAME/bench.json     from what it is made: its own settings, and those of the training that it starts from
FOLDER/SPLIT/systems/NAME.json      scores of one system on a split
FOLDER/SPLIT/report.json            scores of all systems on it; report.html beside it, with films of all systems
FOLDER/findings.json                the claims with their differences and intervals; findings.md beside it
"""

import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bunraku.bench.experiment import SHIPPED, Experiment
from bunraku.bench.findings import Finding, find, markdown
from bunraku.bench.scores import Scores, asked_of, differences
from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.media import plain_write_errors, replacing
from bunraku.perception.detector import DetectorName
from bunraku.progress import Progress
from bunraku.training.checkpoints import newest_step
from bunraku.training.config import training_config

logger = logging.getLogger(__name__)

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
    only: Collection[str] = (),
    budget: int | None = None,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> list[Finding]:
    """Train, evaluate and compare; a run that was interrupted goes on where it stopped.

    Trainings and scores that are there are used if they were made with the same settings, else the run is refused before any work:
    they may have taken hours.

    Args:
        experiment: what is done.
        folder: of everything that comes out.
        clips: of each split, the first so many; None: all.
        processes: that each training runs in; the batch is that of one times their number. None: see `default_processes`.
        detector: finds the poses of generated frames again; None: pose errors are left out.
        device: of the models in evaluation.
        settings: of every training, such as {"steps": 10} to try the whole out.
        only: systems, and what they start from, to be trained and scored now; none: all. Claims about others wait.
        budget: optimiser steps that are trained at most, over all trainings; what they do not finish goes on in the next run, and is
            not scored in this. None: no limit.
        overwrite: whether scores of other settings are made anew; trainings never are.
        on_progress: called after every clip.

    Returns:
        what was found for the claims whose systems have scores by now.

    Raises:
        BunrakuError: more processes than GPUs, a system that there is not, the folder holds trainings or scores of other settings, a
            training failed, or see `evaluate`.
    """
    processes = processes or default_processes()
    if 0 < (gpus := gpu_count()) < processes:
        raise BunrakuError(f"{processes} processes need as many GPUs, and there are {gpus}: give --processes {gpus}")
    if unknown := sorted(set(only) - set(experiment.systems)):
        raise BunrakuError(
            f"there is no system {', '.join(unknown)} (--only); there are {', '.join(experiment.systems)}"
        )
    made_of = records(experiment, processes, settings)
    for name, record in made_of.items():
        _check_record(folder / "training" / name, name, record)
    splits = {}
    for split in experiment.benchmarks:
        splits[split] = Scores(experiment, split, folder, asked_of(experiment, split, made_of, clips, detector))
        if not overwrite:
            splits[split].check()
    with plain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in experiment.systems if not only or name in only]
    _train_all(experiment, folder, wanted, made_of, processes, settings, budget)
    results = {}
    for split, scores in splits.items():
        if (found := scores.update(wanted, device, on_progress)) is not None:
            results[split] = found
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
    for name, training in experiment.runs.items():
        start = []
        if training.init is not None:
            init = training.init if training.init in SHIPPED else folder / "training" / training.init / "model"
            start = ["--init", str(init)]
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
    for name, training in experiment.runs.items():
        chosen = {**training.settings, **(settings or {})}
        config = asdict(training_config(training.recipe, training.size, training.stage, Path(), chosen))
        own = {key: value for key, value in config.items() if key not in WITHOUT_EFFECT} | {"processes": processes}
        from_which = {"start": training.init} if training.init in SHIPPED else {}
        start = {f"{training.init}.{key}": value for key, value in made.get(training.init or "", {}).items()}
        made[name] = _plain(own | from_which | start)
    return made


def _train_all(
    experiment: Experiment,
    folder: Path,
    systems: Collection[str],
    made_of: Mapping[str, Mapping[str, Any]],
    processes: int,
    settings: Mapping[str, Any] | None,
    budget: int | None,
) -> None:
    """Every training that the systems need and whose model is not there, as far as the budget goes."""
    needed = {
        name
        for system in systems
        for variant in experiment.repetitions(system).values()
        for name in experiment.ancestors(variant.training)
    }
    left, unfinished = budget, list[str]()
    for name, command in commands(experiment, folder, processes, settings).items():
        here = folder / "training" / name
        if name not in needed or (here / "model").is_dir():
            continue
        start = experiment.runs[name].init
        if left == 0 or start in unfinished:
            unfinished.append(name)
            continue
        with plain_write_errors(here):
            here.mkdir(parents=True, exist_ok=True)
        _write(here / RECORD, json.dumps(made_of[name], indent=1) + "\n")
        before = newest_step(here)
        steps = int(made_of[name]["steps"]) - before
        if left is None or steps <= left:
            _train(name, command)
        else:
            _train(name, [*command, "--until", str(before + left)])
            steps = left
            unfinished.append(name)
        left = None if left is None else left - steps
    if unfinished:
        logger.warning(
            "the budget of %d steps is used; still to be trained: %s. The same command goes on", budget, ", ".join(unfinished)
        )  # fmt: skip


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
        there = dict(parsed_json((folder / RECORD).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BunrakuError(f"{folder / RECORD} is damaged ({error}); {away}") from error
    if told := differences(there, record):
        raise BunrakuError(f"training {name} was made with other settings than are asked for now ({told}); {away}")


def _setting(name: str, value: Any) -> str:
    """As --set reads it."""
    if isinstance(value, Mapping):
        return f"{name}={json.dumps(value)}"
    return f"{name}=[{','.join(map(str, value))}]" if isinstance(value, tuple | list) else f"{name}={value}"


def _train(name: str, command: list[str]) -> None:
    # on a CPU, several single-threaded processes beat one with many threads
    environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"} | dict(os.environ)
    done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise BunrakuError(f"training {name} failed (exit code {done.returncode}): {shlex.join(command)}")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
