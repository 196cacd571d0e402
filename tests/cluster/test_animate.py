"""The same table over Ray: the same bytes as without it, long clips made by two workers, perception once, failures named."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate import AnimateOptions, animate
from bunraku.animate.batch import AnimateWork, animate_jobs
from bunraku.animate.jobs import Job
from bunraku.cluster import ClusterOptions, cluster_runner
from bunraku.media import write_image
from bunraku.sampling.share import ALONE
from tests.conftest import Bunraku

pytestmark = pytest.mark.usefixtures("ray_cluster")


class Killed(AnimateWork):
    """Its process is killed in the middle of the first job whose name has "killed" in it, once its frames are being written."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self._marker = marker

    def do(self, item, prepared, report, share=ALONE):
        def kill(what: str, done: int, total: int) -> None:
            if what == "write" and "killed" in item.name and not self._marker.exists():
                self._marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return super().do(item, prepared, kill, share)


def test_the_same_bytes_as_without_ray_whatever_happens(
    puppets: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = AnimateOptions(model=str(model_folder), fit="letterbox")
    blank = tmp_path / "blank.png"
    write_image(blank, np.full((96, 64, 3), 200, np.uint8))
    many = tmp_path / "many"
    jobs = [
        Job("one", puppets / "a.png", puppets / "b.cues", many / "one.mp4", settings),
        Job("killed", puppets / "b.png", puppets / "a.cues", many / "killed.mp4", replace(settings, seed=3, stop=4)),
        Job("poisoned", blank, puppets / "b.cues", many / "poisoned.mp4", replace(settings, model="puppet-warp")),
        Job("warp", puppets / "a.png", puppets / "b.cues", many / "warp.mp4", replace(settings, model="puppet-warp")),
    ]
    monkeypatch.setattr("bunraku.animate.batch.AnimateWork", lambda: Killed(tmp_path / "killed"))
    # 12 frames are shared by two workers; 4 are not
    summary = animate_jobs(jobs, run=cluster_runner(ClusterOptions()), split=6)
    assert (tmp_path / "killed").exists()
    assert list(summary.failed) == [many / "poisoned.mp4"]
    assert "no person was found in the reference" in summary.failed[many / "poisoned.mp4"]
    assert sorted(path.name for path in many.iterdir() if not path.name.startswith(".")) == [
        "killed.mp4", "one.mp4", "warp.mp4",
    ]  # fmt: skip
    for job in (jobs[0], jobs[1], jobs[3]):
        alone = tmp_path / f"alone-{job.name}.mp4"
        animate(job.reference, job.driving, alone, job.options)
        assert alone.read_bytes() == job.output.read_bytes(), job.name
    again = animate_jobs(jobs[:2], run=cluster_runner(ClusterOptions()))
    assert len(again.skipped) == 2


def test_from_the_command_line(bunraku: Bunraku, puppets: Path, tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text(f"reference,driving,output\n{puppets}/a.png,{puppets}/b.cues,out/a.mp4\n")
    code, out, err = bunraku(
        "cluster", "--local", "animate", "--jobs", table, "--model", "puppet-warp", "--stop", 2, "--json"
    )
    assert code == 0, err
    assert [row["output"] for row in json.loads(out)["written"]] == [str(tmp_path / "out" / "a.mp4")]
    assert (tmp_path / "out" / "a.mp4").is_file()
    code, _, err = bunraku("cluster", "--local", "--address", "auto", "animate", "--jobs", table)
    assert (code, "give one of them" in err) == (2, True)
    code, _, err = bunraku("cluster", "--local", "--workers", 0, "animate", "--jobs", table)
    assert (code, "--workers must be at least 1" in err) == (2, True)


def test_evaluation_and_data_preparation_go_the_same_way(
    bunraku: Bunraku, puppets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = []
    for where in ((), ("cluster", "--local")):
        code, out, err = bunraku(
            *where, "evaluate", "--model", "puppet-warp", "--clips", 3, "--metrics", "psnr,ssim", "--size", 128, "-o",
            tmp_path / f"report{len(where)}", "--json",
        )  # fmt: skip
        assert code == 0, err
        scores.append(json.loads(out)["systems"])
    assert scores[0] == scores[1]
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "broken.mp4").write_text("no video")
    (clips / "done.mp4").write_text("no video")
    (clips / "done.cues").write_text("there already")
    code, out, err = bunraku("cluster", "--local", "perceive", clips, "--json")
    result = json.loads(out)
    assert (code, result["written"], [Path(path).name for path in result["skipped"]]) == (1, [], ["done.mp4"])
    assert "is not a video" in result["failed"][str(clips / "broken.mp4")]
