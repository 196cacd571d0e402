"""Scores of one evaluation: per system and clip, with what is needed to read them again; one JSON file."""

import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.evaluation.bootstrap import Estimate, estimate
from bunraku.evaluation.metrics import Better, Metric
from bunraku.json_text import parsed_json
from bunraku.media import check_input, check_output, replacing
from bunraku.typed import is_of_type

SCHEMA = 1
"""Version of the file. It grows when a reader of the old one would misread the new one."""

Role = Literal["model", "baseline", "ceiling"]

ARROWS: dict[Better, str] = {"higher": "↑", "lower": "↓", "neither": ""}
"""Which direction is good, in the heads of tables."""

BASELINES: dict[str, Role] = {
    "copy": "baseline",
    "puppet-warp": "baseline",
    "composite": "baseline",
    "codec": "ceiling",
}
"""What the systems of these names are, unless they say otherwise."""


@dataclass
class SystemScores:
    """Scores of one system.

    Attributes:
        clips: clip -> metric -> score; None where the metric has no value on the clip.
        set: metric -> score of metrics that only the whole set has (FID, FVD); None where unavailable.
        unavailable: metric -> why there is no score.
        notes: metric -> what its score of the set rests on, such as how many windows.
        role: a "ceiling" is made from the truth and is not ranked, see `evaluation.systems.System`.
        description: one line.
    """

    clips: dict[str, dict[str, float | None]] = field(default_factory=dict)
    set: dict[str, float | None] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    role: Role = "model"
    description: str = ""


@dataclass
class Results:
    """What one `bunraku evaluate` found.

    Attributes:
        benchmark: name with version, such as "theatre-1/solo"; "folders" for two folders of clips.
        size: (height, width) in pixels at which was scored; None where clips differ.
        protocol: what must agree for scores to be comparable (frames per clip, source frame, resizing ...); JSON values.
        metrics: in the order of the report's columns.
        systems: in the order of the report's rows.
        failed: clip -> why it was not scored.
        settings: of the systems (steps, seed ...); JSON values.
        seconds: what took how long.
        tags: clip -> tag -> value; the report groups clips by them.
        command: as typed.
        versions: package -> version.
        weights: name -> sha256.
    """

    benchmark: str
    size: tuple[int, int] | None
    protocol: dict[str, Any]
    metrics: dict[str, Metric]
    systems: dict[str, SystemScores] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)

    def add(self, system: str, clip: str, scores: Mapping[str, float | None]) -> None:
        """Enters the scores of one clip; a system not seen before gets the role of its name."""
        entry = self.systems.setdefault(system, SystemScores(role=BASELINES.get(system, "model")))
        entry.clips[clip] = {name: _finite(value) for name, value in scores.items()}

    @property
    def clips(self) -> list[str]:
        """Clips that any system was scored on, in order of appearance."""
        return list(dict.fromkeys(clip for system in self.systems.values() for clip in system.clips))

    @property
    def first_model(self) -> str | None:
        """The system that reports are about: the first that is no baseline, else the first."""
        models = [name for name, system in self.systems.items() if system.role == "model"]
        return next(iter(models or self.systems), None)

    def per_clip(self, metric: str) -> bool:
        """Whether any clip has a score by this metric."""
        return any(scores.get(metric) is not None for s in self.systems.values() for scores in s.clips.values())

    def values(self, system: str, metric: str, clips: Iterable[str] | None = None) -> dict[str, float]:
        """Clip -> score, of the clips (None: all) that have one."""
        scored = self.systems[system].clips
        found = {clip: scored.get(clip, {}).get(metric) for clip in (scored if clips is None else clips)}
        return {clip: value for clip, value in found.items() if value is not None}

    def summary(self, system: str, metric: str, clips: Iterable[str] | None = None) -> Estimate | None:
        """The mean over clips with its interval, or a whole set's score (which has neither clips nor an interval)."""
        values = list(self.values(system, metric, clips).values())
        if values:
            return estimate(np.array(values))
        whole = self.systems[system].set.get(metric) if clips is None else None
        return None if whole is None else Estimate(whole)

    def reason(self, system: str, metric: str) -> str:
        """Why a summary is missing."""
        return self.systems[system].unavailable.get(metric, "not measured")

    def groups(self) -> dict[str, dict[str, list[str]]]:
        """Tag -> value -> clips, of the tags that tell clips apart; values in order of numbers, then names."""
        found: dict[str, dict[str, list[str]]] = {}
        for clip in self.clips:
            for tag, value in self.tags.get(clip, {}).items():
                found.setdefault(tag, {}).setdefault(value, []).append(clip)
        return {tag: dict(sorted(by.items(), key=_by_number)) for tag, by in found.items() if len(by) > 1}

    def to_json(self) -> dict[str, Any]:
        """The content of report.json; `summary` in it is for other programs, `from_json` makes it anew."""
        summary = {
            name: {metric: asdict(found) for metric in self.metrics if (found := self.summary(name, metric))}
            for name in self.systems
        }
        # the file is read by programs that refuse NaN, which JSON does not have
        return _jsonable({"schema": SCHEMA, **asdict(self), "summary": summary})

    @classmethod
    def from_json(cls, content: Any, name: str = "the results") -> "Results":
        """Of what `to_json` gave; `name` is what messages call it.

        Raises:
            BunrakuError: it is something else, or of another schema.
        """
        if not isinstance(content, dict) or "schema" not in content or "systems" not in content:
            raise BunrakuError(f"{name} is no report of `bunraku evaluate`; give the report.json that it wrote")
        if content["schema"] != SCHEMA:
            raise BunrakuError(
                f"{name} has schema {content['schema']}, this version of bunraku reads {SCHEMA}; evaluate again"
            )
        try:
            fields = {key: content[key] for key in cls.__dataclass_fields__ if key in content}
            fields["size"] = None if fields["size"] is None else tuple(map(int, fields["size"]))
            fields["metrics"] = {
                key: Metric(**{**value, "needs": tuple(value.get("needs", ()))})
                for key, value in fields["metrics"].items()
            }
            fields["systems"] = {
                key: SystemScores(**{"role": BASELINES.get(key, "model"), **value})
                for key, value in fields["systems"].items()
            }
            results = cls(**fields)
            results._check()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BunrakuError(f"{name} is damaged ({error!r}); evaluate again") from error
        return results

    def save(self, path: str | Path) -> Path:
        """Writes the JSON file; an existing one is replaced only when all is written.

        Raises:
            BunrakuError: missing or unwritable folder, full disk.
        """
        path = check_output(path)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Results":
        """Reads a JSON file.

        Raises:
            BunrakuError: missing, no JSON, or see `from_json`.
        """
        path = check_input(path)
        try:
            content = parsed_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BunrakuError(f"{path} is no JSON ({error}); give the report.json of `bunraku evaluate`") from error
        return cls.from_json(content, str(path))

    def _check(self) -> None:
        """Raises ValueError where a field is not of its type."""
        for where, part in (("the report", self), *self.metrics.items(), *self.systems.items()):
            for name, kind in get_type_hints(type(part)).items():
                if not is_of_type(value := getattr(part, name), kind):
                    raise ValueError(f"{name} of {where} is {str(value)[:80]}")


def installed_versions() -> dict[str, str]:
    """Versions of what scores depend on."""
    from bunraku import __version__

    found = {"bunraku": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "scipy", "opencv-python-headless", "av"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _jsonable(value: Any) -> Any:
    """Plain JSON values: numpy's numbers become Python's, tuples lists, paths text, NaN and infinity null."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return _finite(value)
    return value if isinstance(value, int | str | bool | None) else str(value)


def _by_number(item: tuple[str, Any]) -> tuple[float, str]:
    try:
        return float(item[0]), ""
    except ValueError:
        return math.inf, item[0]
