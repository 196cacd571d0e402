"""`bunraku evaluate` end to end: models and clips in, reports out; what cannot be scored is named; memory stays flat."""

import json
import weakref
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bunraku.cues.drawn import draw_clip
from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.still_scene import in_still
from bunraku.errors import BunrakuError
from bunraku.evaluation.benchmarks import LARGEST_CLIP, FootageBenchmark, open_benchmark
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.metrics import psnr
from bunraku.evaluation.results import Results
from bunraku.evaluation.runner import evaluate
from bunraku.evaluation.scoring import Scorer
from bunraku.evaluation.systems import (
    GROUND,
    Composite,
    Copy,
    Warp,
    driving_cues,
    driving_poses,
    emptied,
    mattes_of,
)
from bunraku.evaluation.theatre_benchmark import TheatreBenchmark, benchmark_clip
from bunraku.media import VideoReader, VideoWriter, fit, write_image
from bunraku.perception.detector import DetectorName
from bunraku.perception.pose import PoseTrack
from bunraku.weights import load_pipeline
from tests.conftest import Bunraku


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """truth/ and generated/: three theatre clips of 9 frames as pictures, and the same with a brighter first, second, third clip."""
    root = tmp_path_factory.mktemp("pairs")
    for index in range(3):
        clip = benchmark_clip("solo", index)
        for number, frame in enumerate([clip.reference, *clip.truth[:8]]):
            brighter = np.minimum(frame.astype(int) + 4 * index, 255).astype(np.uint8)
            for folder, picture in (("truth", frame), ("generated", brighter)):
                (root / folder / str(index)).mkdir(parents=True, exist_ok=True)
                write_image(root / folder / str(index) / f"{number:02d}.png", picture)
    return root


def test_a_model_on_the_theatre_with_its_baselines(bunraku: Bunraku, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = ("evaluate", "--model", model_folder, "--benchmark", "theatre/noisy", "--clips", 2, "--steps", 1)
    metrics = ("--metrics", "psnr,psnr_character,flicker,lpips_vgg")
    code, printed, _ = bunraku(*arguments, *metrics, "--size", 128, "-o", out)
    assert code == 0
    assert "PSNR character" in printed
    results = Results.load(out / "report.json")
    model = model_folder.name
    assert list(results.systems) == [model, "puppet-warp", "copy", "codec"]
    assert [s.role for s in results.systems.values()] == ["model", "baseline", "baseline", "ceiling"]
    assert results.benchmark == "theatre-1/noisy"
    assert results.size == (128, 128)
    assert results.settings["num_inference_steps"] == 1
    assert results.command.startswith("bunraku evaluate --model")
    assert results.tags == {f"noisy/{i:03d}": {"level": str(i + 1)} for i in range(2)}
    assert "run `bunraku models pull" in results.systems[model].unavailable["lpips_vgg"]
    for index in range(2):
        clip = benchmark_clip("noisy", index)
        expected = psnr(np.broadcast_to(clip.reference, clip.truth.shape), clip.truth).mean()
        assert results.systems["copy"].clips[clip.name]["psnr"] == pytest.approx(expected)
    pipeline, clip = load_pipeline(model_folder), benchmark_clip("noisy", 1)
    with torch.no_grad():
        decoded = np.concatenate([pipeline.decode(pipeline.encode(frame)[:, :, None]) for frame in clip.truth])
    assert results.systems["codec"].clips[clip.name]["psnr"] == pytest.approx(
        psnr(decoded, clip.truth).mean(), abs=0.01
    )
    page = (out / "report.html").read_text()
    assert "theatre-1/noisy" in page
    assert "data:video/mp4;base64," in page

    again = tmp_path / "again"
    assert bunraku(*arguments, "--size", 128, "-o", again, "--no-baselines", "--metrics", "psnr").code == 0
    code, printed, _ = bunraku("evaluate", "--compare", out / "report.json", again / "report.json", "--json")
    assert code == 0
    compared = json.loads(printed)
    assert [row["difference"] for row in compared["rows"]] == [0]
    assert (
        bunraku("evaluate", "--compare", out / "report.json", again / "report.json", "-o", tmp_path / "c.json").code
        == 0
    )
    assert json.loads((tmp_path / "c.json").read_text()) == compared
    reports = (out / "report.json", again / "report.json")
    code, _, err = bunraku("evaluate", "--compare", *reports, "-o", out / "report.json")
    assert (code, "is also an input" in err) == (2, True)
    assert Results.load(out / "report.json").systems == results.systems


def test_the_puppet_warp_is_a_model_too(bunraku: Bunraku, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, _, err = bunraku(
        "evaluate", "--model", "puppet-warp", "--benchmark", "theatre/stage", "--clips", 1, "-o", out, "--metrics", "psnr_character,psnr"
    )  # fmt: skip
    assert code == 0, err
    results = Results.load(out / "report.json")
    assert [(name, s.role) for name, s in results.systems.items()] == [
        ("puppet-warp", "model"), ("composite", "baseline"), ("copy", "baseline"), ("codec", "ceiling")
    ]  # fmt: skip
    # in the driver's scene a copy of the still, which stands elsewhere, is far off
    assert results.summary("puppet-warp", "psnr").mean > results.summary("copy", "psnr").mean + 5  # type: ignore[union-attr]


def test_clips_that_exist(bunraku: Bunraku, pairs: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "--generated", pairs / "generated", "--truth", pairs / "truth", "-o", tmp_path)
    code, printed, _ = bunraku(*arguments, "--json")
    assert code == 0
    data = json.loads(printed)
    scores = data["systems"]["generated"]["clips"]
    assert scores["0"]["psnr"] == 100
    assert scores["1"]["l1"] == pytest.approx(4 / 255, abs=2e-3)
    assert set(data["systems"]) == {"generated", "copy"}
    assert data["benchmark"] == "folders"
    assert data["protocol"]["window_stride"] == 1
    assert scores["0"]["flicker"] == scores["0"]["flicker_truth"]
    assert json.loads((tmp_path / "report.json").read_text())["systems"] == data["systems"]


def test_what_cannot_be_scored_is_named_and_the_rest_is_scored(bunraku: Bunraku, pairs: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    for index in range(3):
        (broken / str(index)).mkdir(parents=True)
        for source in sorted((pairs / "generated" / str(index)).iterdir()):
            (broken / str(index) / source.name).write_bytes(source.read_bytes())
    (broken / "0" / "03.png").write_bytes(b"no picture")
    (broken / "2" / "08.png").unlink()
    (broken / "2" / "07.png").unlink()
    with VideoWriter(broken / "other.mp4", fps=Fraction(12), size=(128, 128)) as video:
        video.write(np.zeros((128, 128, 3), np.uint8))
    arguments = ("evaluate", "--generated", broken, "--truth", pairs / "truth", "-o", tmp_path / "report")
    code, _, err = bunraku(*arguments)
    assert code == 1
    results = Results.load(tmp_path / "report" / "report.json")
    assert results.clips == ["1"]
    assert set(results.failed) == {"0", "2", "other"}
    assert "03.png" in results.failed["0"]
    assert "6 frames to score" in results.failed["2"]
    assert "--on-mismatch trim" in results.failed["2"]
    assert "no clip of that name" in results.failed["other"]
    assert "3 clips were not scored" in err
    before = (tmp_path / "report" / "report.json").read_bytes()
    refused = bunraku(*arguments, "--on-mismatch", "trim")
    assert (refused.code, "--overwrite" in refused.err) == (2, True)
    assert (tmp_path / "report" / "report.json").read_bytes() == before
    assert bunraku(*arguments, "--on-mismatch", "trim", "--overwrite").code == 1
    assert Results.load(tmp_path / "report" / "report.json").clips == ["1", "2"]


def test_one_clip_has_no_distribution(bunraku: Bunraku, pairs: Path, tmp_path: Path) -> None:
    """The other refusal, that weights are missing, comes first where they are: what counts is that neither is a number."""
    arguments = ("evaluate", "--generated", pairs / "generated" / "1", "--truth", pairs / "truth" / "1", "-o", tmp_path)
    code, printed, _ = bunraku(*arguments, "--json")
    assert code == 0
    system = json.loads(printed)["systems"]["1"]
    assert len(system["clips"]) == 1
    assert "fvd" in system["unavailable"]
    assert not system["set"].get("fvd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what is to be evaluated"),
        (("--model", "mini", "--generated", "x", "--truth", "y"), "say what is to be evaluated"),
        (("--generated", "x"), "say what is to be evaluated"),
        (("--generated", "nowhere", "--truth", "nowhere"), "there is no folder nowhere"),
        (("--model", "mini", "--benchmark", "theatre/none"), "there are theatre/solo, theatre/bizarre"),
        (("--model", "mini", "--benchmark", "tik-tok"), "there is no benchmark 'tik-tok'"),
        (("--model", "mini", "--benchmark", "tiktok"), "give its folder with --data"),
        (("--model", "mini", "--benchmark", "tiktok", "--data", "."), "lacks 00337"),
        (("--model", "mini", "--size", "100"), "defined at 128, 256, 512"),
        (("--model", "mini", "--size", "128x256"), "square frames"),
        (("--model", "mini", "--clips", "0"), "give at least 1"),
        (("--model", "mini", "--metrics", "psnr,beauty"), "there is no metric beauty"),
        (("--model", "mini", "--metrics", "pck"), "needs a pose detector"),
        (("--model", "mini", "--window-stride", "0"), "window_stride is 0, expected at least 1"),
        (("--compare", "nothing.json", "nothing.json"), "nothing.json"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, bunraku: Bunraku, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = bunraku("evaluate", *arguments)
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_and_a_report_that_is_a_file(bunraku: Bunraku, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = bunraku("evaluate", "--generated", tmp_path / "empty", "--truth", pairs / "truth")
    assert code == 2
    assert "has no clips" in err
    (tmp_path / "file").write_text("")
    both = ("--generated", pairs / "generated", "--truth", pairs / "truth")
    code, _, err = bunraku("evaluate", *both, "-o", tmp_path / "file")
    assert code == 2
    assert "is a file" in err


def test_stills_have_nothing_to_be_scored_against(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "one.png", np.zeros((8, 8, 3), np.uint8))
    annotation = {"one": {"size": [8, 8], "keypoints": {"nose": [1, 2]}}}
    (tmp_path / "annotations.json").write_text(json.dumps(annotation))
    with pytest.raises(BunrakuError, match="nothing to score"):
        open_benchmark("bizarre-pose", data=tmp_path, size=(128, 128))


def test_footage_is_its_own_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Detected poses move with the crop; frame 0 is the still."""
    from bunraku.perception.pose import WHOLE_BODY, Detections

    picture = np.random.default_rng(0).integers(0, 250, (60, 100, 3), np.uint8)
    for number in range(4):
        write_image(tmp_path / f"{number}.png", picture + np.uint8(number))

    class Detector:
        name, provider = "still", "test"

        def __call__(self, frame: np.ndarray) -> Detections:
            assert frame.shape == (60, 100, 3)
            points = np.full((1, WHOLE_BODY, 2), 30, np.float32) + np.arange(WHOLE_BODY)[None, :, None] / 10
            return Detections(points + np.float32([20, 0]), np.ones((1, WHOLE_BODY), np.float32))

        def restart(self) -> None: ...

        def close(self) -> None: ...

    def create(name: DetectorName, **_: object) -> Detector:
        return Detector()

    monkeypatch.setattr("bunraku.cues.perceive.create_pose_detector", create)
    benchmark = FootageBenchmark("folder", tmp_path, (120, 120))
    clip = benchmark.clip(0)
    assert clip.truth.shape == (3, 120, 120, 3)
    assert clip.reference_pose.keypoints.shape[0] == 1
    np.testing.assert_allclose(clip.driving.keypoints[0, 0, 0], [60, 60])  # (50, 30) of 100x60 is the middle
    results, _ = evaluate([Copy()], benchmark, Scorer(["psnr", "flicker"]))
    assert list(results.systems["copy"].clips) == [tmp_path.name]


def test_a_clip_too_large_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch, pairs: Path) -> None:
    from bunraku.evaluation import benchmarks

    assert LARGEST_CLIP == 8 * 2**30
    monkeypatch.setattr(benchmarks, "LARGEST_CLIP", 1000)
    pair = benchmarks.PairBenchmark(pairs / "generated", pairs / "truth")
    with pytest.raises(
        BunrakuError, match=r"could be evaluated; 0: .*too large to be scored in one piece.*cut it into"
    ):
        evaluate([Copy()], pair, Scorer(["psnr"]))


@dataclass
class Counted:
    """Forty clips; counts how many of them are in memory at a time."""

    name, size, protocol, in_scene = "counted", (32, 32), {}, False
    alive: int = 0
    most: int = 0

    @property
    def names(self) -> list[str]:
        return [f"clip {i}" for i in range(40)]

    def clip(self, index: int) -> BenchmarkClip:
        frames = np.random.default_rng(index).integers(0, 256, (3, 32, 32, 3), np.uint8)
        nobody = PoseTrack(np.zeros((3, 0, 18, 2), np.float32), np.zeros((3, 0, 18), np.float32), (32, 32))
        clip = BenchmarkClip(
            self.names[index], Fraction(12), frames[0], nobody[:1], None, nobody, False, frames, nobody, None, None
        )
        self.alive += 1
        weakref.finalize(clip, self.gone)
        self.most = max(self.most, self.alive)
        return clip

    def gone(self) -> None:
        self.alive -= 1


def test_memory_does_not_grow_with_the_number_of_clips() -> None:
    counted, done = Counted(), []
    results, extremes = evaluate(
        [Copy()],
        counted,
        Scorer(["psnr"]),
        workers=2,
        on_progress=lambda what, now, total: done.append((what, now, total)),
    )
    assert len(results.clips) == 40
    assert done == [("clips", i, 40) for i in range(1, 41)]
    shown = {clip.clip for clip in (*extremes.best(), *extremes.worst())}
    ranked = sorted(results.clips, key=lambda name: results.systems["copy"].clips[name]["psnr"] or 0)
    assert shown == {*ranked[:3], *ranked[-3:]}
    assert counted.most <= 6 + 10


def test_retargeting_only_where_bodies_differ() -> None:
    solo, odd = benchmark_clip("solo", 0), benchmark_clip("bizarre", 0)
    assert driving_poses(solo) is solo.driving
    told, truth = driving_poses(odd), odd.truth_pose
    seen = (truth.scores > 0) & (told.scores > 0)

    def away(track: PoseTrack) -> float:
        return float(np.linalg.norm(track.keypoints - truth.keypoints, axis=-1)[seen].mean())

    assert away(told) < 0.5 * away(odd.driving)
    assert driving_poses(odd, "off") is odd.driving
    parts = driving_poses(odd, "align")
    assert away(parts) < 0.5 * away(odd.driving)
    assert away(parts) != away(told)


def test_the_emptied_stage_shows_what_is_behind() -> None:
    clip = benchmark_clip("stage", 0)
    assert clip.driver is not None
    empty = emptied(clip.driver)
    near = np.stack([cv2.dilate(who, np.ones((3, 3), np.uint8)) for who in clip.driver.instances]) > 0
    free = ~near | ((clip.driver.instances == 0) & (clip.driver.occluders | clip.driver.held))
    np.testing.assert_array_equal(empty[free], clip.driver.frames[free])
    warped = Warp()(clip)
    behind = clip.driver.occluders
    np.testing.assert_array_equal(warped[behind], clip.driver.frames[behind])


def test_the_composite_is_the_figure_over_the_emptied_stage() -> None:
    """A perfect animator before the plain ground gives, away from what stands in front, nearly the truth."""
    clip = benchmark_clip("stage", 2)
    assert clip.driver is not None
    assert clip.instances is not None

    class Perfect:
        name, role, description = "perfect", "model", ""

        def __call__(self, plain: BenchmarkClip) -> np.ndarray:
            assert plain.driver is None
            assert (plain.reference[plain.reference_instances == 0] == GROUND).all()
            return np.where(clip.instances[..., None] > 0, clip.truth, np.uint8(GROUND))  # type: ignore[index]

    made = Composite(Perfect())(clip)  # type: ignore[arg-type]
    assert made.dtype == np.uint8
    assert psnr(made, clip.truth).mean() > 23
    assert psnr(made, clip.truth, clip.instances > 0).mean() > 19
    assert psnr(made, clip.truth).mean() > psnr(Composite(Copy())(clip), clip.truth).mean() + 2
    with pytest.raises(BunrakuError, match="solo/000 has no driving scene"):
        Composite(Copy())(benchmark_clip("solo", 0))


def test_a_figure_outside_the_frame_leaves_the_emptied_stage() -> None:
    clip = benchmark_clip("stage", 2)
    assert clip.driver is not None
    nobody = PoseTrack(clip.driving.keypoints, clip.driving.scores * 0, clip.driving.size)
    away = replace(clip, driving=nobody, retarget=False)
    np.testing.assert_array_equal(Composite(Copy())(away), emptied(clip.driver))


@pytest.mark.slow
def test_real_footage(bunraku: Bunraku, assets: Path, model_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "clips").mkdir()
    with VideoWriter(tmp_path / "clips" / "dance.mp4", fps=Fraction(24), size=(384, 256)) as video:
        for frame in VideoReader(assets / "drivers" / "dance_plain.mp4", start=0, stop=6):
            video.write(fit(frame, (384, 256), "crop")[0])
    code, printed, err = bunraku(
        "evaluate", "--model", model_folder, "--benchmark", "folder", "--data", tmp_path / "clips", "--pose", "mediapipe",
        "--size", "96x64", "-o", tmp_path / "report", "--json",
    )  # fmt: skip
    assert code == 0, err
    systems = json.loads(printed)["systems"]
    scores = {name: system["clips"]["dance"] for name, system in systems.items()}
    assert scores["copy"]["pose_found"] == 1
    assert scores["copy"]["pck"] > 0.9  # hardly anything moves in six frames
    assert scores["puppet-warp"]["psnr"] > 20
    assert "psnr_character" not in scores["copy"]  # footage has no masks


def test_theatre_benchmark_at_both_sizes() -> None:
    assert TheatreBenchmark("crowd", 256, 1).clip(0).truth.shape[1:] == (256, 256, 3)


def test_models_are_given_the_scene_of_the_stage() -> None:
    clip = benchmark_clip("stage", 0)
    assert clip.driver is not None
    cues = driving_cues(clip)
    drawn = {
        name: d[[0, 5]]
        for name, d in draw_clip(("mask", "environment", "object", "structured_depth"), cues, (128, 128), {}).items()
    }
    hole = drawn["mask"][..., 0] > 0
    driver = clip.driver.instances[[0, 5]] > 0
    assert hole[driver].all()
    assert not drawn["environment"][hole].any()
    np.testing.assert_array_equal(drawn["environment"][~hole], clip.driver.frames[[0, 5]][~hole])
    things = clip.driver.objects[[0, 5]]
    np.testing.assert_array_equal(drawn["object"][things], clip.driver.frames[[0, 5]][things])
    # depth goes with the poses, which have the proportions of the character
    skeleton = draw_skeleton(cues.pose[[0, 5]], hands=False).any(-1)  # type: ignore[index]
    assert ((drawn["structured_depth"][..., 0] > 0) & skeleton).sum() > 0.8 * skeleton.sum()


def test_a_model_for_scenes_stays_in_the_still_where_there_is_no_other() -> None:
    """The still's own background, without its character, and a hole wherever the character will be."""
    clip = benchmark_clip("solo", 1)
    cues = in_still(driving_cues(clip), clip.reference, clip.reference_pose, mattes_of(clip, "exact"))
    drawn = {
        name: d[range(len(clip.truth))] for name, d in draw_clip(("mask", "environment"), cues, (128, 128), {}).items()
    }
    hole = drawn["mask"][..., 0] > 0
    assert hole[:, clip.reference_instances > 0].all()  # type: ignore[operator]
    assert hole[clip.instances > 0].mean() > 0.95  # type: ignore[operator]
    assert hole.mean() < 0.6
    np.testing.assert_array_equal(drawn["environment"][3][~hole[3]], clip.reference[~hole[3]])
    found = in_still(driving_cues(clip), clip.reference, clip.reference_pose, None)
    assert (found.maps["hole"] == cues.maps["hole"]).mean() > 0.95
