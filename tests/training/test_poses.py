"""Training of PoseRefiner: it learns, it continues exactly, and it is what models of recipe bunraku start with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bunraku.cues.pose_refiner import PoseRefiner
from bunraku.errors import BunrakuError
from bunraku.training import poses as training
from bunraku.training.config import training_config
from bunraku.training.poses import PoseConfig, train_poses
from bunraku.training.run import start_networks
from tests.training.continues import assert_a_stopped_run_continues_exactly


@pytest.fixture
def config(tmp_path) -> PoseConfig:
    """A run of four steps of a narrow network."""
    return PoseConfig(
        tmp_path / "run",
        channels=16,
        layers=1,
        heads=2,
        window=16,
        batch=8,
        steps=4,
        warm_up=2,
        workers=0,
        seconds_per_checkpoint=0,
    )


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch):
    monkeypatch.setattr(training, "HELD_OUT", 3)


def test_a_stopped_run_continues_exactly(config, tmp_path, monkeypatch):
    assert_a_stopped_run_continues_exactly(
        training, train_poses, config, tmp_path / "stopped", ("net", "average"), monkeypatch
    )


def test_the_saved_network_is_the_average_and_all_of_it_has_learnt(config):
    net = train_poses(config)
    saved = PoseRefiner.from_pretrained(config.output / "model")
    assert saved.config.window == 16
    for name, value in net.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name]), name
    fresh = PoseRefiner(16, 1, 2, 16).state_dict()
    for name in ("out.weight", "bones.2.weight", "blocks.0.distance"):
        assert fresh[name].abs().max() == 0, name
        assert saved.state_dict()[name].abs().max() > 0, name


def test_errors_become_smaller(config):
    run = training.start(config)
    batch = training._held_out("spoiled", 16)
    before = training._loss(run.net, batch, 16, config)[1]["place"]
    longer = replace(config, steps=150, kernel_rate=0.03, learning_rate=5e-3)
    for _ in range(80):
        training.train_step(run, longer, batch)
    assert training._loss(run.net, batch, 16, config)[1]["place"] < 0.85 * before


def test_a_run_with_other_settings_is_refused(config):
    train_poses(config)
    with pytest.raises(BunrakuError, match=r"other settings: motion \(0.3 before, now 0.2\)"):
        train_poses(replace(config, motion=0.2))
    train_poses(replace(config, steps=5))  # longer is no other run


def test_a_new_model_starts_with_the_shipped_network_and_one_that_goes_on_keeps_its_own(tmp_path, config):
    given = training_config("bunraku", "small", 1, tmp_path / "model", {})
    refiner = start_networks(given, {})[0].pose_refiner
    shipped = start_networks(replace(given, init="bunraku"), {})[0].pose_refiner
    assert refiner.out.weight.abs().max() > 0
    for name, value in refiner.state_dict().items():
        assert torch.equal(value, shipped.state_dict()[name]), name
    train_poses(replace(config, channels=144, layers=5, heads=4, window=48, batch=2, steps=1))
    own = start_networks(replace(given, pose_refiner=str(config.output / "model")), {})[0].pose_refiner
    assert not np.allclose(own.embed.weight.detach(), refiner.embed.weight.detach())
    with pytest.raises(BunrakuError, match=r"no PoseRefiner in nowhere.*bunraku train poses"):
        start_networks(replace(given, pose_refiner="nowhere"), {})
