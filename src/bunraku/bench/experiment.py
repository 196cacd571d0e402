"""What an experiment is: trainings that build on each other, systems made of them, and claims about how two systems differ."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bunraku.cues.retarget import Retarget

Expected = Literal["better", "worse"] | None

SHIPPED = ("mini",)
"""Trained models that come with the package, which a training may start from."""


@dataclass(frozen=True)
class Training:
    """One run of `bunraku train`.

    Attributes:
        recipe, size, stage: what is trained.
        init: name of the training whose model it starts from, or of a model out of `SHIPPED`.
        settings: values of `TrainingConfig` that differ from the recipe's.
        seeds: it is run once with each of them; of several, the first is the one that other trainings start from.
    """

    recipe: str
    size: str
    stage: int
    init: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Variant:
    """A trained model with the settings that it animates with; a system of the report.

    Attributes:
        training: whose model.
        settings: fields of `Sampling` that differ from the model's own.
        retarget: how driving poses of other proportions are brought onto the character.
        description: one line for the report.
    """

    training: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    retarget: Retarget = "full"
    description: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, as what `second` does to the scores of `first`.

    Attributes:
        text: the sentence, in our words.
        benchmark: split of the theatre.
        first, second: names of systems or baselines.
        expected: metric -> how the second's score is expected to be; None: the paper says nothing, it is measured.
        source: where the paper says so, with its own numbers.
        least: metric -> by how much the second must be better at least, where any difference is not enough.
    """

    text: str
    benchmark: str
    first: str
    second: str
    expected: Mapping[str, Expected]
    source: str = ""
    least: Mapping[str, float] = field(default_factory=dict)


FEW_STEPS = {"num_inference_steps": 2}
"""Settings of mini's systems: more steps make their pictures no better (docs/speed.md)."""

BASELINES = ("puppet-warp", "copy", "codec")
"""What may stand beside the systems: the classical puppet, the reference repeated, and the truth through the autoencoder."""

COMPOSITE = "composite"
"""Stands beside them in splits with a driver's scene: what one of them makes before a plain ground, pasted into that scene."""


@dataclass(frozen=True)
class Experiment:
    """Everything that is run for one paper.

    Attributes:
        name: as on the command line.
        paper: title, venue, number.
        trainings: in an order in which each comes after the one it starts from.
        systems: by name.
        benchmarks: split of the theatre -> systems that are evaluated on it, in the order of the report.
        claims: what is asked of the scores.
        metrics: that are measured, out of `evaluation.metrics.METRICS`.
        baselines: names out of `BASELINES`, scored on every split.
        composite: the system that is pasted into scenes for the baseline `COMPOSITE`; None: the first of the split.
    """

    name: str
    paper: str
    trainings: Mapping[str, Training]
    systems: Mapping[str, Variant]
    benchmarks: Mapping[str, Sequence[str]]
    claims: Sequence[Claim]
    metrics: Sequence[str]
    baselines: Sequence[str] = ("copy", "codec")
    composite: str | None = None

    def __post_init__(self) -> None:
        known = list(SHIPPED)
        for name, training in self.trainings.items():
            if name in SHIPPED:
                raise ValueError(f"a training cannot be called {name}: a shipped model is")
            if training.init is not None and training.init not in known:
                raise ValueError(f"training {name} starts from {training.init!r}, which does not come before it")
            known.append(name)
        for name, system in self.systems.items():
            if system.training not in self.trainings:
                raise ValueError(f"system {name} has no training {system.training!r}")
        for claim in self.claims:
            measured = (
                *self.benchmarks.get(claim.benchmark, ()),
                *self.baselines,
                *[COMPOSITE] * (claim.benchmark == "stage"),
            )
            if not {claim.first, claim.second} <= set(measured):
                raise ValueError(f"{claim.first} and {claim.second} are not both evaluated on {claim.benchmark}")
            if not set(claim.expected) <= set(self.metrics):
                raise ValueError(f"{claim.text!r} is about metrics that are not measured")
        if len({file_name(name) for name in (*self.systems, *self.baselines)}) < len(self.systems) + len(
            self.baselines
        ):
            raise ValueError("two systems have the same name, or names that differ in signs alone")
        if self.composite is not None and self.composite not in self.systems:
            raise ValueError(f"there is no system {self.composite} for the composite")
        if lost := {name for names in self.benchmarks.values() for name in names} - set(self.systems):
            raise ValueError(f"there is no system {', '.join(sorted(lost))}")

    @property
    def runs(self) -> dict[str, Training]:
        """Every training once with each of its seeds; those of the first seeds keep their names and come first."""
        made = {
            name: {_of(name, one.seeds, seed): self._run(one, seed) for seed in one.seeds}
            for name, one in self.trainings.items()
        }
        return {name: runs[name] for name, runs in made.items()} | {
            n: r for runs in made.values() for n, r in runs.items()
        }

    def _run(self, training: Training, seed: int) -> Training:
        """A training with one seed; it starts from that with the same seed, if there is one, else from the first."""
        start, settings = training.init, dict(training.settings) | ({"seed": seed} if seed else {})
        if start is not None and start in self.trainings:
            seeds = self.trainings[start].seeds
            start = _of(start, seeds, seed if seed in seeds else seeds[0])
        return replace(training, init=start, settings=settings, seeds=(seed,))

    def repetitions(self, system: str) -> dict[str, Variant]:
        """A system once for each seed of its training, by name."""
        variant = self.systems[system]
        seeds = self.trainings[variant.training].seeds
        return {
            _of(system, seeds, seed): replace(variant, training=_of(variant.training, seeds, seed)) for seed in seeds
        }

    def by_seed(self, system: str) -> dict[int, str]:
        """What the repetitions of a system are called, by seed; a baseline has no more than one."""
        seeds = self.trainings[self.systems[system].training].seeds if system in self.systems else (0,)
        return {seed: _of(system, seeds, seed) for seed in seeds}

    def ancestors(self, run: str) -> list[str]:
        """A run and those that it goes back to, in the order in which they are made."""
        runs, found = self.runs, [run]
        while (start := runs[found[0]].init) in runs:
            found.insert(0, start)
        return found


def _of(name: str, seeds: Sequence[int], seed: int) -> str:
    """What the repetition of a training or system with that seed is called."""
    return name if seed == seeds[0] else f"{name}, seed {seed}"


def file_name(name: str) -> str:
    """What the file of a system is called.

    >>> file_name("+ flow, seed 2")
    'flow-seed-2'
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-")
