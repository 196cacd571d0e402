"""Depth-wise pose modulation against a float64 reference; identity, absence of depth, time."""

import math

import pytest
import torch
from torch.nn import functional as F

from bunraku.nets.attention import sinusoid_2d
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.pose_modulation import PoseModulation
from tests.tiny import randomise

TINY = {"out_channels": 16, "block_out_channels": (4, 4, 8, 8), "num_attention_heads": 2}


def tiny(**config):
    torch.manual_seed(0)
    return PoseModulation(**TINY | config)


def reference(net, skeleton, depth):
    """The docstring's four lines, head by head and cell by cell, for one clip (3, F, H, W)."""
    s = net.skeleton(skeleton[None])[0]
    channels, frames, h, w = s.shape
    if depth is not None:
        d = net.depth(depth[None])[0]
        pool, heads = net.config.depth_pool, net.config.num_attention_heads
        positions = sinusoid_2d(h, w, channels).to(s).reshape(h, w, channels)
        cells = [(y, x) for y in range(0, h, pool) for x in range(0, w, pool)]
        answered = s.clone()
        for f in range(frames):
            keys, values = [], []
            for y, x in cells:
                token = d[:, f, y : y + pool, x : x + pool].mean((1, 2))
                token = F.layer_norm(token, (channels,), net.norm_depth.weight, net.norm_depth.bias)
                place = positions[y : y + pool, x : x + pool].mean((0, 1))
                keys.append(net.attention.to_k.weight @ (token + place))
                values.append(net.attention.to_v.weight @ token)
            keys, values = torch.stack(keys), torch.stack(values)
            for y in range(h):
                for x in range(w):
                    token = F.layer_norm(s[:, f, y, x], (channels,), net.norm_skeleton.weight, net.norm_skeleton.bias)
                    query = net.attention.to_q.weight @ (token + positions[y, x])
                    answer = []
                    for head in range(heads):
                        part = slice(head * channels // heads, (head + 1) * channels // heads)
                        logits = keys[:, part] @ query[part] / math.sqrt(channels / heads)
                        answer.append(torch.softmax(logits, 0) @ values[:, part])
                    out = net.attention.to_out[0]
                    answered[:, f, y, x] += out.weight @ torch.cat(answer) + out.bias
        s = answered
    padded = F.pad(torch.cat([s[:, :1], s, s[:, -1:]], 1), (1, 1, 1, 1))
    moved = s + net.conv_time.bias[:, None, None, None]
    for t in range(3):
        for i in range(3):
            for j in range(3):
                part = padded[:, t : t + frames, i : i + h, j : j + w]
                moved = moved + torch.einsum("oc,cfhw->ofhw", net.conv_time.weight[:, :, t, i, j], part)
    return (
        torch.einsum("oc,cfhw->ofhw", net.conv_out.weight[:, :, 0, 0], moved) + net.conv_out.bias[:, None, None, None]
    )


@torch.no_grad()
@pytest.mark.parametrize(("pool", "size"), [(2, (32, 48)), (2, (24, 40)), (4, (32, 32)), (1, (16, 24))])
def test_against_float64_loops(pool, size):
    net = randomise(tiny(depth_pool=pool)).double()
    skeleton, depth = torch.rand(2, 2, 3, 3, *size).double()
    found = net(skeleton, depth)
    assert found.shape == (2, 16, 3, size[0] // 8, size[1] // 8)
    for b in range(2):
        torch.testing.assert_close(found[b], reference(net, skeleton[b], depth[b]), rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(net(skeleton)[b], reference(net, skeleton[b], None), rtol=1e-9, atol=1e-10)


@torch.no_grad()
def test_adds_nothing_before_training():
    skeleton, depth = torch.rand(2, 1, 3, 2, 32, 32)
    assert not tiny()(skeleton, depth).any()
    assert not tiny()(skeleton).any()


@torch.no_grad()
def test_without_depth_the_skeleton_works_alone_sample_by_sample():
    net = randomise(tiny())
    skeleton, depth = torch.rand(2, 2, 3, 3, 32, 32)
    alone, both = net(skeleton), net(skeleton, depth)
    assert alone.std() > 0.01
    assert (alone - both).abs().max() > 1e-3
    mixed = net(skeleton, torch.stack([depth[0], 0 * depth[1]]))
    torch.testing.assert_close(mixed[0], both[0])
    assert torch.equal(mixed[1], alone[1])


@torch.no_grad()
def test_depth_tells_which_limb_is_in_front_and_frames_see_their_neighbours():
    net = randomise(tiny()).double()
    skeleton, depth = torch.rand(2, 1, 3, 8, 32, 32).double()
    base = net(skeleton, depth)
    for changed in ((skeleton.clone(), depth), (skeleton, depth.clone())):
        for clip in changed:
            if clip is not skeleton and clip is not depth:
                clip[:, :, 4, 8:16, 8:16] = 0.3
        moved = (net(*changed) - base).abs().amax((0, 1, 3, 4))
        assert (moved > 1e-9).tolist() == [False, False, False, True, True, True, False, False]
    # part by part, with one frame more on either side, is the whole
    parts = torch.cat(
        [net(skeleton[:, :, :5], depth[:, :, :5])[:, :, :4], net(skeleton[:, :, 3:], depth[:, :, 3:])[:, :, 1:]], 2
    )
    torch.testing.assert_close(parts, base)
    still = net(skeleton[:, :, :1].repeat(1, 1, 5, 1, 1), depth[:, :, :1].repeat(1, 1, 5, 1, 1))
    torch.testing.assert_close(still, net(skeleton[:, :, :1], depth[:, :, :1]).expand_as(still))


def test_every_parameter_learns():
    """The last convolution opens with the first step, the branches behind it with the second."""
    net = tiny()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        skeleton, depth = torch.rand(2, 1, 3, 2, 32, 32)
        (net(skeleton, depth) - 1).square().mean().backward()
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_saved_and_loaded_and_a_pose_guider_fits_as_its_skeleton(tmp_path):
    net = randomise(tiny(unshuffle=2, block_out_channels=(4, 8, 8), norm=True))
    net.save_pretrained(tmp_path)
    loaded = PoseModulation.from_pretrained(tmp_path)
    skeleton, depth = torch.rand(2, 1, 3, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(skeleton, depth), net(skeleton, depth))
    guider = PoseGuider(out_channels=16, block_out_channels=(4, 8, 8), unshuffle=2, norm=True)
    loaded.skeleton.load_state_dict(guider.state_dict())
