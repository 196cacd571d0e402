"""Data sets of the papers from a folder in their layout to a report, with a detector that knows the poses of the theatre."""

import json
from pathlib import Path

import numpy as np
import pytest

from bunraku.data.layouts import TIKTOK_TEST
from bunraku.evaluation.benchmarks import FootageBenchmark, open_benchmark
from bunraku.evaluation.results import Results
from bunraku.media import write_image
from bunraku.perception.pose import BODY, WHOLE_BODY, Detections, PoseTrack
from bunraku.theatre import Rendering, render, sample_scene
from tests.conftest import Bunraku

FRAMES, SIZE = 4, (96, 72)


@pytest.fixture(scope="module")
def shown() -> Rendering:
    """Two people of the theatre in four frames."""
    scene = sample_scene(3, "test", people=2)
    return render(scene, range(0, 8, 2), SIZE)


def write(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        write_image(folder / f"{number:04d}.png", frame)


@pytest.fixture
def detector(shown: Rendering, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of every detector one that finds the people of `shown`, frame after frame; the list says how many were looked for."""
    asked: list[int] = []

    class Detector:
        name, provider = "theatre", "test"

        def __init__(self) -> None:
            self.frame = -1

        def __call__(self, frame: np.ndarray) -> Detections:
            self.frame += 1
            keypoints = np.zeros((shown.pose.people, WHOLE_BODY, 2), np.float32)
            scores = np.zeros((shown.pose.people, WHOLE_BODY), np.float32)
            keypoints[:, BODY] = shown.pose.keypoints[self.frame]
            scores[:, BODY] = shown.pose.scores[self.frame]
            return Detections(keypoints, scores)

        def restart(self) -> None: ...

        def close(self) -> None: ...

    def create(name: str, *, max_people: int, **_: object) -> Detector:
        asked.append(max_people)
        return Detector()

    monkeypatch.setattr("bunraku.cues.perceive.create_pose_detector", create)
    return asked


LAYOUT_FOLDERS = {
    "tiktok": [f"{name}/images" for name in TIKTOK_TEST],
    "ted-talks": ["test/talk_1", "test/talk_2"],
    "multi-character": [f"dance_{number:02d}" for number in range(20)],
    "folder": ["a", "b"],
}


@pytest.mark.parametrize("layout", LAYOUT_FOLDERS)
def test_a_folder_in_the_layout_becomes_a_report(
    layout: str,
    shown: Rendering,
    detector: list[int],
    bunraku: Bunraku,
    tmp_path: Path,
) -> None:
    for folder in LAYOUT_FOLDERS[layout]:
        write(tmp_path / "data" / folder, shown.frames)
    out = tmp_path / "report"
    code, _, err = bunraku(
        "evaluate", "--model", "puppet-warp", "--benchmark", layout, "--data", tmp_path / "data", "--size", "72x72",
        "--metrics", "psnr,l1,psnr_character", "--no-baselines", "--clips", 2, "-o", out,
    )  # fmt: skip
    assert code == 0, err
    results = Results.load(out / "report.json")
    assert (results.benchmark, results.size) == (layout, (72, 72))
    assert len(results.clips) == 2
    assert results.protocol["source"] == "first frame"
    assert results.protocol.get("people") == (8 if layout == "multi-character" else None)
    assert results.reason("puppet-warp", "psnr_character") == "the clips have no masks of the characters"
    assert ("has 80 in its 20 clips" in " ".join(err.split())) == (layout == "multi-character")
    assert max(detector) == (9 if layout == "multi-character" else 2)
    page = (out / "report.html").read_text()
    assert "data:video/mp4;base64," in page
    assert json.loads((out / "report.json").read_text())["summary"]["puppet-warp"]["psnr"]["mean"] > 15


def test_everybody_in_the_first_frame_of_a_dance_is_followed_and_animated(
    shown: Rendering, detector: list[int], tmp_path: Path
) -> None:
    from bunraku.evaluation.metrics import psnr
    from bunraku.evaluation.systems import Warp

    write(tmp_path / "dance", shown.frames)
    both, one = (
        FootageBenchmark("folder", tmp_path, SIZE, people=8).clip(0),
        FootageBenchmark("folder", tmp_path, SIZE).clip(0),
    )
    assert (both.driving.people, both.reference_pose.people, one.driving.people) == (2, 2, 1)
    assert len(both.driving) == len(both.truth) == FRAMES - 1
    found = {tuple(np.rint(joints[0, 1]).tolist()) for joints in both.reference_pose.keypoints.swapaxes(0, 1)}
    assert found == {tuple(np.rint(neck).tolist()) for neck in shown.pose.keypoints[0, :, 1]}
    masked = Warp()
    moved = psnr(masked(both), both.truth, shown.instances[1:] > 0).mean()
    assert moved > psnr(masked(one), both.truth, shown.instances[1:] > 0).mean() + 0.7


def test_who_comes_in_later_is_not_followed(shown: Rendering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame is the source: whoever it does not show cannot be animated."""
    from bunraku.cues.cues import Cues

    scores = shown.pose.scores.copy()
    late = 0
    scores[0, late] = 0
    pose = PoseTrack(shown.pose.keypoints, scores, SIZE)
    monkeypatch.setattr(
        "bunraku.evaluation.benchmarks.perceive_frames",
        lambda frames, name, *_, **__: Cues(frames.fps, SIZE, name, pose),
    )
    write(tmp_path / "dance", shown.frames)
    for people in (1, 8):
        clip = FootageBenchmark("folder", tmp_path, SIZE, people=people).clip(0)
        assert clip.driving.people == 1
        np.testing.assert_array_equal(clip.driving.keypoints, shown.pose.keypoints[1:, 1:])


def test_multi_character_is_opened_for_several_people(shown: Rendering, tmp_path: Path) -> None:
    write(tmp_path / "dance", shown.frames)
    opened = open_benchmark("multi-character", data=tmp_path, size=SIZE, partial=True)
    assert isinstance(opened, FootageBenchmark)
    assert opened.people == 8
