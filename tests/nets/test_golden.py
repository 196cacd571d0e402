"""Parity with numbers recorded from the public code of Moore-AnimateAnyone, on its own weight files (random, tiny).

Tolerances are those of the data's README: 5e-5 for a forward pass, 1e-4 after the sampling loop.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from einops import rearrange
from transformers import CLIPVisionModelWithProjection

from bunraku.nets.animator import Animator, clip_pixels, unit_pixels
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.sampling.denoise import denoise
from bunraku.sampling.windows import time_windows

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not there")

CONFIG: dict[str, Any] = {
    "block_out_channels": (32, 32, 64, 64),
    "num_attention_heads": 4,
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
}
BEHIND_THE_TAIL = tuple(
    f"up_blocks.3.attentions.2.{part}"
    for part in ("proj_out", *(f"transformer_blocks.0.{p}" for p in ("attn1", "norm2", "attn2", "norm3", "ff")))
)
MOTION_NAMES = {
    ".temporal_transformer": "", "attention_blocks.0.": "attn1.", "attention_blocks.1.": "attn2.",
    "norms.0.": "norm1.", "norms.1.": "norm2.", "ff_norm": "norm3",
}  # fmt: skip


def arrays(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if file[key].dtype.kind in "fiu"}


def weights(name: str) -> dict[str, torch.Tensor]:
    state = torch.load(GOLDEN / "weights" / f"{name}.pth", weights_only=True)
    return {key: value.float() for key, value in state.items() if not key.endswith(".pe")}


def motion_weights() -> dict[str, torch.Tensor]:
    state = {}
    for key, value in weights("motion_module").items():
        for theirs, ours in MOTION_NAMES.items():
            key = key.replace(theirs, ours)
        state[key] = value
    return state


@pytest.fixture(scope="module")
def animator() -> Animator:
    denoiser, reference_net = Denoiser(**CONFIG), ReferenceNet(**CONFIG)
    guider = PoseGuider(out_channels=32, block_out_channels=(8, 16, 24, 32))
    denoiser.load_state_dict(weights("denoising_unet") | motion_weights())
    report = reference_net.load_state_dict(weights("reference_unet"), strict=False)
    assert not report.missing_keys
    assert all(key.startswith(BEHIND_THE_TAIL) for key in report.unexpected_keys)
    guider.load_state_dict(weights("pose_guider"))
    encoder = CLIPVisionModelWithProjection.from_pretrained(GOLDEN / "weights" / "image_encoder")
    return Animator(denoiser, reference_net, guider, encoder.float()).eval()


@pytest.fixture(scope="module")
def single() -> dict[str, torch.Tensor]:
    return arrays("single")


def poses(images: torch.Tensor) -> torch.Tensor:
    return rearrange(unit_pixels(images), "f c h w -> 1 c f h w").contiguous()


def near(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 5e-5) -> None:
    torch.testing.assert_close(actual, expected.to(actual.dtype), atol=tolerance, rtol=0)


@torch.no_grad()
def test_pose_features(animator, single):
    near(animator.guide(poses(single["pose_images_u8"])), single["pose_fea"])


@torch.no_grad()
def test_reference_tokens(animator, single):
    tokens = animator.reference_net(single["ref_latents"], single["clip_image_embeds"][:, None])
    bank = arrays("single_bank")
    assert set(tokens) == set(bank)
    for name, value in tokens.items():
        near(value.flatten(1, 2)[0], bank[name][1])


@torch.no_grad()
def test_one_forward_pass_of_both_halves(animator, single):
    token = single["clip_image_embeds"][:, None]
    guided, step = animator.guide(poses(single["pose_images_u8"])), int(single["timestep"])
    reference = animator.reference(single["ref_latents"], token)
    conditional = animator.denoise(single["latents"], step, token, guided, reference)
    near(conditional[0], single["noise_pred"][1])
    near(conditional[0], single["noise_pred_f64"][1])
    near(animator.denoise(single["latents"], step, torch.zeros_like(token), guided, None)[0], single["noise_pred"][0])


@torch.no_grad()
def test_conditioning_from_the_reference_picture(animator):
    inputs, expected = arrays("inputs"), arrays("conditioning")
    image = inputs["reference_image_u8"].numpy()
    pixels = clip_pixels(image[None], 224)
    near(pixels, inputs["clip_pixel_values"], 1e-5)
    near(animator.image_token(pixels)[:, 0], expected["clip_image_embeds"])
    vae = AutoencoderKL.from_pretrained(GOLDEN / "weights" / "vae").float()
    latents = vae.encode(unit_pixels(image)[None] * 2 - 1).latent_dist.mode() * 0.18215
    near(latents, expected["ref_latents"])
    near(animator.guide(poses(inputs["pose_images_u8"])), expected["pose_fea"])


SCHEDULER = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False, "steps_offset": 1,
    "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
}  # fmt: skip
"""As the public code has it at inference: linear betas, v-prediction, zero terminal SNR, trailing steps."""


def sampled(animator: Animator, noise: torch.Tensor, images: torch.Tensor, **settings: Any) -> tuple[Any, ...]:
    """The loop over `noise`, guided by drawn poses: timesteps, and per step what the scheduler was handed and gave back."""
    scheduler, given, handed, latents = DDIMScheduler(**SCHEDULER), arrays("conditioning"), [], []
    step = scheduler.step

    def recorded(prediction: torch.Tensor, *rest: Any, **named: Any) -> Any:
        handed.append(prediction)
        return step(prediction, *rest, **named)

    scheduler.step = recorded
    recorded.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]
    token, guided = given["clip_image_embeds"][:, None], animator.guide(poses(images))
    reference = animator.reference(given["ref_latents"], token)
    denoise(
        animator, scheduler, noise, lambda w: guided[:, :, list(w)], token, lambda t: reference, merge="uniform", wrap=True,
        on_step=lambda step, timestep, x: (latents.append(x), x)[1], **settings,
    )  # fmt: skip
    return scheduler.timesteps.tolist(), torch.stack(handed), torch.stack(latents)


@torch.no_grad()
def test_sampling_loop_of_one_window(animator):
    run = arrays("pipeline_nocfg")
    timesteps, handed, latents = sampled(animator, run["latents_init"], run["pose_images_u8"], steps=4, window=8)
    assert timesteps == run["timesteps"].tolist()
    near(handed, run["guided"], 1e-4)
    near(latents, run["latents"], 1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("variant", "tolerance"), [("bank32", 1e-4), ("shipped", 1e-3)])
def test_sampling_loop_of_windows_that_wrap(animator, variant, tolerance):
    """Six guided steps over 12 frames. In "shipped" the public code rounds the reference tokens to half precision."""
    run, inputs = arrays(f"pipeline_{variant}"), arrays("inputs")
    assert [list(w) for w in time_windows(12, 8, 4, wrap=True)] == run["windows"].tolist()
    timesteps, handed, latents = sampled(
        animator, inputs["latents_init"], inputs["pose_images_u8"], steps=6, window=8, overlap=4, guidance_scale=3.5
    )
    assert timesteps == arrays("conditioning")["timesteps"].tolist()
    near(handed, run["guided"], tolerance)
    near(latents, run["latents"], tolerance)
    if variant == "bank32":
        exact = arrays("pipeline_bank32_f64")
        near(latents[-1], exact["latents_final"], tolerance)
        vae = AutoencoderKL.from_pretrained(GOLDEN / "weights" / "vae").float()
        frames = rearrange(latents[-1] / 0.18215, "1 c f h w -> f c h w")
        video = rearrange((vae.decode(frames).sample / 2 + 0.5).clamp(0, 1), "f c h w -> 1 c f h w")
        near(video[:, :, [0, 5, 11]], run["video_f32_frames_0_5_11"], 1e-4)
        assert ((video * 255).round() - run["video_u8"].float()).abs().max() <= 1


@torch.no_grad()
def test_sampling_loop_of_another_length_and_overlap(animator):
    run = arrays("pipeline_wrap11")
    assert [list(w) for w in time_windows(11, 8, 3, wrap=True)] == run["windows"].tolist()
    timesteps, handed, latents = sampled(
        animator, run["latents_init"], run["pose_images_u8"], steps=3, window=8, overlap=3, guidance_scale=3.5
    )
    assert timesteps == run["timesteps"].tolist()
    near(handed, run["guided"], 1e-4)
    near(latents, run["latents"], 1e-4)


@torch.no_grad()
def test_windows_of_a_guided_run_one_by_one(animator):
    given, run, inputs = arrays("conditioning"), arrays("pipeline_bank32"), arrays("inputs")
    token = given["clip_image_embeds"][:, None]
    reference, step = animator.reference(given["ref_latents"], token), int(given["timesteps"][0])
    for frames, expected in zip(run["windows"], run["pred_window_step0"], strict=True):
        latents, guided = inputs["latents_init"][:, :, frames], given["pose_fea"][:, :, frames]
        halves = torch.cat(
            [
                animator.denoise(latents, step, torch.zeros_like(token), guided, None),
                animator.denoise(latents, step, token, guided, reference),
            ]
        )
        near(halves, expected)


def recorded(name: str) -> Any:
    path = GOLDEN / "config" / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else []


@pytest.mark.parametrize("setting", [s for s in recorded("context_windows") if s["context_stride"] == 1])
def test_windows_of_the_public_scheduler(setting):
    """Its pipelines never ask for another stride, nor for windows that move from step to step."""
    windows = time_windows(setting["num_frames"], setting["context_size"], setting["context_overlap"], wrap=True)
    assert [list(w) for w in windows] == setting["windows"]


@pytest.mark.parametrize("steps", recorded("ddim_timesteps"))
def test_timesteps_of_the_public_scheduler(steps):
    scheduler, expected = DDIMScheduler(**SCHEDULER), recorded("ddim_timesteps")[steps]
    scheduler.set_timesteps(int(steps))
    assert scheduler.timesteps.tolist() == expected["timesteps"]
    assert [t - 1000 // int(steps) for t in expected["timesteps"]] == expected["prev_timesteps"]
