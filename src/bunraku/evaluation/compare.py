"""Two evaluations against each other: paired differences over the clips that both scored, with bootstrap intervals."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from rich.markup import escape
from rich.table import Table

from bunraku.errors import BunrakuError, listed
from bunraku.evaluation.bootstrap import RESAMPLES, SEED, estimate
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.report.figures import scale
from bunraku.evaluation.results import ARROWS, Results

Verdict = Literal["first", "second", "differs", "open"]

SAME = 1e-6
"""Relative difference up to which two runs' scores of one baseline count as the same."""


@dataclass(frozen=True)
class Difference:
    """The second run minus the first, by one metric.

    Attributes:
        metric: name.
        first, second: means over the common clips, or the scores of the whole set.
        difference: mean of the differences, clip by clip.
        low, high: 95 % bootstrap interval of the difference; None for scores of whole sets and for a single clip.
        clips: how many pairs; 0 for scores of whole sets.
        verdict: which run is better where the interval excludes 0; "open" where it does not, or where there is none.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    clips: int
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        benchmark, size: of both runs.
        names: what the runs are called.
        systems: which system of each was compared.
        metrics: of the rows.
        rows: one per metric that both have.
        unpaired: clips that only one of them has scored, by run: {"first": [...], "second": [...]}.
        notes: what else a reader should know.
    """

    benchmark: str
    size: tuple[int, int] | None
    names: tuple[str, str]
    systems: tuple[str, str]
    metrics: dict[str, Metric]
    rows: list[Difference]
    unpaired: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        return {"schema": 1, "resamples": RESAMPLES, "seed": SEED, **asdict(self)}

    def table(self) -> Table:
        """For the terminal: ▲ and ▼ mark where the second is better or worse and the interval excludes 0."""
        title = escape(f"{self.benchmark}: {self.names[1]} minus {self.names[0]}")
        table = Table(title=title, caption=escape("\n".join(self._captions())), caption_justify="left")
        table.add_column("")
        for column in (*self.names, "difference", "95 % interval", "", "clips"):
            table.add_column(escape(column), justify="right")
        for row in self.rows:
            metric = self.metrics[row.metric]
            whole = scale([row.first, row.second], metric.unit)
            part = scale(value for value in (row.difference, row.low, row.high) if value is not None)
            ends = "" if row.low is None or row.high is None else " … ".join(
                part.text(end, sign=True) for end in (row.low, row.high)
            )  # fmt: skip
            table.add_row(
                escape(f"{metric.label} {ARROWS[metric.better]} {metric.unit}".strip()),
                *(f"{whole.text(value)} {whole.unit()}".strip() for value in (row.first, row.second)),
                f"{part.text(row.difference, sign=True)} {part.unit()}".strip(),
                f"{ends} {part.unit() if ends else ''}".strip(),
                _MARKS[row.verdict],
                str(row.clips or "set"),
            )
        return table

    def _captions(self) -> list[str]:
        lines = ["▲ better, ▼ worse, ◆ differs: the interval excludes 0", *self.notes]
        for name, clips in zip(self.names, self.unpaired.values(), strict=True):
            if clips:
                lines.append(f"only in {name}, not compared: {listed(clips)}")
        return lines


_MARKS = {"second": "[green]▲[/]", "first": "[red]▼[/]", "differs": "◆", "open": ""}


def compare(
    first: Results,
    second: Results,
    *,
    systems: tuple[str | None, str | None] = (None, None),
    names: tuple[str, str] = ("first", "second"),
) -> Comparison:
    """The second run minus the first, over the clips that both have scored.

    Args:
        first, second: of the same benchmark, size and protocol.
        systems: which system of each; None takes the first that is no baseline.
        names: what messages and tables call the runs.

    Raises:
        BunrakuError: the runs are not comparable (says why), have no clip in common, or lack the system.
    """
    _check_comparable(first, second, names)
    chosen = (_system(first, systems[0], names[0]), _system(second, systems[1], names[1]))
    one, two = first.systems[chosen[0]], second.systems[chosen[1]]
    common = [clip for clip in one.clips if clip in two.clips]
    if not common:
        raise BunrakuError(
            f"{names[0]} and {names[1]} have no clip in common ({listed(list(one.clips), 3)} against "
            f"{listed(list(two.clips), 3)})"
        )
    metrics = first.metrics | second.metrics
    rows: list[Difference] = []
    notes: list[str] = []
    for name, metric in metrics.items():
        pairs = [(one.clips[clip].get(name), two.clips[clip].get(name)) for clip in common]
        scored = np.array([pair for pair in pairs if None not in pair], np.float64)
        a, b = one.set.get(name), two.set.get(name)
        if len(scored):
            found, means = estimate(scored[:, 1] - scored[:, 0]), scored.mean(0).tolist()
            verdict = _verdict(found.low, found.high, metric)
            rows.append(Difference(name, means[0], means[1], found.mean, found.low, found.high, len(scored), verdict))
        elif a is not None and b is not None:
            rows.append(Difference(name, a, b, b - a, None, None, 0, "open"))
        else:
            lacking = [
                f"{run}: {results.reason(system, name)}"
                for run, system, results in zip(names, chosen, (first, second), strict=True)
                if results.summary(system, name) is None
            ]
            if len(lacking) < 2:
                notes.append(f"{metric.label} is left out ({''.join(lacking) or 'no common clip has it in both'})")
    notes += _different_baselines(first, second, names)
    unpaired = {
        "first": [clip for clip in one.clips if clip not in two.clips],
        "second": [clip for clip in two.clips if clip not in one.clips],
    }
    used = {row.metric: metrics[row.metric] for row in rows}
    return Comparison(first.benchmark, first.size, names, chosen, used, rows, unpaired, notes)


def _check_comparable(first: Results, second: Results, names: tuple[str, str]) -> None:
    """Raises BunrakuError with all that differs."""
    pairs: dict[str, tuple[Any, Any]] = {
        "benchmark": (first.benchmark, second.benchmark),
        "size": (_size(first), _size(second)),
    }
    keys = dict.fromkeys([*first.protocol, *second.protocol])
    pairs |= {f"protocol {key}": (_get(first.protocol, key), _get(second.protocol, key)) for key in keys}
    pairs |= {
        f"definition of {first.metrics[name].label}": (first.metrics[name].definition, second.metrics[name].definition)
        for name in first.metrics
        if name in second.metrics
    }
    if different := [f"{what}: {a} against {b}" for what, (a, b) in pairs.items() if a != b]:
        raise BunrakuError(
            f"{names[0]} and {names[1]} cannot be compared, their scores mean different things ({'; '.join(different)}); "
            "evaluate one of them again like the other"
        )


def _system(results: Results, wanted: str | None, name: str) -> str:
    found = wanted or results.first_model
    if found not in results.systems:
        raise BunrakuError(f"{name} has no system {found!r}; there are {', '.join(results.systems) or 'none'}")
    return str(found)


def _verdict(low: float | None, high: float | None, metric: Metric) -> Verdict:
    if low is None or high is None or low <= 0 <= high:
        return "open"
    if metric.better == "neither":
        return "differs"
    return "second" if (low > 0) == (metric.better == "higher") else "first"


def _different_baselines(first: Results, second: Results, names: tuple[str, str]) -> list[str]:
    """A baseline that both have, and that no setting changes, must score the same: else the clips are not the same."""
    notes = []
    for name, one in first.systems.items():
        two = second.systems.get(name)
        if two is None or one.role != "baseline" or two.role != "baseline":
            continue
        for clip in (clip for clip in one.clips if clip in two.clips):
            scores = [(one.clips[clip].get(metric), two.clips[clip].get(metric)) for metric in first.metrics]
            if any(a is not None and b is not None and abs(a - b) > SAME * max(abs(a), abs(b)) for a, b in scores):
                notes.append(
                    f"warning: the baseline {name} scores differently in {names[0]} and {names[1]} (clip {clip}): the "
                    "clips or the versions that scored them are not the same"
                )
                break
    return notes


def _get(protocol: Mapping[str, Any], key: str) -> Any:
    return protocol.get(key, "not given")


def _size(results: Results) -> str:
    return "various" if results.size is None else f"{results.size[0]}x{results.size[1]}"
