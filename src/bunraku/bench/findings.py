"""Claims against scores: the paired difference of two systems, its interval, and whether it is what the paper expects."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from bunraku.bench.experiment import Claim, Expected, Experiment
from bunraku.evaluation.compare import Comparison, Difference, compare
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.report.figures import Scale, scale
from bunraku.evaluation.results import ARROWS, Results

Verdict = Literal["seen", "contrary", "open", ""]


@dataclass(frozen=True)
class Finding:
    """One metric of one claim.

    Attributes:
        claim: the sentence.
        difference: second minus first, over the clips.
        metric: how the number is to be read.
        expected: what the paper expects of the second.
        verdict: "seen" or "contrary" where the interval of the difference excludes 0, "open" where it does not; empty where
            the paper expects nothing.
    """

    claim: Claim
    difference: Difference
    metric: Metric
    expected: Expected
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        about = {"claim": self.claim.text, "benchmark": self.claim.benchmark, "source": self.claim.source}
        systems = {"first": self.claim.first, "second": self.claim.second}
        values = asdict(self.difference)
        scores = {"score_first": values.pop("first"), "score_second": values.pop("second")}
        return about | systems | values | scores | {"expected": self.expected, "finding": self.verdict}

    def cells(self) -> list[str]:
        """Metric, both scores, the difference with its interval, what is expected, what was seen."""
        d, unit = self.difference, self.metric.unit
        whole = scale([d.first, d.second], unit)
        part = scale((value for value in (d.difference, d.low, d.high) if value is not None), unit)
        interval = "" if d.low is None or d.high is None else f" ({_signed(part, d.low)} to {_signed(part, d.high)})"
        return [
            f"{self.metric.label} {ARROWS[self.metric.better]}".strip(),
            f"{whole.text(d.first)} {whole.unit(unit)}".strip(),
            f"{whole.text(d.second)} {whole.unit(unit)}".strip(),
            f"{_signed(part, d.difference)}{interval} {part.unit(unit)}".strip(),
            self.expected or "–",
            self.verdict or "measured",
        ]


HEADS = ("score", "first", "second", "difference (95 %)", "expected", "finding")


def find(experiment: Experiment, results: Mapping[str, Results]) -> list[Finding]:
    """Every metric of every claim that was measured."""
    findings = []
    for claim in experiment.claims:
        scores = results[claim.benchmark]
        compared: Comparison = compare(scores, scores, systems=(claim.first, claim.second))
        rows = {row.metric: row for row in compared.rows}
        for name, expected in claim.expected.items():
            if name in rows:
                verdict = _verdict(rows[name], expected)
                findings.append(Finding(claim, rows[name], compared.metrics[name], expected, verdict))
    return findings


def tables(findings: list[Finding]) -> Group:
    """For the terminal: a table per claim, in the order of the claims."""
    made = []
    for claim in {id(finding.claim): finding.claim for finding in findings}.values():
        title = escape(f"{claim.benchmark}: {claim.first} → {claim.second}: {claim.text}")
        made.append(Table(*HEADS, title=title, title_justify="left"))
        for finding in findings:
            if finding.claim is claim:
                made[-1].add_row(*finding.cells())
    return Group(*made)


def markdown(experiment: Experiment, results: Mapping[str, Results], findings: list[Finding]) -> str:
    """The whole experiment as a page: scores of all systems, then the claims."""
    parts = [f"# {experiment.paper}: claims at mini scale\n"]
    for split, scores in results.items():
        size = f", {scores.size[1]}x{scores.size[0]}" if scores.size else ""
        parts.append(f"## Scores on {scores.benchmark}{size}, {len(scores.clips)} clips\n\n{_scores(split, scores)}")
    parts.append(
        "## Claims\n\nDifferences are second minus first over the same clips, with 95 % BCa bootstrap intervals.\n"
    )
    for claim in experiment.claims:
        rows = [finding for finding in findings if finding.claim is claim]
        if rows:
            source = f" Paper: {claim.source}." if claim.source else ""
            body = _markdown_table(HEADS, [finding.cells() for finding in rows])
            parts.append(f"**{_title(claim)}**.{source}\n\n{body}")
    return "\n".join(parts)


def _scores(split: str, results: Results) -> str:
    metrics = [name for name in results.metrics if results.per_clip(name)]
    rows = []
    scales: dict[str, Scale] = {}
    for name in metrics:
        found = [results.summary(system, name) for system in results.systems]
        scales[name] = scale((value.mean for value in found if value is not None), results.metrics[name].unit)
    for system in results.systems:
        row = [system]
        for name in metrics:
            value = results.summary(system, name)
            row.append("–" if value is None else scales[name].text(value.mean))
            if value is not None and value.low is not None and value.high is not None:
                row[-1] += f" ({scales[name].text(value.low)}–{scales[name].text(value.high)})"
        row.append(f"{results.seconds[system]:.0f}")
        rows.append(row)
    heads = [f"{results.metrics[n].label} {scales[n].unit(results.metrics[n].unit)}".strip() for n in metrics]
    return _markdown_table([split, *heads, "seconds"], rows)


def _markdown_table(heads: Any, rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _title(claim: Claim) -> str:
    return f"{claim.benchmark}, `{claim.first}` to `{claim.second}`: {claim.text}"


def _signed(how: Scale, value: float) -> str:
    return how.text(value, sign=True)


def _verdict(row: Difference, expected: Expected) -> Verdict:
    if expected is None:
        return ""
    if row.verdict in ("open", "differs"):
        return "open"
    return "seen" if (row.verdict == "second") == (expected == "better") else "contrary"
