"""Animator: the wiring of the four networks."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from bunraku.nets.animator import Animator, clip_pixels, unit_pixels
from bunraku.nets.pose_guider import LiteralPoseGuider
from tests.tiny import randomise


@pytest.fixture
def animator(tiny_pipeline) -> Animator:
    p = tiny_pipeline
    return Animator(p.denoiser, p.reference_net, p.pose_guider, p.image_encoder, reference_pose=True)


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "latents": torch.randn(2, 4, 3, 8, 8, generator=generator),
        "timestep": torch.tensor([100, 700]),
        "poses": torch.rand(2, 3, 3, 64, 64, generator=generator),
        "reference_latents": torch.randn(2, 4, 8, 8, generator=generator),
        "clip_pixels": torch.randn(2, 3, 32, 32, generator=generator),
        "reference_pose": torch.rand(2, 3, 64, 64, generator=generator),
    }


@torch.no_grad()
def test_forward_is_the_steps_that_inference_takes(animator, inputs):
    token = animator.image_token(inputs["clip_pixels"])
    assert token.shape == (2, 1, 16)
    reference = animator.reference(inputs["reference_latents"], token, inputs["reference_pose"])
    stepwise = animator.denoise(
        inputs["latents"], inputs["timestep"], token, animator.guide(inputs["poses"]), reference
    )
    assert torch.equal(animator(**inputs), stepwise)


@pytest.mark.parametrize("what", ["poses", "reference_latents", "clip_pixels", "reference_pose", "latents", "timestep"])
@torch.no_grad()
def test_every_condition_matters(animator, inputs, what):
    changed = inputs | {what: inputs[what].flip(0)}
    assert not torch.allclose(animator(**inputs), animator(**changed), atol=1e-3)


@pytest.mark.parametrize("what", ["reference_latents", "clip_pixels", "reference_pose"])
@torch.no_grad()
def test_unconditional_half_sees_pose_but_neither_reference_nor_image(animator, inputs, what):
    calls: list[str] = []
    animator.reference_net.register_forward_hook(lambda *_: calls.append("reference"))
    animator.image_encoder.register_forward_hook(lambda *_: calls.append("image"))
    out = animator(**inputs, unconditional=True)
    assert not calls
    assert torch.equal(animator(**inputs | {what: inputs[what].flip(0)}, unconditional=True), out)
    assert not torch.allclose(
        animator(**inputs | {"poses": inputs["poses"].flip(0)}, unconditional=True), out, atol=1e-3
    )
    zero = torch.zeros(2, 1, 16)
    assert torch.equal(
        animator.denoise(inputs["latents"], inputs["timestep"], zero, animator.guide(inputs["poses"]), None), out
    )


@torch.no_grad()
def test_reference_pose_is_ignored_where_the_model_does_not_want_it(animator, inputs):
    animator.reference_pose = False
    assert torch.equal(animator(**inputs), animator(**inputs | {"reference_pose": None}))


@torch.no_grad()
def test_before_training_the_guider_changes_nothing_and_the_frames_are_independent(animator, inputs):
    for parameter in animator.pose_guider.conv_out.parameters():
        parameter.zero_()
    for name, parameter in animator.denoiser.motion_parameters.items():
        if ".proj_out." in name:
            parameter.zero_()
    out = animator(**inputs)
    assert torch.equal(out, animator(**inputs | {"poses": torch.zeros_like(inputs["poses"])}))
    first = {k: v[:, :, :1] if k in ("latents", "poses") else v for k, v in inputs.items()}
    torch.testing.assert_close(animator(**first), out[:, :, :1])


@torch.no_grad()
def test_literal_guider_enters_before_conv_in(animator, inputs):
    literal = randomise(LiteralPoseGuider(out_channels=4, block_out_channels=(4, 4, 8, 8))).eval()
    animator.pose_guider, animator.reference_pose = literal, False
    token = animator.image_token(inputs["clip_pixels"])
    reference = animator.reference(inputs["reference_latents"], token)
    moved = inputs["latents"] + literal(inputs["poses"])
    expected = animator.denoiser(moved, inputs["timestep"], token, reference=reference)
    assert torch.equal(animator(**inputs), expected)


def test_clip_pixels_are_those_of_the_public_preprocessing():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    resized = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
    expected = CLIPImageProcessor()(resized, return_tensors="np").pixel_values
    ours = clip_pixels(image[None], 224)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_unit_pixels():
    images = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3).repeat(2, axis=2)
    pixels = unit_pixels(images)
    assert pixels.shape == (1, 3, 1, 2)
    np.testing.assert_allclose(pixels[0, :, 0, 0], [0, 0.2, 1])
    assert pixels.is_contiguous()
    assert images.max() == 255  # the input stays
