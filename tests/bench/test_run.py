"""An experiment end to end: real trainings in processes of their own, real scores; nothing is done twice, and nothing is taken for
what it is not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bunraku.bench import get_experiment
from bunraku.bench.experiment import Claim, Experiment, Training, Variant
from bunraku.bench.run import RECORD, commands, default_processes, records, run
from bunraku.bench.scores import differences
from bunraku.errors import BunrakuError
from bunraku.evaluation.results import Results

QUICK = {
    "resolution": 32,
    "batch": 1,
    "frames": 1,
    "workers": 0,
    "validate_every": 1000,
    "precision": "float32",
    "steps": 1,
}


def experiment(**settings: Any) -> Experiment:
    return Experiment(
        "quick", "Quick, 2030",
        {"base": Training("tcan", "mini", 0, settings=settings), "one": Training("tcan", "mini", 1, "base")},
        {
            "on": Variant("one", {"temperature": 3.0, "num_inference_steps": 1}),
            "off": Variant("one", {"num_inference_steps": 1}, retarget="off"),
        },
        {"bizarre": ["on", "off"]},
        [Claim("retargeting helps", "bizarre", "off", "on", {"psnr": "better", "ssim": None})],
        ["psnr", "ssim"],
    )  # fmt: skip


def only_base(**settings: Any) -> Experiment:
    """One training, whose model is evaluated."""
    made = experiment(**settings)
    return replace(
        made, trainings={"base": made.trainings["base"]},
        systems={name: replace(variant, training="base") for name, variant in made.systems.items()},
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `only_base` was run on one clip, in two processes, for two steps."""
    folder = tmp_path_factory.mktemp("bench")
    run(only_base(), folder, clips=1, processes=2, detector=None, settings=QUICK | {"steps": 2})
    return folder


@pytest.mark.slow
def test_two_ranks_train_one_model_that_is_scored(done: Path) -> None:
    results = Results.load(done / "bizarre" / "report.json")
    assert list(results.systems) == ["on", "off", "copy", "codec"]
    assert results.settings["off"]["system"] == {"training": "base", "retarget": "off", "num_inference_steps": 1}
    assert "data:video/mp4;base64," in (done / "bizarre" / "report.html").read_text()
    assert "retargeting helps" in (done / "findings.md").read_text()
    record = json.loads((done / "training" / "base" / RECORD).read_text())
    assert (record["steps"], record["processes"], record["recipe"]) == (2, 2, "tcan")


@pytest.mark.slow
def test_what_is_there_is_not_done_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", lambda *a, **k: pytest.fail("it was trained again"))
    monkeypatch.setattr("bunraku.bench.scores.evaluate", lambda *a, **k: pytest.fail("it was scored again"))
    asked: dict[str, Any] = {
        "clips": 1, "processes": 2, "detector": None, "settings": QUICK | {"steps": 2, "workers": 3}
    }  # fmt: skip
    (psnr, ssim) = run(only_base(), done, **asked)
    assert [psnr.metric.label, ssim.metric.label] == ["PSNR", "SSIM"]
    assert psnr.verdict == "open"


def test_a_setting_that_is_newer_than_a_training_had_its_default() -> None:
    asked = {"steps": 2, "optimizer": "adamw", "model": {"base.steps": 3, "base.optimizer": "adamw"}}
    before = {"steps": 2, "model": {"base.steps": 3}}
    assert not differences(before, asked)
    assert differences(before, asked | {"optimizer": "adafactor"}) == 'optimizer was "adamw", now "adafactor"'
    assert "base.steps" in differences(before | {"model": {"base.steps": 4}}, asked)
    assert differences({"start": "mini"}, {}) == 'start was "mini", now null'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "processes", "message"),
    [
        ({"steps": 1}, 2, "steps was 2, now 1"),
        ({"seed": 5}, 2, "seed was 0, now 5"),
        ({"ema_decay": 0.5}, 2, r"ema_decay was [0-9.]+, now 0\.5"),
        ({}, 1, "processes was 2, now 1"),
    ],
)
def test_a_model_of_other_settings_is_refused(
    settings: dict[str, Any], processes: int, message: str, done: Path
) -> None:
    with pytest.raises(BunrakuError, match=rf"training base was made with other settings .*\({message}\); .*--output"):
        run(only_base(), done, clips=1, processes=processes, detector=None, settings=QUICK | {"steps": 2} | settings)


@pytest.mark.slow
def test_a_report_of_other_metrics_is_replaced_only_where_that_is_wanted(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(done, tmp_path / "copy")
    asked: dict[str, Any] = {"clips": 1, "processes": 2, "detector": None, "settings": QUICK | {"steps": 2}}
    more = replace(only_base(), metrics=["psnr", "ssim", "flicker"])
    before = (folder / "bizarre" / "report.json").read_bytes()
    with pytest.raises(
        BunrakuError, match=r'systems/on\.json was made with other settings .*"flicker"\]\); .*--overwrite'
    ):
        run(more, folder, **asked)
    with pytest.raises(BunrakuError, match="clips was 1, now 2"):
        run(only_base(), folder, **asked | {"clips": 2})
    assert (folder / "bizarre" / "report.json").read_bytes() == before
    monkeypatch.setattr("subprocess.run", lambda *a, **k: pytest.fail("it was trained again"))
    run(more, folder, overwrite=True, **asked)
    assert "flicker" in Results.load(folder / "bizarre" / "report.json").metrics


def test_the_settings_of_the_start_model_count(tmp_path: Path) -> None:
    """The base was deleted and is to be trained anew; what was made from the old one does not fit any more."""
    here = tmp_path / "training" / "one"
    here.mkdir(parents=True)
    (here / RECORD).write_text(json.dumps(records(experiment(seed=1), 2, QUICK)["one"]))
    with pytest.raises(BunrakuError, match=r"training one was .* \(base\.seed was 1, now 2\)"):
        run(experiment(seed=2), tmp_path, processes=2, settings=QUICK)


def test_a_training_of_unknown_settings_is_refused(tmp_path: Path) -> None:
    here = tmp_path / "training" / "base"
    (here / "model").mkdir(parents=True)
    with pytest.raises(BunrakuError, match=r"base holds a training, but no bench\.json that says of which settings"):
        run(experiment(), tmp_path, settings=QUICK)
    (here / RECORD).write_text("{")
    with pytest.raises(BunrakuError, match=r"bench\.json is damaged"):
        run(experiment(), tmp_path, settings=QUICK)


def test_settings_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match="not 'nowhere'"):
        run(experiment(domain="nowhere"), tmp_path / "new", settings=QUICK)
    assert not (tmp_path / "new").exists()


def test_a_failed_training_is_named_with_its_command_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    for _ in range(2):
        with pytest.raises(
            BunrakuError, match=r"training base failed \(exit code 1\): /bin/false -m bunraku train tcan"
        ):
            run(experiment(), tmp_path / "out", processes=1, settings=QUICK)
    assert not (tmp_path / "out" / "bizarre").exists()


def test_as_many_processes_as_gpus_are_the_default_and_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert default_processes() == 2
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert default_processes() == 3
    with pytest.raises(BunrakuError, match="4 processes need as many GPUs, and there are 3: give --processes 3"):
        run(experiment(), tmp_path, processes=4, settings=QUICK)


def test_one_process_needs_no_launcher(tmp_path: Path) -> None:
    (command, _) = commands(experiment(), tmp_path, processes=1).values()
    assert "torch.distributed.run" not in command


def test_a_budget_is_shared_by_the_trainings_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings that cost nothing: a checkpoint for what was asked, and a model at the end."""
    asked: list[tuple[str, int | None]] = []

    def trained(name: str, command: list[str]) -> None:
        until = int(command[-1]) if command[-2] == "--until" else None
        asked.append((name, until))
        here = tmp_path / "training" / name
        (here / "checkpoints" / f"step-{until or 10}").mkdir(parents=True)
        if until in (None, 10):
            (here / "model").mkdir()

    monkeypatch.setattr("bunraku.bench.run._train", trained)
    monkeypatch.setattr("bunraku.bench.scores.Scores.update", lambda *a: None)
    go: dict[str, Any] = {"clips": 1, "processes": 1, "detector": None, "settings": QUICK | {"steps": 10}}
    for budget in (4, 8, 100):
        assert run(experiment(), tmp_path, budget=budget, **go) == []
    assert asked == [("base", 4), ("base", None), ("one", 2), ("one", None)]


def test_a_system_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match=r"there is no system nobody \(--only\); there are on, off"):
        run(experiment(), tmp_path / "new", only=["nobody"], settings=QUICK)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_systems_of_multi_character_are_scored_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = get_experiment("multi-character")
    trainings = {name: replace(one, seeds=(0, 1) if name == "flow" else (0,)) for name, one in whole.trainings.items()}
    chosen = replace(
        whole, trainings=trainings, benchmarks={"crowd": whole.benchmarks["crowd"]}, claims=whole.claims[4:6]
    )
    asked: dict[str, Any] = {
        "clips": 2,
        "processes": 1,
        "detector": None,
        "settings": QUICK | {"frames": 2, "validation_clips": 1},
    }
    (psnr,) = run(chosen, tmp_path, only=["+ flow"], **asked)
    assert (psnr.claim.first, len(psnr.seeds)) == ("copy", 2)
    scored = {path.stem for path in (tmp_path / "crowd" / "systems").glob("*.json")}
    assert scored == {"flow", "flow-seed-1", "puppet-warp", "copy", "codec"}
    assert {path.name for path in (tmp_path / "training").iterdir()} == {"base-1", "base-2", "flow", "flow, seed 1"}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "crowd" / "systems").iterdir()}
    findings = run(chosen, tmp_path, only=["base"], **asked)
    assert {finding.claim.first for finding in findings} == {"copy", "base"}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    results = Results.load(tmp_path / "crowd" / "report.json")
    assert list(results.systems) == ["+ flow", "+ flow, seed 1", "base", "puppet-warp", "copy", "codec"]
    assert (tmp_path / "crowd" / "report.html").read_text().count("<video") >= 1


@pytest.mark.slow
def test_animate_anyone_2_from_the_base_to_a_verdict(tmp_path: Path) -> None:
    whole = get_experiment("animate-anyone-2")
    trainings = {name: replace(one, seeds=(0,)) for name, one in whole.trainings.items()}
    names = ("full", "exact mask", "plain")
    chosen = replace(
        whole, trainings=trainings, systems={name: whole.systems[name] for name in names},
        benchmarks={"stage": ("full", "exact mask"), "solo": ("plain",)}, baselines=("copy",),
        claims=[c for c in whole.claims if {c.first, c.second} <= {"full", "exact mask", "composite", "copy"} and c.benchmark == "stage"],
    )  # fmt: skip
    findings = run(
        chosen, tmp_path, clips=1, processes=1, detector=None,
        settings=QUICK | {"resolution": 64, "frames": 2, "validation_clips": 1},
    )  # fmt: skip
    results = Results.load(tmp_path / "stage" / "report.json")
    assert list(results.systems) == ["full", "exact mask", "composite", "copy"]
    assert results.systems["composite"].description.startswith("plain before a plain ground")
    assert results.settings["composite"]["system"]["training"] == "plain"
    scored = results.systems["full"].clips["stage/000"]
    assert {"psnr_inside", "psnr_outside", "psnr_left", "ms_ssim", "flicker"} <= {
        k for k, v in scored.items() if v is not None
    }
    assert {finding.claim.first for finding in findings} == {"composite", "copy", "exact mask"}
    assert {path.name for path in (tmp_path / "training").iterdir()} == {
        "plain-1",
        "plain",
        "scene",
        "full",
        "exact",
    }
