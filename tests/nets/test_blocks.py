"""Blocks: reference attention as the paper words it, motion modules, gradient checkpointing."""

import pytest
import torch
from einops import rearrange, repeat

from bunraku.nets import blocks
from bunraku.nets.blocks import (
    Conditions,
    Level,
    MotionModule,
    SpatialTransformer,
    grid_positions,
    in_pieces,
    per_frame,
)
from bunraku.nets.ports import Ports
from tests.tiny import randomise


@pytest.fixture
def transformer() -> SpatialTransformer:
    torch.manual_seed(0)
    return randomise(SpatialTransformer(16, 2, 12, 4)).double()


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_reference_attention_is_the_papers_concatenation_along_the_width(transformer):
    """Animate Anyone 3.2: the reference map is repeated t times, concatenated to the target along w, attended, and the
    first half of the result is taken; here that is done literally, in the block's normalised features."""
    frames, h, w = 3, 4, 5
    block = transformer.transformer_blocks[0]
    target, reference, token = draw(frames, h, w, 16), draw(1, h, w, 16, seed=2), draw(1, 1, 12, seed=3)

    normed = block.norm1(target)
    wide = torch.cat([normed, reference.expand(frames, -1, -1, -1)], dim=2)  # (t, h, 2w, c)
    attended = block.attn1(rearrange(wide, "t h w c -> t (h w) c"))
    half = rearrange(attended, "t (h w) c -> t h w c", h=h)[:, :, :w]
    hidden = (target + half).flatten(1, 2)
    hidden = hidden + block.attn2(block.norm2(hidden), token)
    expected = (hidden + block.ff(block.norm3(hidden))).view(target.shape)

    out, tokens = block(target, token, block.project_reference(reference))
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(tokens, normed)


def test_reference_may_have_another_size_than_the_target(transformer):
    hidden, token = draw(2, 16, 4, 5), draw(1, 1, 12, seed=3)
    projected = transformer.transformer_blocks[0].project_reference(draw(1, 7, 3, 16, seed=2))
    with_it, without = transformer(hidden, token, projected)[0], transformer(hidden, token)[0]
    assert with_it.shape == hidden.shape
    assert not torch.allclose(with_it, without)


def test_positions_of_a_map_depend_on_gain_and_shape():
    grid = torch.zeros(1, 3, 5, 16, dtype=torch.float64)
    assert grid_positions(grid, 0.0) is None
    one, four = grid_positions(grid, 1.0), grid_positions(grid, 4.0)
    assert one.shape == (15, 16)
    assert one.dtype == torch.float64
    torch.testing.assert_close(4 * one, four)


@pytest.mark.parametrize("per_frame_norm", [True, False])
def test_motion_module_starts_as_identity(per_frame_norm):
    module = MotionModule(16, 2, 8, 4, per_frame_norm)
    hidden = torch.randn(6, 16, 3, 2)
    assert torch.equal(module(hidden, 3), hidden)


def test_motion_module_mixes_frames_of_a_clip_at_one_pixel_only():
    module = randomise(MotionModule(16, 2, 8, 4, per_frame_norm=True)).double()
    hidden = draw(6, 16, 3, 2)  # two clips of three frames
    changed = hidden.clone()
    changed[1, :, 2, 1] += 1
    difference = (module(changed, 3) - module(hidden, 3)).abs().amax(1) > 1e-9
    # the frame's own norm spreads the change over that frame, time attention to the same pixels of its clip
    assert difference[:3, 2, 1].all()
    assert not difference[3:].any()


@pytest.mark.parametrize("per_frame_norm", [True, False])
def test_motion_module_norm(per_frame_norm):
    module = randomise(MotionModule(16, 2, 8, 4, per_frame_norm)).double()
    scaled = draw(4, 16, 3, 2)
    scaled[0] *= 100  # one loud frame: over all frames it sets the deviation of the others
    quiet = scaled.clone()
    quiet[0] /= 100
    seen: list[torch.Tensor] = []
    module.proj_in.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(scaled, 4), module(quiet, 4)
    alike = torch.allclose(seen[0][:, 1:], seen[1][:, 1:])
    assert alike == per_frame_norm


def test_motion_module_learns_behind_frozen_layers_in_any_memory_format():
    """The backward once ended the process: norm with gradient, channels-last input without."""
    module = MotionModule(320, 8, 8, 32, True)
    torch.nn.init.normal_(module.proj_out.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(2, 320, 32, 32, generator=torch.Generator().manual_seed(1))
    gradients = []
    for memory in (torch.contiguous_format, torch.channels_last):
        module.zero_grad()
        module(hidden.contiguous(memory_format=memory), 2).square().mean().backward()
        gradients.append(module.norm.weight.grad.clone())
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0])


def test_temperature_reaches_the_pixels_it_is_drawn_for():
    module = randomise(MotionModule(16, 2, 8, 4, per_frame_norm=True)).double()
    hidden = draw(3, 16, 2, 2)
    ones = torch.ones(1, 1, 4, 4, dtype=torch.float64)

    def moved(temperature: torch.Tensor) -> torch.Tensor:
        conditions = Conditions(hidden, Ports(hidden, temperature=temperature), 3)
        return module(hidden, 3, conditions.temperature((2, 2)))

    torch.testing.assert_close(moved(ones), module(hidden, 3))
    hot = ones.clone()
    hot[..., :2, 2:] = 5  # top right quarter: pixel (0, 1)
    difference = (moved(hot) - module(hidden, 3)).abs().amax((0, 1)) > 1e-9
    assert difference.tolist() == [[False, True], [False, False]]


def test_more_frames_than_the_motion_module_knows_is_an_error():
    with pytest.raises(ValueError, match="9 frames in one window, but this motion module knows 8"):
        MotionModule(16, 2, 8, 4, True)(torch.zeros(9, 16, 2, 2), 9)


def test_checkpointed_layer_gives_the_same_gradients():
    torch.manual_seed(0)
    level = randomise(
        Level([16], 16, 8, 4, lambda: SpatialTransformer(16, 2, 12, 4), lambda: MotionModule(16, 2, 8, 4, True))
    ).double()
    hidden, token, time = draw(3, 16, 4, 4), draw(1, 1, 12, seed=2), draw(3, 8, seed=3)

    def gradients() -> list[torch.Tensor]:
        start = hidden.clone().requires_grad_()
        tokens: dict[str, torch.Tensor] = {}
        out = level.layer(0, start, Conditions(time, Ports(token), frames=3), "x", tokens)
        loss = out.square().sum() + tokens["x.attentions.0.transformer_blocks.0"].sin().sum()
        return torch.autograd.grad(loss, [start, *level.parameters()], allow_unused=True)

    plain = gradients()
    level.gradient_checkpointing = True
    calls: list[int] = []
    level.resnets[0].register_forward_hook(lambda *_: calls.append(1))
    checkpointed = gradients()
    assert len(calls) == 2  # forward, and again for the backward pass
    for a, b in zip(plain, checkpointed, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_per_frame_repeats_each_clip_for_its_own_frames():
    rows = torch.tensor([[1], [2]])
    assert per_frame(rows, 3).flatten().tolist() == [1, 1, 1, 2, 2, 2]
    assert torch.equal(per_frame(rows, 3), repeat(rows, "b c -> (b f) c", f=3))


def test_rows_in_pieces_give_what_they_give_together(monkeypatch):
    monkeypatch.setattr(blocks, "PIECE", 3 * 5 * 4)
    sizes = []

    def scaled(tokens: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        sizes.append(len(tokens))
        return tokens * factors

    tokens, factors = draw(7, 5, 4), draw(7, 1, 1, seed=2)
    with torch.no_grad():
        assert torch.equal(in_pieces(scaled, tokens, factors), tokens * factors)
    assert sizes == [3, 3, 1]
    in_pieces(scaled, tokens, factors)
    assert sizes[3:] == [7], "what learns is taken whole"


def test_motion_of_many_pixels_does_not_depend_on_the_size_of_a_piece(monkeypatch):
    module = randomise(MotionModule(32, 4, 8, 8, True), seed=3).double()
    hidden, temperature = draw(6, 32, 4, 4), 1 + draw(2 * 16, 1, 1, seed=5).abs()
    with torch.no_grad():
        whole = module(hidden, 3, temperature)
        monkeypatch.setattr(blocks, "PIECE", 3 * 32 * 5)
        torch.testing.assert_close(module(hidden, 3, temperature), whole, atol=1e-12, rtol=0)
