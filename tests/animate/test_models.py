"""What the models need of options and clip, and what they make of them."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate import AnimateOptions, animate
from bunraku.animate.driving import Driving, open_driving
from bunraku.animate.models import PuppetWarpAdapter, open_pipeline
from bunraku.animate.options import SCHEDULERS
from bunraku.cues.cues import Cues
from tests.video import read_video


@pytest.fixture
def clip(puppets: Path) -> Driving:
    return open_driving(puppets / "b.cues")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_samples(name: str, puppets: Path, tmp_path: Path, model_folder: Path) -> None:
    animate(
        puppets / "a.png",
        puppets / "b.cues",
        tmp_path / "out.mp4",
        AnimateOptions(model=str(model_folder), scheduler=name, steps=3, stop=2),
    )
    assert read_video(tmp_path / "out.mp4").frames.std() > 1


def test_schedulers_take_over_the_models_configuration(model_folder: Path) -> None:
    pipeline = open_pipeline(AnimateOptions(model=str(model_folder), scheduler="euler"))
    assert type(pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipeline.scheduler.config.prediction_type == "sample"


@pytest.mark.parametrize(
    ("shape", "options", "size"),
    [
        ((97, 63), {}, (96, 64)),
        ((2200, 1100), {}, (1024, 512)),
        ((97, 63), {"size": (50, 41)}, (50, 40)),
        ((97, 63), {"fit": "letterbox"}, (96, 62)),
        ((97, 63), {"fit": "crop", "size": (64, 64)}, (64, 64)),
    ],
)
def test_sizes_of_the_puppet_warp(shape: tuple[int, int], options: dict, size: tuple[int, int], clip: Driving) -> None:
    assert PuppetWarpAdapter(AnimateOptions(**options), clip).canvas(shape).output_size == size


def test_the_puppet_warp_names_the_options_that_it_has_no_use_for(
    clip: Driving, caplog: pytest.LogCaptureFixture
) -> None:
    PuppetWarpAdapter(AnimateOptions(model="puppet-warp", seed=3, device="cpu"), clip)
    assert not caplog.records
    PuppetWarpAdapter(
        AnimateOptions(
            model="puppet-warp",
            steps=4,
            guidance=2.0,
            scheduler="ddim",
            window=8,
            overlap=0,
            temperature=0.0,
            dtype="float16",
        ),
        clip,
    )
    assert [record.getMessage() for record in caplog.records] == [
        "puppet-warp has no steps, guidance, scheduler, window, overlap, temperature, dtype: they have no effect"
    ]


def test_a_large_reference_that_is_reduced_is_said(clip: Driving, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        PuppetWarpAdapter(AnimateOptions(), clip).canvas((1000, 800))
        PuppetWarpAdapter(AnimateOptions(size=(1200, 900)), clip).canvas((4565, 3110))
        assert "reduced" not in caplog.text
        assert PuppetWarpAdapter(AnimateOptions(), clip).canvas((4565, 3110)).output_size == (1024, 698)
    assert "of 4565x3110 px (height x width) is reduced to 1024x698; --size asks for more" in caplog.text


@pytest.mark.parametrize("model", ["puppet-warp", "a diffusion model"])
def test_any_model_follows_mended_poses(model: str, puppets: Path, tmp_path: Path, model_folder: Path) -> None:
    """Trembling poses of the character itself, as they are and mended, beside the true ones."""
    name = model if model == "puppet-warp" else str(model_folder)
    cues = Cues.load(puppets / "a.cues")
    assert cues.pose is not None
    tremble = np.random.default_rng(0).normal(0, 2, cues.pose.keypoints.shape).astype(np.float32)
    spoiled = replace(cues, pose=replace(cues.pose, keypoints=cues.pose.keypoints + tremble), media=None)
    spoiled.save(tmp_path / "spoiled.cues")
    made = {}
    for refine, driver in (
        (False, puppets / "a.cues"),
        (False, tmp_path / "spoiled.cues"),
        (True, tmp_path / "spoiled.cues"),
    ):
        options = (
            AnimateOptions(model=name, retarget="off")
            if refine
            else AnimateOptions(model=name, retarget="off", refine=False)
        )
        animate(puppets / "a.png", driver, tmp_path / "out.mp4", replace(options, overwrite=True))
        made[refine, driver.name] = read_video(tmp_path / "out.mp4").frames.astype(float)
    true = made[False, "a.cues"]
    wrong, mended = (np.abs(made[refine, "spoiled.cues"] - true).mean() for refine in (False, True))
    assert mended < (0.8 if name == model else 1) * wrong
