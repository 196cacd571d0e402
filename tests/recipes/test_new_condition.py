"""What a new guided condition costs: a cue function, a part, and a recipe file. Here all three are in this test, and nothing else
knows of them: training, models on disk, inference and `animate` work."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from bunraku.animate import AnimateOptions, animate
from bunraku.cues.cues import Cues
from bunraku.cues.drawn import DRAWN, DrawFrames, draw_conditions
from bunraku.media import VideoReader, write_image
from bunraku.nets.patch_codec import PatchCodec
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import PoseGuider
from bunraku.recipes import RECIPES, Encoded, Inputs, Reads, Recipe, Stage, get_recipe
from bunraku.recipes.animate_anyone import AnimateAnyone, build_mini
from bunraku.recipes.parts import PARTS
from bunraku.training.config import training_config
from bunraku.training.run import train
from bunraku.weights import load_pipeline
from bunraku.weights.info import describe
from tests.tiny import walking_track


def draw_brightness(cues: Cues, size: tuple[int, int], level: int = 100) -> DrawFrames:
    """The cue function: a grey picture whose brightness is the number of the frame."""
    return lambda frames: np.stack([np.full((*size, 3), (level + frame) % 256, np.uint8) for frame in frames])


class BrightnessGuider(PoseGuider):
    """The part."""


class Brightness(AnimateAnyone):
    """The recipe."""

    def __init__(self, denoiser, reference_net, pose_guider, image_encoder, brightness_guider, options) -> None:
        super().__init__(denoiser, reference_net, pose_guider, image_encoder, options)
        self.brightness_guider = brightness_guider

    @property
    def reads(self) -> Reads:
        return replace(super().reads, frames=("pose", "brightness"))

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        maps = super().encode_frames(inputs, latents)
        return maps | {"brightness": self.brightness_guider(inputs.frame_pixels("brightness", self.dtype))}

    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        ports = super().ports(encoded, window, noisy, timestep, shown)
        return replace(ports, add=ports.add + encoded.at("brightness", window, ports.token))


def build(motion: bool, options: AnimateAnyone.Options) -> Brightness:
    parts: dict[str, Any] = build_mini(motion, options).parts()
    guider = BrightnessGuider(out_channels=64, block_out_channels=(48, 64), unshuffle=4, norm=True)
    return Brightness(**parts, brightness_guider=guider, options=options)


@pytest.fixture
def recipe(monkeypatch) -> Recipe:
    mini = get_recipe("animate-anyone").size("mini")
    stage = Stage(("denoiser", "brightness_guider"), mini.stages[1].settings)
    size = replace(mini, build=build, styles=dict(mini.styles) | {"brightness": {"level": 50}}, stages={1: stage})
    made = Recipe("brightness", "nowhere", Brightness, {"mini": size})
    monkeypatch.setitem(RECIPES, "brightness", made)
    monkeypatch.setitem(DRAWN, "brightness", draw_brightness)
    monkeypatch.setitem(PARTS, "brightness_guider", {"BrightnessGuider": __name__})
    return made


@pytest.mark.slow
def test_a_new_condition_needs_its_cue_function_its_part_and_its_recipe_alone(recipe, tmp_path: Path):
    AcceleratorState._reset_state(reset_partial_state=True)
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    codec.save_pretrained(tmp_path / "vae")
    settings = {
        "resolution": 64, "batch": 1, "frames": 2, "workers": 0, "steps": 2, "precision": "float32", "validation_clips": 1,
        "warmup": 0, "learning_rate": 0.1, "ema_decay": 0.0, "drop": {"brightness": 0.5}, "vae": str(tmp_path / "vae"),
    }  # fmt: skip
    model = train(training_config("brightness", "mini", 1, tmp_path / "run", settings))
    assert (tmp_path / "run" / "validation" / "step-2.png").is_file()

    pipeline = load_pipeline(model, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    assert isinstance(pipeline.animator, Brightness)
    assert pipeline.brightness_guider.conv_out.weight.any()  # it has learnt
    assert pipeline.styles["brightness"] == {"level": 50}
    found = describe(model)
    assert found["complete"]
    assert "brightness_guider" in found["parts"]
    # as a model that has learnt to use it
    torch.nn.init.normal_(pipeline.brightness_guider.conv_out.weight, std=1.0)
    torch.nn.init.normal_(pipeline.denoiser.conv_out.weight, std=0.1)
    pipeline.save_pretrained(tmp_path / "model")
    again = load_pipeline(tmp_path / "model", device="cpu")

    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    track = walking_track(3)
    stills, frames = draw_conditions(again, picture, track, track[:1])
    assert list(frames) == ["pose", "brightness"]
    assert frames["brightness"][[2]][0, 0, 0].tolist() == [52, 52, 52]
    again.set_progress_bar_config(disable=True)
    made = again(stills, frames, generator=torch.Generator().manual_seed(0)).frames
    dark = {"pose": frames["pose"], "brightness": np.zeros((3, 64, 64, 3), np.uint8)}
    assert not np.array_equal(made, again(stills, dark, generator=torch.Generator().manual_seed(0)).frames)

    write_image(tmp_path / "still.png", picture)
    Cues(12, track.size, "a test", pose=track).save(tmp_path / "motion.cues")
    options = AnimateOptions(model=str(tmp_path / "model"), retarget="off", device="cpu", steps=1, size=(64, 64))
    done = animate(tmp_path / "still.png", tmp_path / "motion.cues", tmp_path / "out.mp4", options)
    assert VideoReader(done.output).frames == 3
