"""What an experiment is: trainings that build on each other, systems made of them, and claims about how two systems differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bunraku.cues.retarget import Retarget

Expected = Literal["better", "worse"] | None


@dataclass(frozen=True)
class Training:
    """One run of `bunraku train`.

    Attributes:
        recipe, size, stage: what is trained.
        init: name of the training whose model it starts from.
        settings: values of `TrainingConfig` that differ from the recipe's.
    """

    recipe: str
    size: str
    stage: int
    init: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


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
        first, second: names of systems.
        expected: metric -> how the second's score is expected to be; None: the paper says nothing, it is measured.
        source: where the paper says so, with its own numbers.
    """

    text: str
    benchmark: str
    first: str
    second: str
    expected: Mapping[str, Expected]
    source: str = ""


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
    """

    name: str
    paper: str
    trainings: Mapping[str, Training]
    systems: Mapping[str, Variant]
    benchmarks: Mapping[str, Sequence[str]]
    claims: Sequence[Claim]
    metrics: Sequence[str]

    def __post_init__(self) -> None:
        known: list[str] = []
        for name, training in self.trainings.items():
            if training.init is not None and training.init not in known:
                raise ValueError(f"training {name} starts from {training.init!r}, which does not come before it")
            known.append(name)
        for name, system in self.systems.items():
            if system.training not in self.trainings:
                raise ValueError(f"system {name} has no training {system.training!r}")
        for claim in self.claims:
            measured = self.benchmarks.get(claim.benchmark, ())
            if not {claim.first, claim.second} <= set(measured):
                raise ValueError(f"{claim.first} and {claim.second} are not both evaluated on {claim.benchmark}")
            if not set(claim.expected) <= set(self.metrics):
                raise ValueError(f"{claim.text!r} is about metrics that are not measured")
        if lost := {name for names in self.benchmarks.values() for name in names} - set(self.systems):
            raise ValueError(f"there is no system {', '.join(sorted(lost))}")
