"""Pose guiders: published shapes, zero before training, frames each by themselves."""

import pytest
import torch

from bunraku.nets.pose_guider import GuidanceEncoder, LiteralPoseGuider, PoseGuider
from tests.tiny import randomise


def test_keys_are_those_of_public_weights():
    """CHECKPOINTS: PoseGuider(320, (16, 32, 96, 256)) has 16 keys and 1.086 M parameters."""
    guider = PoseGuider()
    layers = ["conv_in", *(f"blocks.{i}" for i in range(6)), "conv_out"]
    assert list(guider.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert sum(p.numel() for p in guider.parameters()) == pytest.approx(1.086e6, rel=1e-3)
    widths = [(c.in_channels, c.out_channels, c.stride[0]) for c in guider.blocks]
    assert widths == [(16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 96, 2), (96, 96, 1), (96, 256, 2)]


GUIDERS = {
    "controlnet": lambda: PoseGuider(out_channels=8, block_out_channels=(4, 4, 8, 8)),
    "folded by 2": lambda: PoseGuider(out_channels=8, block_out_channels=(4, 8, 8), unshuffle=2),
    "folded by 4, normed": lambda: PoseGuider(out_channels=8, block_out_channels=(4, 8), unshuffle=4, norm=True),
    "champ": lambda: GuidanceEncoder(
        out_channels=8, block_out_channels=(4, 4, 8, 8), num_attention_heads=2, norm_num_groups=4
    ),
    "literal": lambda: LiteralPoseGuider(out_channels=8, block_out_channels=(4, 4, 8, 8)),
}


@pytest.mark.parametrize("kind", GUIDERS)
@torch.no_grad()
def test_adds_nothing_before_training_and_each_frame_is_by_itself(kind):
    torch.manual_seed(0)
    guider, poses = GUIDERS[kind](), torch.rand(2, 3, 3, 32, 48)
    start = guider(poses)
    assert start.shape == (2, 8, 3, 4, 6)
    assert not start.any()
    randomise(guider)
    out = guider(poses)
    assert (out[:, :, 0] - out[:, :, 1]).abs().amax((1, 2, 3)).min() > 0.01  # it sees the pose
    for b in range(2):
        for f in range(3):
            alone = guider(poses[b : b + 1, :, f : f + 1])
            torch.testing.assert_close(out[b : b + 1, :, f : f + 1], alone, atol=1e-5, rtol=1e-4)


def test_group_norms_keep_the_signal_alive_where_nothing_is_loaded():
    torch.manual_seed(0)
    guider = GUIDERS["folded by 4, normed"]()
    seen: list[torch.Tensor] = []
    guider.conv_out.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    guider(torch.rand(1, 3, 1, 64, 64))
    assert 0.3 < seen[0].std() < 2


def test_literal_guider_is_the_papers():
    guider = LiteralPoseGuider()
    assert [c.out_channels for c in guider.blocks] == [16, 32, 64, 128]
    assert [c.kernel_size[0] for c in guider.blocks] == [4, 4, 4, 3]
    assert guider.conv_out.out_channels == 4


@pytest.mark.parametrize(("unshuffle", "widths"), [(3, (8, 8, 8)), (4, (8, 8, 8, 8)), (1, (8, 8))])
def test_folding_and_widths_must_agree(unshuffle, widths):
    with pytest.raises(ValueError, match=f"unshuffle {unshuffle}"):
        PoseGuider(out_channels=8, block_out_channels=widths, unshuffle=unshuffle)


def test_guiders_say_what_their_map_is_added_to():
    assert (PoseGuider.onto, GuidanceEncoder.onto, LiteralPoseGuider.onto) == ("features", "features", "noise")


@torch.no_grad()
def test_champs_attention_reaches_across_a_frame():
    """What a corner of the map says depends on the far corner of the same frame, not on another frame."""
    torch.manual_seed(0)
    encoder = randomise(GuidanceEncoder(8, 8, (4, 4, 8, 8), 2, 4)).double()
    poses = torch.rand(1, 8, 2, 64, 64).double()
    other = poses.clone()
    other[:, :, 0, 48:, 48:] += 1
    before, after = encoder(poses), encoder(other)
    assert (before[:, :, 0, 0, 0] - after[:, :, 0, 0, 0]).abs().max() > 1e-6
    torch.testing.assert_close(before[:, :, 1], after[:, :, 1])
