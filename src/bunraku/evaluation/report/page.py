"""Results as one HTML page with tables, plots and clips, which needs nothing but itself."""

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from bunraku import __version__
from bunraku.evaluation.bootstrap import LEVEL, RESAMPLES
from bunraku.evaluation.extremes import Extremes, ShownClip
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.report.film import film
from bunraku.evaluation.report.html import Html, element, joined
from bunraku.evaluation.report.strip_plot import Strip, strip_plot
from bunraku.evaluation.report.table import Column, column, counted, grouped
from bunraku.evaluation.results import ARROWS, Results
from bunraku.media import check_output, replacing

HEADLINE = (
    "psnr",
    "psnr_character",
    "psnr_person",
    "identity_accuracy",
    "ssim",
    "ms_ssim",
    "lpips_vgg",
    "fid",
    "fvd",
    "flicker",
    "pck",
)
"""Metrics of the first table, where they were asked for."""

GROUPS = {
    "frame": "Whole frames", "character": "Character and background", "people": "Person by person", "motion": "Motion",
    "perceptual": "Perceptual", "pose": "Pose", "distribution": "Distribution",
}  # fmt: skip
"""What the groups of metrics are called."""

MOST_TAG_VALUES = 12
"""A tag with more values gets no table."""

_NONE = Html('<span aria-label="no value">–</span>')


def write_html(results: Results, path: str | Path, extremes: Extremes | None = None) -> Path:
    """Writes the page; an existing file is replaced only when all is written.

    Args:
        results: what to show; the same results give the same page.
        path: of the file.
        extremes: clips to show as videos.

    Raises:
        BunrakuError: missing or unwritable folder, full disk; a clip to show cannot be read any more.
    """
    path = check_output(path)
    sections = [_head(results), _headline(results), _tags(results), _plots(results)]
    if extremes is not None:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".report-") as folder:
            sections += list(_clips(results, extremes, Path(folder) / "clip.mp4"))
    sections += [_all_scores(results), _definitions(results), _provenance(results)]
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{results.benchmark}: {', '.join(results.systems)}"),
        version=escape(__version__),
        body="\n".join(filter(None, sections)),
        data=_data(results),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _head(results: Results) -> Html:
    """Title, what was evaluated, the finding in a sentence, and what went wrong."""
    size = f"{results.size[1]} × {results.size[0]} pixels" if results.size else "clips of various sizes"
    facts = [size, counted(len(results.clips), "clip"), counted(len(results.systems), "system")]
    head = joined(element("h1", results.benchmark), element("p", " · ".join(facts), class_="facts"), _finding(results))
    if not results.failed:
        return head
    rows = [element("li", element("b", clip), f": {reason}") for clip, reason in results.failed.items()]
    title = element("p", element("b", f"{counted(len(rows), 'clip')} could not be scored"))
    return head + element("div", title, element("ul", *rows), class_="alert")


def _finding(results: Results) -> Html:
    """What the first model reaches by the first metric, beside the best baseline and what is out of its reach."""
    model = results.first_model
    name = next((name for name in _headline_metrics(results) if results.per_clip(name)), None)
    if model is None or name is None or (reached := results.summary(model, name)) is None:
        return Html()
    found = column(results, name)
    interval = f" ({found.interval(model)})" if found.interval(model) else ""
    unit = f" {found.unit}" if found.unit else ""
    text = f" reaches {found.scale.text(reached.mean)}{interval}{unit} {found.metric.label}"
    choose = min if found.metric.better == "lower" else max
    for role, called in (("baseline", "the best baseline"), ("ceiling", "the limit set by the autoencoder")):
        others = [
            (value.mean, other) for other, value in found.found.items()
            if value is not None and results.systems[other].role == role and other != model
        ]  # fmt: skip
        if others:
            mean, other = choose(others)
            text += f"; {called}, {other}, {found.scale.text(mean)}"
    return element("p", element("b", model), text + ".", class_="lead")


def _headline(results: Results) -> Html:
    names = _headline_metrics(results)
    return element("h2", "Scores") + _scores(results, names) if results.systems and names else Html()


def _all_scores(results: Results) -> Html:
    """Every metric by group, why others are missing, then every clip."""
    if not results.systems:
        return Html()
    parts: list[str] = [element("h2", "All scores")]
    missing: dict[str, list[str]] = {}
    for group, names in grouped(results).items():
        measured = []
        for name in names:
            if why := column(results, name).why_nobody(results):
                missing.setdefault(why, []).append(results.metrics[name].label)
            else:
                measured.append(name)
        if measured:
            parts.append(_scores(results, measured, GROUPS.get(group, group.capitalize())))
    if missing:
        rows = [part for why, labels in missing.items() for part in _term("; ".join(labels), _with_code(why))]
        parts += [element("h3", "Not measured", class_="missing"), element("dl", *rows, class_="definitions")]
    names = [name for name in results.metrics if results.per_clip(name)]
    if names:
        tables = [_clip_scores(results, system, names) for system in results.systems]
        parts.append(element("details", element("summary", "Scores of every clip"), *tables))
    return joined(*parts)


def _scores(results: Results, names: Sequence[str], caption: str = "") -> Html:
    """Systems in rows, metrics in columns; models, baselines and ceilings apart. What nobody has stays blank."""
    columns = [column(results, name) for name in names]
    footnotes: dict[str, int] = {}
    marks = {}
    for found in columns:
        if why := found.why_nobody(results):
            marks[found.name] = footnotes.setdefault(why, len(footnotes) + 1)
    bodies = []
    for role in ("model", "baseline", "ceiling"):
        rows = []
        for system in (system for system, entry in results.systems.items() if entry.role == role):
            cells = []
            for found in columns:
                note = None
                if found.found[system] is None and found.name not in marks:
                    note = footnotes.setdefault(results.reason(system, found.name), len(footnotes) + 1)
                cells.append(element("td") if found.name in marks else _cell(found, system, note))
            rows.append(element("tr", _row_head(results, system), *cells))
        bodies.append(element("tbody", *rows) if rows else "")
    notes = [element("p", element("sup", str(n)), " ", _with_code(why), class_="note") for why, n in footnotes.items()]
    return joined(_table(columns, bodies, caption, marks), *notes)


def _tags(results: Results) -> Html:
    """A table per tag: the headline metrics over the clips with each value."""
    names = [name for name in _headline_metrics(results) if results.per_clip(name)]
    whole = [column(results, name) for name in names]
    parts = []
    for tag, groups in results.groups().items():
        if len(groups) > MOST_TAG_VALUES or not names:
            continue
        bodies = []
        for value, clips in groups.items():
            within = [column(results, found.name, clips, found.scale) for found in whole]
            title = f"{tag} {value}, {counted(len(clips), 'clip')}"
            head = element("th", title, class_="group", scope="rowgroup", colspan=len(names) + 1)
            rows = [
                element("tr", _row_head(results, system), *(_cell(found, system) for found in within))
                for system in results.systems
            ]
            bodies.append(element("tbody", element("tr", head), *rows))
        parts += [element("h2", f"By {tag}"), _table(whole, bodies, f"Scores by {tag}", hidden=True)]
    return joined(*parts)


def _table(
    columns: Sequence[Column],
    bodies: Sequence[str],
    caption: str = "",
    marks: Mapping[str, int] | None = None,
    *,
    hidden: bool = False,
) -> Html:
    """A table that scrolls sideways where the screen is narrow.

    Args:
        columns: give the heads.
        bodies: its parts.
        caption: above it; `hidden` shows it to screen readers alone.
        marks: column -> number of a footnote.
    """
    heads = [element("th", "System", scope="col")]
    for found in columns:
        direction = {"higher": "higher is better", "lower": "lower is better"}.get(found.metric.better)
        arrow = element("span", f" {ARROWS[found.metric.better]}", title=direction, role="img", aria_label=direction)
        mark = element("sup", str(marks[found.name])) if marks and found.name in marks else ""
        *words, last = found.metric.label.split(" ")
        label = [joined(element("span", word, class_="word"), " ") for word in words]
        label.append(element("span", last, arrow if direction else "", mark, class_="word"))
        told = found.metric.summary or found.metric.definition
        unit = element("span", found.unit, class_="unit")
        heads.append(element("th", *label, unit, scope="col", title=told or None))
    return _scrolling(
        element(
            "table",
            element("caption", caption, class_="hidden" if hidden else None) if caption else "",
            element("thead", element("tr", *heads)),
            *bodies,
            class_="scores",
            style=f"--columns:{len(columns)};--share:{85 / len(columns):.2f}%",
        ),
        caption or "Scores",
    )


def _row_head(results: Results, system: str) -> Html:
    entry = results.systems[system]
    dot = element("span", class_="dot", style=f"color:{_colour(results, system)}")
    kind = "ceiling" if entry.role == "ceiling" else None
    return element("th", dot, system, scope="row", class_=kind, title=entry.description or None)


def _cell(found: Column, system: str, note: int | None = None) -> Html:
    value = found.found[system]
    if value is None:
        return element("td", _NONE, element("sup", str(note)) if note else "")
    interval = found.interval(system)
    mean = element("span", found.scale.text(value.mean), class_="mean")
    ends = element("span", interval, class_="ci") if interval else ""
    return element("td", mean, ends, class_="best" if system in found.best else None)


def _clip_scores(results: Results, system: str, names: Sequence[str]) -> Html:
    columns = [column(results, name) for name in names]
    heads = [element("th", f"{found.metric.label} {found.unit}".strip(), scope="col") for found in columns]
    rows = []
    for clip, scores in results.systems[system].clips.items():
        values = [(found, scores.get(found.name)) for found in columns]
        cells = [element("td", _NONE if value is None else found.scale.text(value)) for found, value in values]
        rows.append(element("tr", element("th", clip, scope="row"), *cells))
    head = element("thead", element("tr", element("th", "Clip", scope="col"), *heads))
    scores_table = _scrolling(element("table", head, element("tbody", *rows), class_="clips"), f"Clips of {system}")
    return element("details", element("summary", system), scores_table)


def _plots(results: Results) -> Html:
    """Strip plots: the headline metrics in sight, the others folded away."""
    plotted = [name for name in results.metrics if results.per_clip(name)]
    if not plotted or len(results.clips) < 2:
        return Html()
    first = [name for name in _headline_metrics(results) if name in plotted]
    others = [name for name in plotted if name not in first]
    help_ = (
        "A dot is a clip, the line the mean, the bar its 95 % interval. Point at a dot to find its clip in every plot."
    )
    parts = [
        element("h2", "Clip by clip"),
        element("p", help_, class_="note"),
        element("div", *(_plot(results, name) for name in first), class_="plots"),
    ]
    if others:
        grid = element("div", *(_plot(results, name) for name in others), class_="plots")
        parts.append(element("details", element("summary", counted(len(others), "more metric")), grid))
    return joined(*parts)


def _plot(results: Results, name: str) -> Html:
    found, numbers = column(results, name), {clip: number for number, clip in enumerate(results.clips)}
    strips, told = [], []
    for system, entry in results.systems.items():
        values = {numbers[clip]: value for clip, value in results.values(system, name).items()}
        if values:
            strips.append(Strip(system, _colour(results, system), entry.role == "ceiling", values, found.found[system]))
            low, high = found.scale.text(min(values.values())), found.scale.text(max(values.values()))
            told.append(f"{system} {low} to {high}")
    title = element("h3", f"{found.metric.label} {ARROWS[found.metric.better]}")
    caption = element("figcaption", title, element("span", found.unit))
    alternative = f"{found.metric.label} of every clip: {'; '.join(told)}"
    return element("figure", caption, strip_plot(strips, name, alternative, found.scale.power))


def _clips(results: Results, extremes: Extremes, temporary: Path) -> Iterator[Html]:
    """The worst and best clips as videos, panels side by side."""
    if extremes.metric is None:
        return
    label = results.metrics.get(extremes.metric, Metric(extremes.metric)).label
    for title, chosen in (("Worst clips", extremes.worst()), ("Best clips", extremes.best())):
        if chosen:
            yield element("h2", title)
            yield element("p", f"By {label} of {results.first_model or 'the system'}.", class_="note")
        for shown in chosen:
            yield _clip(results, shown, extremes.metric, temporary)


def _clip(results: Results, shown: ShownClip, metric: str, temporary: Path) -> Html:
    made = film(shown.panels(), shown.fps, temporary)
    widths = " ".join(f"{width}fr" for width in made.widths)
    labels = element("div", *(element("span", label) for label in made.labels), class_="labels",
                     style=f"grid-template-columns:{widths}")  # fmt: skip
    video = element(
        "video", muted=True, loop=True, playsinline=True, controls=True, preload="auto",
        width=made.size[1], height=made.size[0], poster=_uri("image/jpeg", made.poster), src=_uri("video/mp4", made.video),
        aria_label=f"{shown.clip}, side by side: {', '.join(made.labels)}",
    )  # fmt: skip
    told = []
    if metric in results.metrics:
        found = column(results, metric)
        for system in results.systems:
            told += [f"{system} {found.scale.text(v)}" for v in results.values(system, metric, [shown.clip]).values()]
    thinned = f" · one frame in {made.stride}" if made.stride > 1 else ""
    caption = element("figcaption", element("b", shown.clip), f" · {', '.join(told)}" if told else "", thinned)
    number = results.clips.index(shown.clip) if shown.clip in results.clips else None
    panels = _scrolling(element("div", labels, video, class_="panels"), shown.clip)
    return element("figure", panels, caption, class_="clip", data_c=number)


def _definitions(results: Results) -> Html:
    rows: list[str] = []
    for metric in results.metrics.values():
        summary = element("em", f"{metric.summary[:1].upper()}{metric.summary[1:]}. ") if metric.summary else ""
        rows += _term(f"{metric.label} {ARROWS[metric.better]}", joined(summary, metric.definition))
    for name, system in results.systems.items():
        rows += _term(name, system.description) if system.description else []
    rows += _term(
        "Means and intervals",
        f"Means over clips; a clip's score is the mean over its frames. Intervals hold {LEVEL:.0%} (BCa bootstrap over clips, "
        f"{RESAMPLES:,} draws). The best mean is bold. A system that is made from the truth "
        "itself, such as codec, is no competitor: it shows what a model cannot exceed, stands below the others and has hollow dots.",
    )
    return element("h2", "Definitions") + element("dl", *rows, class_="definitions")


def _provenance(results: Results) -> Html:
    """Command, protocol, settings, versions, weights, time."""
    rows = _term("Command", element("code", results.command)) if results.command else []
    seconds = {name: f"{value:.1f}" for name, value in results.seconds.items()}
    # of the truth's features, so the same for every system
    samples = {results.metrics[name].label: note for s in results.systems.values() for name, note in s.notes.items()}
    listed: dict[str, Mapping[str, Any]] = {
        "Samples": samples, "Protocol": results.protocol, "Settings": results.settings, "Versions": results.versions, "Seconds": seconds,
    }  # fmt: skip
    for title, mapping in listed.items():
        parts: list[str] = []
        for key, value in mapping.items():
            text = value if isinstance(value, str) else json.dumps(value)
            parts += ["; " if parts else "", f"{key} ", element("em", text)]
        rows += _term(title, joined(*parts)) if parts else []
    if results.weights:
        files = [joined(f"{name} ", element("code", sha), element("br")) for name, sha in results.weights.items()]
        rows += _term("Weights, sha256", joined(*files))
    return element("h2", "How it was made") + element("dl", *rows, class_="definitions") if rows else Html()


def _data(results: Results) -> str:
    """What the page's script shows when a dot is pointed at: JSON that cannot end the script element it stands in."""
    scores: dict[str, dict[str, list[str | None]]] = {}
    for found in (column(results, name) for name in results.metrics if results.per_clip(name)):
        scores[found.name] = {}
        for system in results.systems:
            values = results.values(system, found.name)
            texts = {clip: f"{found.scale.text(value)} {found.unit}".strip() for clip, value in values.items()}
            scores[found.name][system] = [texts.get(clip) for clip in results.clips]
    content: dict[str, Any] = {"clips": results.clips, "scores": scores}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _headline_metrics(results: Results) -> list[str]:
    return [name for name in HEADLINE if name in results.metrics] or list(results.metrics)[:6]


def _colour(results: Results, system: str) -> str:
    """CSS colour: models are bright, baselines are not."""
    role = results.systems[system].role
    if role == "ceiling":
        return "var(--ceiling)"
    same = [name for name, entry in results.systems.items() if entry.role == role]
    return f"var(--{role}{same.index(system) % (4 if role == 'model' else 3) + 1})"


def _scrolling(content: Html, label: str) -> Html:
    return element("div", content, class_="wide", role="region", aria_label=label, tabindex=0)


def _term(term: str, description: str) -> list[str]:
    return [element("dt", term), element("dd", description)]


def _with_code(text: str) -> Html:
    """Text in which `commands` stand between back quotes."""
    return joined(*(element("code", part) if number % 2 else part for number, part in enumerate(text.split("`"))))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
