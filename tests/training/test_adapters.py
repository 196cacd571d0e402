"""TCAN's first stage: a run that stops and goes on has the same adapters, bit for bit, and the frozen parts never move."""

from pathlib import Path

import torch

from bunraku.data.theatre import TheatreSamples
from bunraku.nets.lora import add_lora
from bunraku.nets.patch_codec import PatchCodec
from bunraku.recipes import get_recipe
from bunraku.training.config import training_config
from bunraku.training.trainer import Trainer
from tests.tiny import randomise
from tests.training.test_trainer import SMALL, _single_thread_and_fresh_accelerator  # noqa: F401

MINI = get_recipe("tcan").size("mini")


def trainer(folder: Path, **settings) -> Trainer:
    config = training_config(
        "tcan", "mini", 1, folder, {**SMALL, "steps": 4, "checkpoint_every": 2, "drop_condition": 0.5, **settings}
    )
    torch.manual_seed(0)
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    animator = randomise(MINI.build(False, MINI.options))
    add_lora(animator.denoiser, config.lora_rank, config.lora_rank, config.lora_layers)
    built = Trainer(config, animator, codec, TheatreSamples(0, "train", config.frames, config.picture, domain="humans"))
    return built


def state(t: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in t.animator.named_parameters()}


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = trainer(tmp_path / "whole")
    start = state(whole)
    whole.run()
    end = state(whole)
    trainer(tmp_path / "parts").run(until=2)
    again = trainer(tmp_path / "parts")
    again.run()
    assert again.step == 4
    assert all(torch.equal(value, end[name]) for name, value in state(again).items())

    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved <= set(whole.trained)
    assert any(".lora_A." in name for name in moved)
    assert any(name.startswith("reference_net.") for name in moved)
    assert not any(name.startswith("controlnet.") or ".base_layer." in name for name in moved)


def test_reference_net_alone_learns_from_every_batch(tmp_path):
    """A batch without reference would have no gradient to give."""
    alone = trainer(tmp_path, trains=("reference_net",), drop_condition=1.0, steps=1)
    before = state(alone)
    alone.run()
    moved = {name for name, value in state(alone).items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("reference_net.") for name in moved)


def test_gradient_checkpointing_of_controlnet_changes_nothing(tmp_path):
    learns = {"trains": ("controlnet",), "steps": 1, "drop_condition": 0.0}
    plain, saving = (trainer(tmp_path / str(on), gradient_checkpointing=on, **learns) for on in (False, True))
    assert saving.animator.controlnet.is_gradient_checkpointing
    plain.run()
    saving.run()
    after = state(saving)
    for name, value in state(plain).items():
        torch.testing.assert_close(value, after[name], rtol=1e-5, atol=1e-6, msg=name)
