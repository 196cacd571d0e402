"""An experiment end to end: real trainings in processes of their own, real scores; nothing is done twice."""

from pathlib import Path

import pytest

from bunraku.bench.experiment import Claim, Experiment, Training, Variant
from bunraku.bench.run import run
from bunraku.errors import BunrakuError
from bunraku.evaluation.results import Results

QUICK = {"resolution": 64, "batch": 1, "frames": 2, "workers": 0, "validate_every": 1000, "precision": "no", "steps": 1}


def experiment(**settings) -> Experiment:
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


@pytest.mark.slow
def test_train_score_compare_and_go_on(tmp_path: Path) -> None:
    found = run(experiment(), tmp_path, clips=2, processes=1, detector=None, settings=QUICK)
    assert [f.metric.label for f in found] == ["PSNR", "SSIM"]
    results = Results.load(tmp_path / "bizarre" / "report.json")
    assert list(results.systems) == ["on", "off", "copy", "codec"]
    assert results.settings["systems"]["off"] == {"training": "one", "retarget": "off", "num_inference_steps": 1}
    assert "data:video/mp4;base64," in (tmp_path / "bizarre" / "report.html").read_text()
    assert "retargeting helps" in (tmp_path / "findings.md").read_text()
    trained = (tmp_path / "training" / "one" / "model" / "model_index.json").stat().st_mtime_ns
    scored = (tmp_path / "bizarre" / "report.json").stat().st_mtime_ns

    assert run(experiment(), tmp_path, clips=2, processes=1, detector=None, settings=QUICK) == found
    assert (tmp_path / "training" / "one" / "model" / "model_index.json").stat().st_mtime_ns == trained
    assert (tmp_path / "bizarre" / "report.json").stat().st_mtime_ns == scored

    fewer = run(experiment(), tmp_path, clips=1, processes=1, detector=None, settings=QUICK)
    assert fewer[0].difference.clips == 1
    assert fewer[0].verdict == "open"


def test_a_failed_training_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match=r"training base failed .*--set domain=nowhere"):
        run(experiment(domain="nowhere"), tmp_path, processes=1, settings=QUICK)
    assert not (tmp_path / "bizarre").exists()
