"""Parity with numbers recorded from the public code of Moore-AnimateAnyone, on its own weight files (random, tiny).

Tolerances are those of the data's README: 5e-5 for a forward pass, 1e-4 after the sampling loop.
"""

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


@torch.no_grad()
def test_sampling_loop_of_one_window(animator):
    """4 DDIM steps without guidance: v-prediction, zero terminal SNR, trailing steps, linear betas as the public code has them."""
    given, run = arrays("conditioning"), arrays("pipeline_nocfg")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False, steps_offset=1,
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
    )  # fmt: skip
    token = given["clip_image_embeds"][:, None]
    guided, latents = animator.guide(poses(run["pose_images_u8"])), []
    denoise(
        animator, scheduler, run["latents_init"], lambda w: guided[:, :, w.start : w.stop], token,
        animator.reference(given["ref_latents"], token), steps=4, window=8,
        on_step=lambda step, timestep, x: (latents.append(x), x)[1],
    )  # fmt: skip
    assert scheduler.timesteps.tolist() == run["timesteps"].tolist()
    near(torch.stack(latents), run["latents"], 1e-4)


@torch.no_grad()
def test_windows_of_a_guided_run_one_by_one(animator):
    """The public code's windows wrap around the end and ours do not, so its windows are replayed, not its loop."""
    given, run, inputs = arrays("conditioning"), arrays("pipeline_bank32"), arrays("inputs")
    token = given["clip_image_embeds"][:, None]
    reference, step = animator.reference(given["ref_latents"], token), int(given["timesteps"][0])
    merged = torch.zeros_like(run["noise_pred"][0])
    count = torch.zeros(12)
    for frames, expected in zip(run["windows"], run["pred_window_step0"], strict=True):
        latents, guided = inputs["latents_init"][:, :, frames], given["pose_fea"][:, :, frames]
        halves = torch.cat(
            [
                animator.denoise(latents, step, torch.zeros_like(token), guided, None),
                animator.denoise(latents, step, token, guided, reference),
            ]
        )
        near(halves, expected)
        merged[:, :, frames] += halves
        count[frames] += 1
    unconditional, conditional = merged / count[:, None, None]
    near(unconditional + 3.5 * (conditional - unconditional), run["guided"][0, 0], 1e-4)
