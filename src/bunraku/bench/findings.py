"""Claims against scores: the paired difference of two systems, its interval, and whether it is what the paper expects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from bunraku.bench.experiment import Claim, Expected, Experiment
from bunraku.evaluation.compare import Difference, compare
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.report.figures import Scale, scale
from bunraku.evaluation.results import ARROWS, Results, SystemScores

Verdict = Literal["seen", "tiny", "contrary", "open", ""]

TINY = 0.005
"""Differences below this share of the first's score are not seen, however certain they are: 0.1 dB of 20."""


@dataclass(frozen=True)
class Finding:
    """One metric of one claim.

    Attributes:
        claim: the sentence.
        difference: second minus first, over the clips.
        metric: how the number is to be read.
        expected: what the paper expects of the second.
        verdict: "seen" or "contrary" where the interval of the difference excludes 0 and every seed shows the same sign, "tiny" where it
            does and the difference is below `TINY`, "open" where it does not; empty where the paper expects nothing. Where the claim says by how much at least, "seen" needs the interval beyond it,
            and "contrary" is one that ends before it.
        seeds: the difference of each seed, where there are several.
    """

    claim: Claim
    difference: Difference
    metric: Metric
    expected: Expected
    verdict: Verdict
    seeds: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        about = {"claim": self.claim.text, "benchmark": self.claim.benchmark, "source": self.claim.source}
        systems = {"first": self.claim.first, "second": self.claim.second}
        values = asdict(self.difference)
        scores = {"score_first": values.pop("first"), "score_second": values.pop("second")}
        told = {
            "expected": self.expected,
            "least": self.claim.least.get(self.difference.metric),
            "finding": self.verdict,
        }
        return about | systems | values | scores | told | {"seeds": list(self.seeds)}

    def cells(self) -> list[str]:
        """Metric, both scores, the difference with its interval, what is expected, what was seen."""
        d, unit = self.difference, self.metric.unit
        whole = scale([d.first, d.second], unit)
        part = scale((value for value in (d.difference, d.low, d.high) if value is not None), unit)
        least = self.claim.least.get(d.metric)
        wanted = "" if least is None else f" by {least:g} {unit}".rstrip()
        each = ", ".join(_signed(part, value) for value in self.seeds)
        interval = "" if d.low is None or d.high is None else f" ({_signed(part, d.low)} to {_signed(part, d.high)})"
        return [
            f"{self.metric.label} {ARROWS[self.metric.better]}".strip(),
            f"{whole.text(d.first)} {whole.unit(unit)}".strip(),
            f"{whole.text(d.second)} {whole.unit(unit)}".strip(),
            f"{_signed(part, d.difference)}{interval} {part.unit(unit)}".strip() + (f"; seeds {each}" if each else ""),
            (self.expected or "–") + wanted,
            self.verdict or "measured",
        ]


HEADS = ("score", "first", "second", "difference (95 %)", "expected", "finding")


def find(experiment: Experiment, results: Mapping[str, Results]) -> list[Finding]:
    """Every metric of every claim that was measured.

    Of systems with several seeds the mean over the seeds is compared, clip by clip, and beside it each seed by itself: against the same seed
    of the other system, or its first where it has not got it.
    """
    findings = []
    for claim in experiment.claims:
        if (scores := results.get(claim.benchmark)) is None:
            continue
        pairs = _pairs(experiment, claim, scores)
        if not pairs:
            continue
        compared = compare(*(_mean_over(scores, names) for names in zip(*pairs)), systems=(_MEAN, _MEAN))
        each = [compare(scores, scores, systems=pair) for pair in pairs] if len(pairs) > 1 else []
        by_seed = [{row.metric: row.difference for row in one.rows} for one in each]
        rows = {row.metric: row for row in compared.rows}
        for name, expected in claim.expected.items():
            if name in rows:
                metric, seeds = compared.metrics[name], tuple(differences[name] for differences in by_seed)
                verdict = _verdict(rows[name], expected, metric, claim.least.get(name), seeds)
                findings.append(Finding(claim, rows[name], metric, expected, verdict, seeds))
    return findings


_MEAN = "mean"


def _pairs(experiment: Experiment, claim: Claim, scores: Results) -> list[tuple[str, str]]:
    """The systems of a claim that were scored, seed by seed."""
    first, second = (
        {seed: name for seed, name in experiment.by_seed(system).items() if name in scores.systems}
        for system in (claim.first, claim.second)
    )
    if not first or not second:
        return []
    one, two = next(iter(first.values())), next(iter(second.values()))
    pairs = ((first.get(seed, one), second.get(seed, two)) for seed in (*first, *second))
    return list(dict.fromkeys(pairs))


def _mean_over(scores: Results, systems: Sequence[str]) -> Results:
    """The results of one system: the mean of some, clip by clip, of what all of them have."""
    clips: dict[str, dict[str, float | None]] = {}
    names = list(dict.fromkeys(systems))
    for clip in scores.systems[names[0]].clips:
        values = [scores.systems[name].clips.get(clip, {}) for name in names]
        common = set.intersection(*({m for m, value in one.items() if value is not None} for one in values))
        clips[clip] = {metric: sum(one[metric] or 0 for one in values) / len(values) for metric in common}
    whole = scores.systems[names[0]].set if len(names) == 1 else {}
    return replace(scores, systems={_MEAN: SystemScores(clips=clips, set=whole)})


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
        '## Claims\n\nDifferences are second minus first over the same clips, with 95 % BCa bootstrap intervals: "seen" and "contrary" need an '
        "interval without 0 and, of systems that were trained with several seeds (their mean is compared), the same sign for each; "
        '"tiny" is a '
        "certain difference of less than half a percent.\n"
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


def _verdict(
    row: Difference, expected: Expected, metric: Metric, least: float | None, seeds: Sequence[float]
) -> Verdict:
    if expected is None:
        return ""
    if row.low is None or row.high is None or metric.better == "neither":
        return "open"
    sign = (1 if metric.better == "higher" else -1) * (1 if expected == "better" else -1)
    low, high = sorted((sign * row.low, sign * row.high))
    wanted = [sign * value for value in (row.difference, *seeds)]
    verdict: Verdict = "open"
    if low > (least or 0) and min(wanted) > (least or 0):
        verdict = "seen"
    elif high < (least or 0) and max(wanted) < (least or 0):
        verdict = "contrary"
    small = least is None and abs(row.difference) < TINY * abs(row.first)
    return "tiny" if small and verdict != "open" else verdict
