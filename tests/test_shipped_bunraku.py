"""The shipped model of recipe bunraku: it is there, it is small, its card says what it is, and it mends what wrong poses do to the cut-out."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.metrics import psnr
from bunraku.evaluation.systems import PipelineSystem, Warp
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render, sample_scene
from bunraku.theatre.detector import corrupt
from bunraku.weights import load_pipeline

FOLDER = Path(str(files("bunraku") / "assets" / "bunraku"))
FRAMES = 16


def clip(seed: int, level: int = 0) -> BenchmarkClip:
    """The first frame of a held-out scene is the still; the poses of the others are exact, or found by a detector that fails."""
    scene = sample_scene(seed, "val")
    shown = render(scene, FRAMES + 1, 256)
    driving = shown.pose[1:]
    if level:
        driving = corrupt(driving, level, np.random.default_rng(seed))
    return BenchmarkClip(
        f"val/{seed}", scene.fps, shown.frames[0], shown.pose[:1], shown.instances[0], driving, False, shown.frames[1:], shown.pose[1:],
        shown.instances[1:], None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> PipelineSystem:
    pipeline = load_pipeline("bunraku")
    pipeline.set_progress_bar_config(disable=True)
    return PipelineSystem(pipeline, "bunraku")


def test_it_is_small_and_has_a_card():
    shipped = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in shipped) <= 40 * 2**20
    assert {path.suffix for path in shipped} <= {".json", ".safetensors", ".md"}
    card = (FOLDER / "README.md").read_text().lower()
    for word in ("bunraku train", "seed", "held-out", "puppet-warp", "codec", "limits"):
        assert word in card, word
    index = json.loads((FOLDER / "model_index.json").read_text())
    assert index["recipe"] == "bunraku"
    assert index["defaults"]["window"] == 8  # as many frames as its motion modules know


def test_it_mends_poses_and_leaves_right_ones_alone(model):
    """On puppets and motions that it never saw: places of joints, in pixels of 256."""

    def error(given: PoseTrack, one: BenchmarkClip) -> float:
        seen = (given.scores > 0) & (one.truth_pose.scores > 0)
        return float(np.linalg.norm(given.keypoints - one.truth_pose.keypoints, axis=-1)[seen].mean())

    for seed in (3, 4, 5):
        spoiled, clean = clip(seed, 2), clip(seed)
        refined = model.pipeline.refine(spoiled.driving, spoiled.reference_pose)
        assert error(refined, spoiled) < 0.7 * error(spoiled.driving, spoiled)
        assert (refined.scores > 0).sum() > (spoiled.driving.scores > 0).sum()  # limbs that were lost are there again
        assert error(model.pipeline.refine(clean.driving, clean.reference_pose), clean) < 0.3


@pytest.mark.slow
def test_it_mends_what_wrong_poses_make_of_the_cut_out_and_leaves_alone_what_is_right(model):
    gains = {0: [], 3: []}
    for level, gained in gains.items():
        for seed in (3, 4, 5):
            one = clip(seed, level)
            made, cut = (psnr(system(one), one.truth).mean() for system in (model, Warp()))
            gained.append(made - cut)
    assert np.mean(gains[3]) > 0.2
    assert np.mean(gains[0]) > -0.2
