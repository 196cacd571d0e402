"""Parity with the public Animate Anyone code by the part of its recorded numbers that the repository holds.

Tolerances are those of the data's README: 5e-5 for a forward pass, 1e-4 after the sampling loop.
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from bunraku.nets.ports import Ports
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import Encoded, Inputs
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.sampling.denoise import denoise
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.windows import time_windows
from bunraku.weights import convert, load_pipeline
from tests.golden import RECORDED, SCHEDULER, moore_files, near, recorded

WINDOWS = json.loads((RECORDED / "windows.json").read_text())
STEPS = json.loads((RECORDED / "timesteps.json").read_text())


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AnimationPipeline:
    """The public code's own files, converted; noise in the deep levels."""
    folder = tmp_path_factory.mktemp("recorded") / "model"
    convert(moore_files(folder.with_name("source"), ".safetensors", complete=False), folder, betas="linear")
    return load_pipeline(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def animator(pipeline: AnimationPipeline) -> AnimateAnyone:
    return pipeline.animator.eval()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def forward() -> dict[str, Tensor]:
    return recorded("forward")


@torch.no_grad()
def test_pose_features(animator: AnimateAnyone, forward: dict[str, Tensor]) -> None:
    maps = animator.encode_frames(Inputs({}, {"pose": forward["pose_images_u8"][None, :2]}), {})["pose"]
    near(maps, forward["pose_fea"])


@torch.no_grad()
def test_conditioning_from_the_reference_picture(animator: AnimateAnyone, pipeline: AnimationPipeline) -> None:
    picture = recorded("picture")
    near(animator.image_token(picture["reference_image_u8"][None])[:, 0], picture["clip_image_embeds"])
    near(pipeline.encode(picture["reference_image_u8"].numpy()), picture["ref_latents"])


@torch.no_grad()
def test_reference_tokens_on_the_way_down(animator: AnimateAnyone, forward: dict[str, Tensor]) -> None:
    tokens = animator.reference_net(forward["ref_latents"], forward["clip_image_embeds"][:, None])
    compared = [name for name in tokens if name.startswith(("down_blocks.0", "down_blocks.1"))]
    assert len(compared) == 4
    for name in compared:
        near(tokens[name].flatten(1, 2)[0], forward[f"reference.{name}"])


@torch.no_grad()
@pytest.mark.parametrize(("half", "shown"), [(0, False), (1, True)], ids=["unconditional", "conditional"])
def test_one_forward_pass_around_the_deep_levels(
    animator: AnimateAnyone, forward: dict[str, Tensor], half: int, shown: bool
) -> None:
    """Where the deep levels end, their recorded output takes the place of what their noise gave."""
    token, clean, timestep = forward["clip_image_embeds"][:, None], forward["ref_latents"], torch.tensor(481)
    maps = animator.encode_frames(Inputs({}, {"pose": forward["pose_images_u8"][None]}), {})["pose"]
    encoded = Encoded({"token": token, "reference": clean}, {"pose": maps})
    tokens = animator.reference_net(clean, token)
    for name, value in tokens.items():
        if (known := forward.get(f"reference.{name}")) is not None:
            tokens[name] = known.reshape(value.shape)
    encoded.once("reference", lambda: animator.denoiser.project_reference(tokens))

    levels = animator.denoiser
    came_down: list[Tensor] = []
    deep = forward["up_blocks.1"][half].transpose(0, 1)  # (F, C, h, w)
    hooks = (
        levels.down_blocks[1].downsamplers[0].register_forward_hook(lambda _, __, out: came_down.append(out)),
        levels.up_blocks[1].upsamplers[0].register_forward_hook(lambda _, __, out: deep.reshape(out.shape)),
    )
    try:
        ports = animator.ports(encoded, range(8), forward["latents"], timestep, shown)
        prediction = animator.denoiser(forward["latents"], timestep, ports)
    finally:
        for hook in hooks:
            hook.remove()
    near(came_down[0], forward["down_blocks.1"][half].transpose(0, 1))
    near(prediction[0], forward["noise_pred"][half])


def test_predictions_of_windows_that_wrap_are_averaged_then_guided() -> None:
    """One channel of the first step; what the network says of each window and half is the recorded answer."""
    loop, handed = recorded("loop"), []
    windows = [tuple(window) for window in loop["windows"].tolist()]
    scheduler = DDIMScheduler.from_config(SCHEDULER)

    def conditions(window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        return Ports(torch.tensor([[[windows.index(tuple(window)), int(shown)]]], dtype=torch.float32))

    def predict(noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
        asked = ports.token[:, 0].long()
        return loop["pred_window_step0"][asked[:, 0], asked[:, 1]][:, None]

    step = scheduler.step

    def kept(prediction: Tensor, *rest: Any, **named: Any) -> Any:
        handed.append(prediction)
        return step(prediction, *rest, **named)

    scheduler.step = kept
    sampling = Sampling(num_inference_steps=1, guidance_scale=3.5, window=8, overlap=4, merge="uniform", wrap=True)
    denoise(predict, conditions, scheduler, torch.zeros(1, 1, 12, 24, 16), sampling)
    near(handed[0][0, 0], loop["guided_step0"], 1e-5)


def test_latents_after_every_step_of_the_scheduler() -> None:
    """Of the first three frames. The previous step is t - 1000 // 6, which is not always the next one."""
    loop, latents = recorded("loop"), []
    answers = iter(loop["guided"])

    def keep(step: int, timestep: Tensor, x: Tensor) -> Tensor:
        assert int(timestep) == loop["timesteps"][step]
        latents.append(x)
        return x

    denoise(
        lambda noisy, timestep, ports: next(answers), lambda *_: Ports(torch.zeros(1, 1, 1)),
        DDIMScheduler.from_config(SCHEDULER), loop["latents_init"],
        Sampling(num_inference_steps=6, guidance_scale=1.0, window=8, overlap=4), on_step=keep,
    )  # fmt: skip
    near(torch.stack(latents), loop["latents"], 1e-4)


def test_the_preset_is_the_recorded_setting(pipeline: AnimationPipeline) -> None:
    kept = {key: value for key, value in SCHEDULER.items() if not key.startswith("_")}
    assert {key: pipeline.scheduler.config[key] for key in kept} == kept
    assert (pipeline.sampling.window, pipeline.sampling.overlap) == (24, 4)


@pytest.mark.parametrize("setting", WINDOWS)
def test_windows_of_the_public_scheduler(setting: dict[str, Any]) -> None:
    """Its pipelines never ask for another stride, nor for windows that move from step to step."""
    windows = time_windows(setting["num_frames"], setting["context_size"], setting["context_overlap"], wrap=True)
    assert [list(w) for w in windows] == setting["windows"]


@pytest.mark.parametrize("steps", STEPS)
def test_timesteps_of_the_public_scheduler(steps: str) -> None:
    scheduler = DDIMScheduler.from_config(SCHEDULER)
    scheduler.set_timesteps(int(steps))
    assert scheduler.timesteps.tolist() == STEPS[steps]["timesteps"]
    assert [t - 1000 // int(steps) for t in STEPS[steps]["timesteps"]] == STEPS[steps]["prev_timesteps"]
