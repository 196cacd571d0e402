"""Means over clips as a table: what a page and a terminal both show, and the terminal's form of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from bunraku.evaluation.bootstrap import Estimate
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.report.figures import Scale, scale, superscript
from bunraku.evaluation.results import ARROWS, Results


@dataclass(frozen=True)
class Column:
    """One metric of all systems.

    Attributes:
        name, metric: which.
        found: system -> mean and interval; None where there is none.
        scale: how the numbers are written.
        best: systems with the best mean; those made from the truth (role "ceiling") are not ranked, nor is one that stands alone.
    """

    name: str
    metric: Metric
    found: Mapping[str, Estimate | None]
    scale: Scale
    best: frozenset[str]

    @property
    def unit(self) -> str:
        return self.scale.unit(self.metric.unit)

    def interval(self, system: str) -> str:
        """The ends, or nothing where there are none or they say no more than the mean."""
        value = self.found[system]
        if value is None or value.low is None or value.high is None or value.low == value.high:
            return ""
        low, high = self.scale.text(value.low), self.scale.text(value.high)
        return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"

    def why_nobody(self, results: Results) -> str:
        """Why no system at all has the metric; empty if one has."""
        if any(value is not None for value in self.found.values()):
            return ""
        return "; ".join(dict.fromkeys(results.reason(system, self.name) for system in self.found))


def column(results: Results, name: str, clips: Sequence[str] | None = None, like: Scale | None = None) -> Column:
    """A metric over all clips, or over some; written as `like` says, or as its numbers need."""
    metric = results.metrics[name]
    found = {system: results.summary(system, name, clips) for system in results.systems}
    means = {system: value.mean for system, value in found.items() if value is not None}
    competing = {system: mean for system, mean in means.items() if results.systems[system].role != "ceiling"}
    best: frozenset[str] = frozenset()
    if metric.better != "neither" and len(competing) > 1:
        leader = (max if metric.better == "higher" else min)(competing.values())
        best = frozenset(system for system, mean in competing.items() if mean == leader)
    return Column(name, metric, found, like or scale(means.values(), metric.unit), best)


def score_table(results: Results) -> Table:
    """All metrics for the terminal: a row per metric, a column per system, the best in bold, 95 % intervals below."""
    footnotes: dict[str, int] = {}
    size = f", {results.size[1]}x{results.size[0]}" if results.size else ""
    made = Table(title=escape(f"{results.benchmark}{size}, {counted(len(results.clips), 'clip')}"))
    made.add_column("")
    for system in results.systems:
        made.add_column(escape(system), justify="right")
    for names in grouped(results).values():
        for found in (column(results, name) for name in names):
            cells = []
            for system, value in found.found.items():
                if value is None:
                    number = footnotes.setdefault(results.reason(system, found.name), len(footnotes) + 1)
                    cells.append(f"[dim]–{superscript(number)}[/]")
                    continue
                mean, interval = found.scale.text(value.mean), found.interval(system)
                mean = f"[bold]{mean}[/]" if system in found.best else mean
                cells.append(f"{mean}\n[dim]{interval}[/]" if interval else mean)
            head = escape(f"{found.metric.label} {ARROWS[found.metric.better]}".strip())
            made.add_row(f"{head} [dim]{found.unit}[/]" if found.unit else head, *cells)
        made.add_section()
    made.caption = escape("\n".join(f"{superscript(number)} {reason}" for reason, number in footnotes.items()))
    made.caption_justify = "left"
    return made


def grouped(results: Results) -> dict[str, list[str]]:
    """Group -> names of its metrics, in the order of the results."""
    grouped: dict[str, list[str]] = {}
    for name, metric in results.metrics.items():
        grouped.setdefault(metric.group, []).append(name)
    return grouped


def counted(number: int, what: str) -> str:
    """ "1 clip", "2 clips"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
