"""Parity with numbers recorded from the public code of Moore-AnimateAnyone: whole networks and whole loops, on its own weight
files (random, tiny). What the repository holds of the record is compared in test_recorded.py; the way from files to a video in
tests/weights/test_conversion.py.

Tolerances are those of the data's README: 5e-5 for a forward pass, 1e-4 after the sampling loop.
"""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import Encoded, Inputs
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.sampling.denoise import denoise
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.windows import time_windows
from bunraku.weights import convert, load_pipeline
from tests.golden import GOLDEN, SCHEDULER, moore_files, near, whole

pytestmark = whole


def arrays(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if file[key].dtype.kind in "fiu"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AnimationPipeline:
    """The weight files as the public code keeps them, converted; in float32."""
    folder = tmp_path_factory.mktemp("golden") / "model"
    convert(moore_files(folder.with_name("source"), ".safetensors"), folder, betas="linear")
    return load_pipeline(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def animator(pipeline: AnimationPipeline) -> AnimateAnyone:
    return pipeline.animator.eval()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def single() -> dict[str, torch.Tensor]:
    return arrays("single")


def guided(animator: AnimateAnyone, images: torch.Tensor) -> torch.Tensor:
    """Guider maps of drawn skeletons, uint8 (F, H, W, 3)."""
    return animator.encode_frames(Inputs({}, {"pose": images[None]}), {})["pose"]


def halves(
    animator: AnimateAnyone, token: torch.Tensor, reference: torch.Tensor, maps: torch.Tensor, noisy: torch.Tensor, step: int
) -> list[torch.Tensor]:  # fmt: skip
    """The predictions of the conditional half and of the other."""
    encoded = Encoded({"token": token, "reference": reference[:, None]}, {"pose": maps})
    frames, timestep = range(noisy.shape[2]), torch.tensor(step)
    return [
        animator.denoiser(noisy, timestep, animator.ports(encoded, frames, noisy, timestep, s)) for s in (True, False)
    ]


@torch.no_grad()
def test_reference_tokens(animator, single):
    tokens = animator.reference_net(single["ref_latents"], single["clip_image_embeds"][:, None])
    bank = arrays("single_bank")
    assert set(tokens) == set(bank)
    for name, value in tokens.items():
        near(value.flatten(1, 2)[0], bank[name][1])


@torch.no_grad()
def test_one_forward_pass_of_both_halves(animator, single):
    conditional, unconditional = halves(
        animator, single["clip_image_embeds"][:, None], single["ref_latents"], guided(animator, single["pose_images_u8"]),
        single["latents"], int(single["timestep"]),
    )  # fmt: skip
    near(conditional[0], single["noise_pred"][1])
    near(conditional[0], single["noise_pred_f64"][1])
    near(unconditional[0], single["noise_pred"][0])


def sampled(animator: AnimateAnyone, noise: torch.Tensor, images: torch.Tensor, **settings: Any) -> tuple[Any, ...]:
    """The loop over `noise`, guided by drawn poses: timesteps, and per step what the scheduler was handed and gave back."""
    scheduler, given, handed, latents = DDIMScheduler.from_config(SCHEDULER), arrays("conditioning"), [], []
    step = scheduler.step

    def recorded(prediction: torch.Tensor, *rest: Any, **named: Any) -> Any:
        handed.append(prediction)
        return step(prediction, *rest, **named)

    scheduler.step = recorded
    recorded.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]
    encoded = Encoded(
        {"token": given["clip_image_embeds"][:, None], "reference": given["ref_latents"][:, None]}, {"pose": guided(animator, images)}
    )  # fmt: skip

    def conditions(window: Any, noisy: torch.Tensor, timestep: torch.Tensor, shown: bool) -> Any:
        return animator.ports(encoded, window, noisy, timestep, shown)

    sampling = Sampling(guidance_scale=1.0, merge="uniform", wrap=True).but(settings)
    denoise(
        animator.denoiser, conditions, scheduler, noise, sampling,
        on_step=lambda step, timestep, x: (latents.append(x), x)[1],
    )  # fmt: skip
    return scheduler.timesteps.tolist(), torch.stack(handed), torch.stack(latents)


@torch.no_grad()
def test_sampling_loop_of_one_window(animator):
    run = arrays("pipeline_nocfg")
    timesteps, handed, latents = sampled(
        animator, run["latents_init"], run["pose_images_u8"], num_inference_steps=4, window=8
    )
    assert timesteps == run["timesteps"].tolist()
    near(handed, run["guided"], 1e-4)
    near(latents, run["latents"], 1e-4)


@torch.no_grad()
def test_sampling_loop_of_another_length_and_overlap(animator):
    run = arrays("pipeline_wrap11")
    assert [list(w) for w in time_windows(11, 8, 3, wrap=True)] == run["windows"].tolist()
    timesteps, handed, latents = sampled(
        animator,
        run["latents_init"],
        run["pose_images_u8"],
        num_inference_steps=3,
        window=8,
        overlap=3,
        guidance_scale=3.5,
    )
    assert timesteps == run["timesteps"].tolist()
    near(handed, run["guided"], 1e-4)
    near(latents, run["latents"], 1e-4)


@torch.no_grad()
def test_windows_of_a_guided_run_one_by_one(animator):
    given, run, inputs = arrays("conditioning"), arrays("pipeline_bank32"), arrays("inputs")
    token, step = given["clip_image_embeds"][:, None], int(given["timesteps"][0])
    for frames, expected in zip(run["windows"], run["pred_window_step0"], strict=True):
        noisy, maps = inputs["latents_init"][:, :, frames], given["pose_fea"][:, :, frames]
        conditional, unconditional = halves(animator, token, given["ref_latents"], maps, noisy, step)
        near(torch.cat([unconditional, conditional]), expected)
