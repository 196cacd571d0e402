"""Scores and their file."""

import json
from pathlib import Path

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.results import SCHEMA, Results, installed_versions


@pytest.fixture
def results() -> Results:
    metrics = {
        "psnr": Metric("PSNR", "", "Peak signal-to-noise ratio.", "dB", needs=("instances",)),
        "lpips": Metric("LPIPS", better="lower"),
        "fid": Metric("FID", better="lower", group="Distribution"),
    }
    made = Results(
        "theatre-1/noisy", (128, 128), {"source": "first frame"}, metrics, settings={"steps": np.int64(8), "out": Path("x")},
        tags={f"noisy/{n:03d}": {"level": str(10 - n)} for n in range(4)}, failed={"noisy/004": "cannot be read"},
    )  # fmt: skip
    for n, (mini, copy) in enumerate([(20.0, 18.0), (22.0, 19.0), (24.0, 17.0), (26.0, float("nan"))]):
        made.add("mini", f"noisy/{n:03d}", {"psnr": mini, "lpips": None})
        made.add("copy", f"noisy/{n:03d}", {"psnr": copy})
    made.systems["mini"].set["fid"] = np.float32(31.5)
    made.systems["copy"].unavailable["fid"] = "unavailable: weights"
    return made


def test_the_file_keeps_everything(results: Results, tmp_path: Path) -> None:
    path = results.save(tmp_path / "report.json")
    read = Results.load(path)
    assert read.systems == results.systems
    assert read.size == (128, 128)
    assert read.metrics == results.metrics
    assert read.tags == results.tags
    assert read.failed == results.failed
    assert read.settings == {"steps": 8, "out": "x"}
    assert read.to_json() == json.loads(path.read_text())
    assert [f.name for f in tmp_path.iterdir()] == ["report.json"]


def test_the_file_has_the_means_for_other_programs(results: Results, tmp_path: Path) -> None:
    content = json.loads(results.save(tmp_path / "report.json").read_text())
    assert content["schema"] == SCHEMA
    found = content["summary"]["mini"]["psnr"]
    assert found["mean"] == 23
    assert found["clips"] == 4
    assert 20 <= found["low"] < 23 < found["high"] <= 26
    assert content["summary"]["mini"]["fid"] == {"mean": 31.5, "low": None, "high": None, "clips": 0}
    assert "fid" not in content["summary"]["copy"]


def test_a_score_that_is_no_number_is_left_out(results: Results) -> None:
    assert results.systems["copy"].clips["noisy/003"] == {"psnr": None}
    assert results.summary("copy", "psnr").mean == 18
    assert results.summary("copy", "psnr").clips == 3
    assert results.summary("mini", "lpips") is None
    assert results.reason("mini", "lpips") == "not measured"
    assert results.reason("copy", "fid") == "unavailable: weights"


def test_roles_come_with_names(results: Results) -> None:
    results.add("codec", "noisy/000", {"psnr": 30})
    assert {name: system.role for name, system in results.systems.items()} == {
        "mini": "model", "copy": "baseline", "codec": "ceiling",
    }  # fmt: skip
    assert results.first_model == "mini"
    assert Results("b", None, {}, {}).first_model is None


def test_groups_are_in_order_of_their_numbers(results: Results) -> None:
    assert list(results.groups()["level"]) == ["7", "8", "9", "10"]
    results.tags = {clip: {"level": "1", "kind": "b" if clip.endswith("0") else "a"} for clip in results.tags}
    groups = results.groups()
    assert list(groups) == ["kind"], "a tag that all clips share tells nothing"
    assert list(groups["kind"]) == ["a", "b"]
    assert results.summary("mini", "psnr", groups["kind"]["b"]).mean == 20
    assert results.summary("mini", "fid", groups["kind"]["b"]) is None, "of the whole set alone"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no report of `bunraku evaluate`"),
        ('{"schema": 99, "systems": {}}', "has schema 99, this version of bunraku reads 1"),
        ('{"schema": 1, "systems": {}}', "is damaged"),
        (
            '{"schema": 1, "benchmark": "b", "size": null, "protocol": {}, "metrics": {"m": {"label": "M", "better": "big"}}, "systems": {}}',
            "is damaged",
        ),
        (
            '{"schema": 1, "benchmark": "b", "size": null, "protocol": {}, "metrics": {}, "systems": {"s": {"clips": {"c": {"m": "x"}}}}}',
            "is damaged",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(BunrakuError, match=message) as error:
        Results.load(path)
    assert str(path) in str(error.value)


def test_missing_file_and_folder(results: Results, tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match="does not exist"):
        Results.load(tmp_path / "none.json")
    with pytest.raises(BunrakuError, match="create it first"):
        results.save(tmp_path / "none" / "report.json")


def test_versions() -> None:
    found = installed_versions()
    assert found["numpy"] == np.__version__
    assert set(found) >= {"bunraku", "torch"}


@pytest.mark.parametrize(
    "change",
    [
        {"systems": {"mini": {"clips": "none"}}}, {"systems": {"mini": {"clips": {"a": 3}}}}, {"tags": []}, {"benchmark": None},
        {"systems": {"mini": {"clips": {"a": {"psnr": "much"}}}}}, {"failed": {"a": 1}}, {"size": [1, 2, 3]}, {"seconds": {"score": {}}},
    ],
)  # fmt: skip
def test_fields_of_another_type_are_damage(results, change):
    content = json.loads(json.dumps(results.to_json()))
    assert Results.from_json(content).benchmark == results.benchmark
    with pytest.raises(BunrakuError, match="is damaged"):
        Results.from_json(content | change)
