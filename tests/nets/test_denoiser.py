"""Denoiser: diffusers' networks by name and number, ports, identities before training."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.utils import logging as diffusers_logging

from bunraku.nets.blocks import Conditions
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import PoseGuider
from tests.tiny import randomise

CONFIG: dict[str, Any] = {
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 2,
    "num_attention_heads": 4,
    "cross_attention_dim": 12,
    "norm_num_groups": 8,
}
MOTION: dict[str, Any] = {"motion_num_attention_heads": 2, "motion_norm_num_groups": 8}
SMALL = CONFIG | MOTION | {"block_out_channels": (16, 16), "layers_per_block": 1, "num_attention_heads": 2}
SIZES = [(16, 16), (24, 8), (13, 10), (7, 9)]
"""Latent sizes; the last two are not divisible by what the two downsamplers ask for."""


@pytest.fixture(scope="module")
def theirs() -> UNet2DConditionModel:
    diffusers_logging.set_verbosity_error()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=CONFIG["block_out_channels"],
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,  # heads, by an old mistake in diffusers' naming
        cross_attention_dim=12,
        norm_num_groups=8,
    )
    return randomise(unet).eval()


@pytest.fixture(scope="module")
def theirs_in_motion() -> UNetMotionModel:
    diffusers_logging.set_verbosity_error()
    torch.manual_seed(0)
    unet = UNetMotionModel(
        block_out_channels=CONFIG["block_out_channels"],
        down_block_types=("CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion"),
        num_attention_heads=4,
        cross_attention_dim=12,
        norm_num_groups=8,
        motion_num_attention_heads=2,
        motion_max_seq_length=32,
        use_motion_mid_block=True,
    )
    return randomise(unet).eval()


@pytest.fixture(scope="module")
def still(theirs) -> Denoiser:
    denoiser = Denoiser(**CONFIG, motion=False).eval()
    denoiser.load_state_dict(theirs.state_dict())
    return denoiser


@pytest.fixture(scope="module")
def moving(theirs_in_motion) -> Denoiser:
    denoiser = Denoiser(**CONFIG, **MOTION, motion_per_frame_norm=False).eval()
    # positions are recomputed here, not stored
    denoiser.load_state_dict({k: v for k, v in theirs_in_motion.state_dict().items() if not k.endswith(".pe")})
    return denoiser


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tokens", [1, 5])
@torch.no_grad()
def test_equals_unet2d_by_name(theirs, still, size, tokens):
    latents, token = draw(2, 4, *size), draw(2, tokens, 12, seed=2)
    steps = torch.tensor([3, 871])
    expected = theirs(latents, steps, token).sample
    torch.testing.assert_close(still(latents[:, :, None], steps, Ports(token))[:, :, 0], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tokens", [1, 5])
@torch.no_grad()
def test_equals_unet_motion_model_by_name(theirs_in_motion, moving, size, tokens):
    latents, token = draw(2, 4, 5, *size), draw(2, tokens, 12, seed=2)
    expected = theirs_in_motion(latents, 481, token.repeat_interleave(5, dim=0)).sample
    torch.testing.assert_close(moving(latents, 481, Ports(token)), expected, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_untrained_motion_modules_and_guider_leave_the_base_unet(theirs, still):
    denoiser = Denoiser(**CONFIG, **MOTION).eval()
    missing = denoiser.load_state_dict(theirs.state_dict(), strict=False)
    assert missing.missing_keys == list(denoiser.motion_parameters)
    assert not missing.unexpected_keys
    guider = PoseGuider(out_channels=16, block_out_channels=(4, 4, 4, 4))
    latents, token = draw(1, 4, 3, 8, 8), draw(1, 1, 12)
    add = guider(torch.rand(1, 3, 3, 64, 64))
    assert torch.equal(denoiser(latents, 9, Ports(token, add=add)), still(latents, 9, Ports(token)))


@torch.no_grad()
def test_frames_are_independent_without_motion_modules(still):
    latents, token = draw(1, 4, 3, 8, 8), draw(1, 1, 12)
    together = still(latents, 9, Ports(token))
    for f in range(3):
        torch.testing.assert_close(together[:, :, f : f + 1], still(latents[:, :, f : f + 1], 9, Ports(token)))


@torch.no_grad()
def test_frames_look_at_each_other_with_motion_modules(moving):
    latents, token = draw(1, 4, 3, 8, 8), draw(1, 1, 12)
    alone = moving(latents[:, :, :1], 9, Ports(token))
    assert not torch.allclose(moving(latents, 9, Ports(token))[:, :, :1], alone, atol=1e-3)


@torch.no_grad()
def test_timestep_for_all_for_each_clip_and_for_each_frame(still):
    latents, token = draw(2, 4, 3, 8, 8), draw(2, 1, 12)
    same = still(latents, 7, Ports(token))
    torch.testing.assert_close(still(latents, torch.tensor([7, 7]), Ports(token)), same)
    torch.testing.assert_close(still(latents, torch.full((2, 3), 7), Ports(token)), same)
    steps = torch.tensor([[1, 500, 900], [7, 300, 20]])
    each = still(latents, steps, Ports(token))
    for b in range(2):
        for f in range(3):
            alone = still(latents[b : b + 1, :, f : f + 1], steps[b, f], Ports(token[b : b + 1]))
            torch.testing.assert_close(each[b, :, f], alone[0, :, 0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_reference_serves_all_frames_and_its_own_clip_only(still):
    latents, token = draw(2, 4, 3, 8, 8), draw(2, 1, 12)
    # tokens need the block's width; the map may have any size
    widths = {name: still.get_submodule(name).norm1.normalized_shape[0] for name in still.reference_block_names("full")}
    features = {name: draw(2, 4, 3, width, seed=i) for i, (name, width) in enumerate(widths.items())}
    out = still(latents, 9, Ports(token, reference=still.project_reference(features)))
    assert not torch.allclose(out, still(latents, 9, Ports(token)), atol=1e-3)
    for b in range(2):
        own = still.project_reference({n: t[b : b + 1] for n, t in features.items()})
        for f in range(3):
            alone = still(latents[b : b + 1, :, f : f + 1], 9, Ports(token[b : b + 1], reference=own))
            torch.testing.assert_close(out[b, :, f], alone[0, :, 0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_residuals_are_added_where_a_controlnet_adds_them(theirs, still):
    latents, token = draw(1, 4, 8, 8), draw(1, 1, 12)
    widths = [16, 16, 16, 16, 32, 32, 32, 32, 32]
    sizes = [8, 8, 8, 4, 4, 4, 2, 2, 2]
    residuals = [draw(1, c, s, s, seed=i) for i, (c, s) in enumerate(zip(widths, sizes))]
    middle = draw(1, 32, 2, 2, seed=99)
    expected = theirs(
        latents, 9, token, down_block_additional_residuals=residuals, mid_block_additional_residual=middle
    )
    ours = still(latents[:, :, None], 9, Ports(token, residuals=(*residuals, middle)))
    torch.testing.assert_close(ours[:, :, 0], expected.sample, atol=2e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="9 residuals for 9 skips and the middle"):
        still(latents[:, :, None], 9, Ports(token, residuals=tuple(residuals)))


@torch.no_grad()
def test_temperature_of_one_changes_nothing_and_higher_does(moving):
    latents, token = draw(2, 4, 3, 8, 8), draw(2, 1, 12)
    out = moving(latents, 9, Ports(token))
    torch.testing.assert_close(moving(latents, 9, Ports(token, temperature=torch.ones(2, 1, 8, 8))), out)
    hot = torch.ones(2, 1, 8, 8)
    hot[1] = 4
    changed = moving(latents, 9, Ports(token, temperature=hot))
    torch.testing.assert_close(changed[0], out[0])
    assert not torch.allclose(changed[1], out[1], atol=1e-4)


@torch.no_grad()
def test_deep_levels_that_were_kept_are_not_computed_again(moving):
    """The same inputs give the same prediction, without a look at the levels below; other inputs are seen by the highest resolution alone."""
    noisy, token, time = draw(1, 4, 3, 16, 16), draw(1, 2, 12), torch.tensor([7])
    residuals = tuple(
        draw(3, c, h, h) for c, h in [(16, 16)] * 3 + [(16, 8)] + [(32, 8)] * 2 + [(32, 4)] * 3 + [(32, 4)]
    )
    asked: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: asked.append(name))
        for name, module in moving.named_modules()
        if name.endswith("resnets.0")
    ]
    for added in ((), residuals):
        deep: dict[str, torch.Tensor] = {}
        plain = moving(noisy, time, Ports(token, residuals=added))
        torch.testing.assert_close(moving(noisy, time, Ports(token, residuals=added, deep=deep)), plain, rtol=0, atol=0)
        asked.clear()
        kept = deep["deep"]
        torch.testing.assert_close(moving(noisy, time, Ports(token, residuals=added, deep=deep)), plain, rtol=0, atol=0)
        assert asked == ["down_blocks.0.resnets.0", "up_blocks.2.resnets.0"]
        other = moving(draw(1, 4, 3, 16, 16, seed=2), time, Ports(token, residuals=added, deep=deep))
        assert not torch.allclose(other, plain)
        assert deep["deep"] is kept
    for hook in hooks:
        hook.remove()


def test_gradient_checkpointing_gives_identical_gradients(theirs_in_motion):
    denoiser = randomise(Denoiser(**CONFIG, **MOTION)).train()
    latents, token = draw(1, 4, 2, 8, 8), draw(1, 1, 12)

    def gradients() -> dict[str, torch.Tensor | None]:
        denoiser.zero_grad(set_to_none=True)
        denoiser(latents, 9, Ports(token)).square().mean().backward()
        return {name: p.grad for name, p in denoiser.named_parameters()}

    plain = gradients()
    denoiser.enable_gradient_checkpointing()
    assert denoiser.is_gradient_checkpointing
    for name, gradient in gradients().items():
        if plain[name] is None:  # queries and keys of cross-attention to one token
            assert gradient is None
            assert "attn2.to_q" in name or "attn2.to_k" in name or "norm2" in name, name
        else:
            assert torch.equal(gradient, plain[name]), name


def test_save_and_load(tmp_path, moving):
    moving.save_pretrained(tmp_path)
    loaded, report = Denoiser.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert loaded.config.motion_per_frame_norm is False
    latents, token = draw(1, 4, 2, 8, 8), draw(1, 1, 12)
    with torch.no_grad():
        assert torch.equal(loaded(latents, 9, Ports(token)), moving(latents, 9, Ports(token)))


def test_full_size_has_the_published_keys():
    with torch.device("meta"):
        denoiser = Denoiser()
        base = Denoiser(motion=False)
        theirs = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280), attention_head_dim=8, cross_attention_dim=768
        )  # fmt: skip
    shapes = {name: tuple(p.shape) for name, p in base.state_dict().items()}
    assert len(shapes) == 686
    assert shapes == {name: tuple(p.shape) for name, p in theirs.state_dict().items()}
    assert sum(p.numel() for p in base.parameters()) == pytest.approx(859.5e6, rel=1e-4)
    motion = denoiser.motion_parameters
    assert set(denoiser.state_dict()) == set(shapes) | set(motion)
    # 21 modules; Moore's file has 28 keys in each, two of them the recomputable positions
    assert len({name.split(".transformer_blocks")[0] for name in motion if "transformer_blocks" in name}) == 21
    assert len(motion) == 21 * 26
    # Moore's 454.4 M include the position buffers
    assert sum(p.numel() for p in motion.values()) == pytest.approx(454.4e6, rel=5e-3)


def test_levels_heads_and_attention_must_agree():
    with pytest.raises(ValueError, match="2 levels in block_out_channels, but 3 heads"):
        Denoiser(block_out_channels=(16, 16), num_attention_heads=(2, 2, 2), norm_num_groups=4)


def test_start_from_scratch_looks_at_the_counterpart_and_predicts_zero():
    denoiser = Denoiser(**SMALL)
    initialise_from_scratch(denoiser, torch.Generator().manual_seed(0))
    latents, token = draw(1, 4, 2, 8, 8), draw(1, 1, 12)
    assert not denoiser(latents, 9, Ports(token)).any()
    attention = denoiser.mid_block.attentions[0].transformer_blocks[0].attn1
    assert torch.equal(attention.to_q.weight, attention.to_k.weight)
    gram = attention.to_q.weight @ attention.to_q.weight.T
    torch.testing.assert_close(gram, 0.25 * torch.eye(16), atol=1e-5, rtol=0)
    again = Denoiser(**denoiser.config)
    initialise_from_scratch(again, torch.Generator().manual_seed(0))
    assert torch.equal(again.mid_block.attentions[0].transformer_blocks[0].attn1.to_v.weight, attention.to_v.weight)


def test_compiles_to_one_graph():
    """What a compiler makes of the graph is its own affair, so it is run as it is."""
    torch._dynamo.reset()
    denoiser = randomise(Denoiser(**SMALL | {"block_out_channels": (8,), "attention_levels": (True,)})).eval()
    latents, token, step = draw(1, 4, 2, 4, 4), draw(1, 1, 12), torch.tensor(9)
    features = {name: draw(1, 3, 2, 8) for name in denoiser.reference_block_names("full")}
    with torch.no_grad():
        reference = denoiser.project_reference(features)
        expected = denoiser(latents, step, Ports(token, reference=reference))
        compiled = torch.compile(denoiser, fullgraph=True, backend="eager")
        out = compiled(latents, step, Ports(token, reference=reference))
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_motion_modules_without_one_in_the_middle(theirs_in_motion):
    """AnimateDiff v1 and v3 have none there."""
    diffusers_logging.set_verbosity_error()
    torch.manual_seed(0)
    other = UNetMotionModel.from_config(theirs_in_motion.config, use_motion_mid_block=False)
    randomise(other).eval()
    net = Denoiser(**CONFIG, **MOTION, motion_per_frame_norm=False, motion_mid=False).eval()
    net.load_state_dict({k: v for k, v in other.state_dict().items() if "pos_embed" not in k})
    latents, token = draw(1, 4, 3, 8, 8), draw(1, 1, 12)
    expected = other(latents, 9, token.repeat(3, 1, 1)).sample
    torch.testing.assert_close(net(latents, 9, Ports(token)), expected, atol=2e-5, rtol=1e-4)
    assert not [name for name in net.motion_parameters if name.startswith("mid_block")]


@torch.no_grad()
def test_pooled_norms_look_at_all_frames_at_once():
    """AnimateDiff v1: group norms over (C / groups, F, h, w), as on a 5-D tensor; here a resnet written out in float64."""
    torch.manual_seed(0)
    denoiser = randomise(Denoiser(**SMALL, pooled_norms=True)).double()
    level, frames = denoiser.down_blocks[0], 3
    hidden, time = torch.randn(2 * frames, 16, 5, 4).double(), torch.randn(2, 64).double().repeat_interleave(frames, 0)
    block = level.resnets[0]

    def norm(layer: torch.nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
        clips = x.view(2, frames, 8, -1, *x.shape[2:])  # (B, F, groups, C / groups, h, w)
        mean = clips.mean((1, 3, 4, 5), keepdim=True)
        deviation = (clips.var((1, 3, 4, 5), unbiased=False, keepdim=True) + layer.eps).sqrt()
        return ((clips - mean) / deviation).view(x.shape) * layer.weight[:, None, None] + layer.bias[:, None, None]

    def silu(x: torch.Tensor) -> torch.Tensor:
        return x / (1 + (-x).exp())

    inner = block.conv1(silu(norm(block.norm1, hidden))) + block.time_emb_proj(silu(time))[..., None, None]
    expected = hidden + block.conv2(silu(norm(block.norm2, inner)))
    torch.testing.assert_close(level.resnet(0, hidden, Conditions(time, Ports(hidden), frames)), expected)


@torch.no_grad()
def test_pooled_norms_differ_only_where_frames_do():
    torch.manual_seed(0)
    pooled = randomise(Denoiser(**SMALL, motion=False, pooled_norms=True)).double().eval()
    apart = Denoiser(**SMALL, motion=False).double().eval()
    apart.load_state_dict(pooled.state_dict())
    token = torch.randn(1, 1, 12).double()
    clip = torch.randn(1, 4, 3, 8, 8).double()
    still = clip[:, :, :1].expand(-1, -1, 3, -1, -1)
    torch.testing.assert_close(pooled(still, 7, Ports(token)), apart(still, 7, Ports(token)))
    assert (pooled(clip, 7, Ports(token)) - apart(clip, 7, Ports(token))).abs().max() > 1e-3
