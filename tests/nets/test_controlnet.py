"""ControlNet: diffusers' network by name and number, temporal layers that start as the identity, the public size."""

from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import ControlNetModel

from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.ports import Ports
from tests.tiny import randomise

CONFIG: dict[str, Any] = {
    "block_out_channels": (16, 32, 32),
    "num_attention_heads": 4,
    "cross_attention_dim": 12,
    "norm_num_groups": 8,
}
MOTION = {"motion_num_attention_heads": 2, "motion_norm_num_groups": 8}


@pytest.fixture(scope="module")
def theirs() -> ControlNetModel:
    torch.manual_seed(0)
    net = ControlNetModel(
        block_out_channels=CONFIG["block_out_channels"],
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        attention_head_dim=4,  # heads, by an old mistake in diffusers' naming
        cross_attention_dim=12,
        norm_num_groups=8,
    )
    return randomise(net).eval()


@pytest.fixture(scope="module")
def still(theirs) -> ControlNet:
    net = ControlNet(**CONFIG)
    net.load_state_dict(theirs.state_dict())
    return net.eval()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (13, 10)])
def test_the_same_numbers_as_diffusers(theirs, still, size):
    h, w = size
    latents, tokens, images = draw(2, 4, h, w), draw(2, 5, 12), draw(2, 3, 8 * h, 8 * w).sigmoid()
    down, middle = theirs(latents, 17, tokens, images, return_dict=False)
    ours = still(latents[:, :, None], 17, tokens, still.embed(images[:, :, None]))
    for mine, expected in zip(ours, [*down, middle], strict=True):
        torch.testing.assert_close(mine, expected, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_temporal_layers_start_as_the_identity_and_then_join_the_frames(still):
    moving = ControlNet(**CONFIG, **MOTION, motion_levels=(1, 2), motion_mid=True)
    missing, unexpected = moving.load_state_dict(still.state_dict(), strict=False)
    assert not unexpected
    assert set(missing) == set(moving.motion_parameters)
    assert {name.split(".motion_modules")[0] for name in missing} == {"down_blocks.1", "down_blocks.2", "mid_block"}
    latents, tokens, images = draw(2, 4, 3, 8, 8), draw(2, 5, 12), draw(2, 3, 3, 64, 64).sigmoid()
    steps = torch.tensor([3, 900])
    start = moving(latents, steps, tokens, moving.embed(images))
    for mine, expected in zip(start, still(latents, steps, tokens, still.embed(images)), strict=True):
        torch.testing.assert_close(mine, expected)
    alone = still(latents[1:, :, 2:], 900, tokens[1:], still.embed(images[1:, :, 2:]))
    for mine, expected in zip(start, alone, strict=True):
        torch.testing.assert_close(mine[5:], expected, atol=1e-5, rtol=1e-4)

    randomise(moving)
    other = latents.clone()
    other[:, :, 0] += 1
    before, after = (moving(x, 3, tokens, moving.embed(images)) for x in (latents, other))
    last = [2, 5]  # the last frame of either clip
    assert torch.equal(before[0][last], after[0][last])
    assert not torch.allclose(before[-1][last], after[-1][last], atol=1e-3)


@torch.no_grad()
def test_an_untrained_one_adds_nothing():
    denoiser, net = Denoiser(**CONFIG, **MOTION).eval(), ControlNet(**CONFIG)
    latents, tokens = draw(1, 4, 2, 8, 8), draw(1, 1, 12)
    residuals = net(latents, 5, tokens, net.embed(draw(1, 3, 2, 64, 64)))
    assert not any(r.any() for r in residuals)
    assert torch.equal(
        denoiser(latents, 5, Ports(tokens, residuals=tuple(residuals))), denoiser(latents, 5, Ports(tokens))
    )


def test_public_size():
    """340 keys with 361.3 M values, as in control_v11p_sd15_openpose; TCAN's temporal layers at the two lowest levels."""
    with init_empty_weights(include_buffers=True):
        net, moving = ControlNet(), ControlNet(motion_levels=(2, 3))
    state = net.state_dict()
    assert len(state) == 340
    assert round(sum(v.numel() for v in state.values()) / 1e6, 1) == 361.3
    assert [net.controlnet_down_blocks[i].out_channels for i in range(12)] == [320] * 4 + [640] * 3 + [1280] * 5
    extra = moving.state_dict().keys() - state.keys()
    assert {key.rsplit(".motion_modules", 1)[0] for key in extra} == {"down_blocks.2", "down_blocks.3"}


def test_levels_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"motion modules at levels \[1, 4\] of 3"):
        ControlNet(**CONFIG, motion_levels=(1, 4))
