"""Animator: the wiring of Animate Anyone's networks, the same in training and in inference."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from bunraku.nets.ports import Ports, stack_ports
from bunraku.nets.pose_guider import LiteralPoseGuider
from bunraku.recipes import Encoded, Inputs
from bunraku.recipes.animate_anyone import AnimateAnyone
from tests.tiny import randomise


@pytest.fixture
def animator(tiny_pipeline) -> AnimateAnyone:
    return tiny_pipeline.animator


def pictures(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def given() -> dict[str, Any]:
    """Arguments of `Animator.forward` for two clips of three frames."""
    generator = torch.Generator().manual_seed(3)
    stills = {"reference": pictures(2, 64, 64, 3, seed=1), "reference_pose": pictures(2, 64, 64, 3, seed=2)}
    return {
        "noisy": torch.randn(2, 4, 3, 8, 8, generator=generator),
        "timestep": torch.tensor([100, 700]),
        "inputs": Inputs(stills, {"pose": pictures(2, 3, 64, 64, 3, seed=3)}),
        "latents": {"reference": torch.randn(2, 4, 8, 8, generator=generator)},
        "shown": torch.tensor([True, True]),
    }


def flipped(given: dict[str, Any], what: str) -> dict[str, Any]:
    """The same with one of its tensors in reverse order of the samples."""
    inputs: Inputs = given["inputs"]
    if what in inputs.stills:
        return given | {"inputs": replace(inputs, stills={**inputs.stills, what: inputs.stills[what].flip(0)})}
    if what in inputs.frames:
        return given | {"inputs": replace(inputs, frames={**inputs.frames, what: inputs.frames[what].flip(0)})}
    if what == "latents":
        return given | {"latents": {"reference": given["latents"]["reference"].flip(0)}}
    return given | {what: given[what].flip(0)}


@torch.no_grad()
def test_forward_is_the_steps_that_inference_takes(animator, given):
    inputs, noisy, timestep = given["inputs"], given["noisy"], given["timestep"]
    encoded = Encoded(animator.encode_stills(inputs, given["latents"]), animator.encode_frames(inputs, {}))
    assert encoded.stills["token"].shape == (2, 1, 16)
    stepwise = animator.denoiser(noisy, timestep, animator.ports(encoded, range(3), noisy, timestep, True))
    assert torch.equal(animator(**given), stepwise)


@pytest.mark.parametrize("what", ["pose", "reference", "reference_pose", "latents", "noisy", "timestep"])
@torch.no_grad()
def test_every_condition_matters(animator, given, what):
    assert not torch.allclose(animator(**given), animator(**flipped(given, what)), atol=1e-3)


@pytest.mark.parametrize("what", ["reference", "reference_pose", "latents"])
@torch.no_grad()
def test_unconditional_half_sees_pose_but_neither_reference_nor_image(animator, given, what):
    calls: list[str] = []
    animator.reference_net.register_forward_hook(lambda *_: calls.append("reference"))
    given = given | {"shown": torch.tensor([False, False])}
    out = animator(**given)
    assert not calls
    assert torch.equal(animator(**flipped(given, what)), out)
    assert not torch.allclose(animator(**flipped(given, "pose")), out, atol=1e-3)
    bare = Ports(torch.zeros(2, 1, 16), add=animator.encode_frames(given["inputs"], {})["pose"])
    assert torch.equal(animator.denoiser(given["noisy"], given["timestep"], bare), out)


@torch.no_grad()
def test_conditions_are_dropped_sample_by_sample(animator, given):
    both = [animator(**given | {"shown": torch.tensor([flag, flag])}) for flag in (True, False)]
    mixed = animator(**given | {"shown": torch.tensor([False, True])})
    torch.testing.assert_close(mixed[0], both[1][0])
    torch.testing.assert_close(mixed[1], both[0][1])
    assert not torch.allclose(both[0], both[1], atol=1e-3)


@torch.no_grad()
def test_a_dropped_condition_is_a_black_picture(animator, given):
    inputs: Inputs = given["inputs"]
    dropped = replace(inputs, dropped={"reference_pose": torch.tensor([True, False])})
    black = inputs.stills["reference_pose"].clone()
    black[0] = 0
    expected = animator(**given | {"inputs": replace(inputs, stills={**inputs.stills, "reference_pose": black})})
    assert torch.equal(animator(**given | {"inputs": dropped}), expected)
    without = replace(inputs, stills={"reference": inputs.stills["reference"]})
    nobody = replace(inputs, stills={**inputs.stills, "reference_pose": torch.zeros_like(black)})
    assert torch.equal(animator(**given | {"inputs": without}), animator(**given | {"inputs": nobody}))


@torch.no_grad()
def test_reference_pose_is_ignored_where_the_model_does_not_want_it(animator, given):
    animator.options = AnimateAnyone.Options(reference_pose=False)
    assert animator.reads.stills == ("reference",)
    assert torch.equal(animator(**given), animator(**flipped(given, "reference_pose")))


@torch.no_grad()
def test_before_training_the_guider_changes_nothing_and_the_frames_are_independent(animator, given):
    for parameter in animator.pose_guider.conv_out.parameters():
        parameter.zero_()
    for name, parameter in animator.denoiser.motion_parameters.items():
        if ".proj_out." in name:
            parameter.zero_()
    out = animator(**given)
    assert torch.equal(out, animator(**flipped(given, "pose")))
    inputs: Inputs = given["inputs"]
    first = given | {
        "noisy": given["noisy"][:, :, :1],
        "inputs": replace(inputs, frames={"pose": inputs.frames["pose"][:, :1]}),
    }
    torch.testing.assert_close(animator(**first), out[:, :, :1])


@torch.no_grad()
def test_literal_guider_enters_before_conv_in(animator, given):
    literal = randomise(LiteralPoseGuider(out_channels=4, block_out_channels=(4, 4, 8, 8))).eval()
    animator.pose_guider, animator.options = literal, AnimateAnyone.Options()
    inputs = given["inputs"]
    encoded = Encoded(animator.encode_stills(inputs, given["latents"]), {})
    moved = given["noisy"] + literal(inputs.frame_pixels("pose", torch.float32))
    ports = Ports(encoded.stills["token"], reference=animator.reference(encoded, 0))
    assert torch.equal(animator(**given), animator.denoiser(moved, given["timestep"], ports))


def test_what_is_made_once_is_made_again_for_another_step():
    encoded, made = Encoded({}, {}), []
    first, second = torch.tensor(5), torch.tensor(5)  # told apart as objects, not as numbers
    for timestep in (first, first, second, None, None):
        encoded.once("reference", lambda: made.append(1), timestep)
    assert len(made) == 3


def test_windows_are_stacked_and_share_token_and_reference():
    token, key = torch.ones(1, 1, 2), torch.ones(1, 1, 1, 1)
    parts = [
        Ports(
            token, add=torch.full((1, 2, 3, 4, 4), float(i)), residuals=(torch.full((3, 1, 2, 2), float(i)),),
            reference={"block": (key, key)}, blend={"block": torch.full((3, 2, 4, 4), float(i))},
        )
        for i in range(2)
    ]  # fmt: skip
    stacked = stack_ports(parts)
    assert stacked.token is token
    assert stacked.reference is parts[0].reference
    assert stacked.add[:, 0, 0, 0, 0].tolist() == [0, 1]
    assert stacked.residuals[0][:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert stacked.blend["block"].shape == (6, 2, 4, 4)
    assert stacked.latents is stacked.temperature is stacked.noise is None
