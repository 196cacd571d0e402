"""ReferenceNet: which tokens it hands out, and that they are those of an ordinary UNet."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging

from bunraku.nets.denoiser import Denoiser
from bunraku.nets.reference_net import ReferenceNet
from tests.tiny import randomise

SD15_NARROW: dict[str, Any] = {
    "block_out_channels": (16, 16, 32, 32),
    "num_attention_heads": 4,
    "cross_attention_dim": 12,
    "norm_num_groups": 8,
}
BEHIND_THE_TAIL = ("attn1", "norm2", "attn2", "norm3", "ff", "proj_out")


@pytest.fixture(scope="module")
def theirs() -> UNet2DConditionModel:
    diffusers_logging.set_verbosity_error()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=SD15_NARROW["block_out_channels"], attention_head_dim=4, cross_attention_dim=12, norm_num_groups=8
    )  # fmt: skip
    return randomise(unet).eval()


def loaded(theirs: UNet2DConditionModel, **config: Any) -> ReferenceNet:
    net = ReferenceNet(**SD15_NARROW, **config).eval()
    report = net.load_state_dict(theirs.state_dict(), strict=False)
    assert not report.missing_keys
    unused = {name for name in report.unexpected_keys if not name.startswith(("conv_norm_out", "conv_out"))}
    tail = "up_blocks.3.attentions.2."
    assert all(name.startswith(tail) and any(part in name for part in BEHIND_THE_TAIL) for name in unused)
    return net


def tokens_of(
    theirs: UNet2DConditionModel, latents: torch.Tensor, token: torch.Tensor, step: int
) -> dict[str, torch.Tensor]:
    """The outputs of every norm1, in order of execution."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name.removesuffix(".norm1"): out}))
        for name, module in theirs.named_modules()
        if name.endswith(".norm1") and "transformer_blocks" in name
    ]
    theirs(latents, step, token)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("size", [(16, 16), (13, 10)])
@pytest.mark.parametrize("step", [0, 400])
@torch.no_grad()
def test_tokens_are_those_of_an_ordinary_unet(theirs, size, step):
    generator = torch.Generator().manual_seed(1)
    latents, token = torch.randn(2, 4, *size, generator=generator), torch.randn(2, 1, 12, generator=generator)
    expected = tokens_of(theirs, latents, token, step)
    tokens = loaded(theirs)(latents, token, step)
    assert list(tokens) == list(expected)
    for name, value in tokens.items():
        torch.testing.assert_close(value.flatten(1, 2), expected[name], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_runs_at_time_zero_unless_told(theirs):
    net, latents, token = loaded(theirs), torch.randn(1, 4, 8, 8), torch.randn(1, 1, 12)
    default, zero = net(latents, token), net(latents, token, 0)
    assert all(torch.equal(default[name], zero[name]) for name in default)


@torch.no_grad()
def test_full_hands_out_all_16_blocks_and_midup_the_last_10(theirs):
    latents, token = torch.randn(1, 4, 8, 8), torch.randn(1, 1, 12)
    full, midup = loaded(theirs)(latents, token), loaded(theirs, reference_blocks="midup")(latents, token)
    assert len(full) == 16
    assert list(midup) == list(full)[6:]
    assert next(iter(midup)) == "mid_block.attentions.0.transformer_blocks.0"
    assert all(torch.equal(midup[name], full[name]) for name in midup)
    shapes = [tuple(t.shape[1:]) for t in full.values()]
    assert shapes == (
        [(8, 8, 16)] * 2 + [(4, 4, 16)] * 2 + [(2, 2, 32)] * 2 + [(1, 1, 32)] + [(2, 2, 32)] * 3 + [(4, 4, 16)] * 3 + [(8, 8, 16)] * 3
    )  # fmt: skip


def test_every_token_has_a_block_in_the_denoiser_to_go_to(theirs):
    net, denoiser = loaded(theirs), Denoiser(**SD15_NARROW, motion_norm_num_groups=8)
    with torch.no_grad():
        tokens = net(torch.randn(1, 4, 8, 8), torch.randn(1, 1, 12))
        projected = denoiser.project_reference(tokens)
    assert list(projected) == denoiser.reference_block_names("full")
    key, value = projected["mid_block.attentions.0.transformer_blocks.0"]
    assert key.shape == value.shape == (1, 4, 1, 8)  # B heads N d


def test_unknown_choice_of_blocks_is_an_error():
    with pytest.raises(ValueError, match=r"full.*midup.*not 'down'"):
        ReferenceNet(**SD15_NARROW, reference_blocks="down")


def test_all_that_exists_is_used():
    """Gradients reach every parameter but the queries and keys of one-token attention: nothing behind the tail is kept."""
    net = randomise(ReferenceNet(**SD15_NARROW))
    tokens = net(torch.randn(1, 4, 16, 16), torch.randn(1, 1, 12))
    sum(t.sin().sum() for t in tokens.values()).backward()
    idle = {name for name, p in net.named_parameters() if p.grad is None}
    assert all("attn2.to_q" in n or "attn2.to_k" in n or ".norm2." in n for n in idle), idle


@torch.no_grad()
def test_guided_by_a_pose_map_after_conv_in(theirs):
    net, latents, token = loaded(theirs), torch.randn(1, 4, 8, 8), torch.randn(1, 1, 12)
    add = torch.randn(1, 16, 8, 8)
    guided = net(latents, token, add=add)
    moved = loaded(theirs)
    moved.conv_in.register_forward_hook(lambda _, __, out: out + add)
    for name, value in moved(latents, token).items():
        torch.testing.assert_close(guided[name], value)
    assert not torch.allclose(guided[name], net(latents, token)[name])


def test_gradient_checkpointing_gives_identical_gradients():
    net = randomise(ReferenceNet(**SD15_NARROW)).train()
    latents, token = torch.randn(1, 4, 8, 8), torch.randn(1, 1, 12)

    def gradients() -> list[torch.Tensor | None]:
        net.zero_grad(set_to_none=True)
        sum(t.sin().sum() for t in net(latents, token).values()).backward()
        return [p.grad for p in net.parameters()]

    plain = gradients()
    net.enable_gradient_checkpointing()
    for a, b in zip(plain, gradients(), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_full_size_has_the_published_keys():
    """682 keys in Moore's file (no output head); MagicAnimate's 662 leave out what lies behind the tail, as here."""
    with torch.device("meta"):
        net, base = ReferenceNet(), Denoiser(motion=False)
    shapes = {name: tuple(p.shape) for name, p in base.state_dict().items()}
    head = {name for name in shapes if name.startswith(("conv_norm_out", "conv_out"))}
    tail = {
        n for n in shapes if n.startswith("up_blocks.3.attentions.2.") and any(part in n for part in BEHIND_THE_TAIL)
    }
    assert len(shapes) - len(head) == 682
    assert {name: tuple(p.shape) for name, p in net.state_dict().items()} == {
        name: shape for name, shape in shapes.items() if name not in head | tail
    }
    assert len(net.state_dict()) == 662
