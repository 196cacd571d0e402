"""Object guider and spatial blending against float64 references, and their starts."""

import pytest
import torch
from torch.nn import functional as F

from bunraku.nets.denoiser import Denoiser
from bunraku.nets.object_guider import ObjectGuider, SpatialBlend, blend_port
from tests.tiny import randomise


def test_the_papers_shapes():
    """Channels and resolutions of SD1.5's middle and way up, also for odd sizes."""
    guider = ObjectGuider()
    assert [(c.in_channels, c.out_channels, c.stride[0], c.kernel_size[0]) for c in guider.blocks] == [
        (4, 320, 1, 3), (320, 640, 2, 3), (640, 1280, 2, 3), (1280, 1280, 2, 3),
    ]  # fmt: skip
    for strides in (None, (2, 2, 2, 2)):
        small = ObjectGuider(4, (4, 8, 12, 12), strides)
        shapes = [tuple(f.shape) for f in small(torch.randn(2, 4, 3, 20, 13))]
        assert shapes == [(6, 4, 20, 13), (6, 8, 10, 7), (6, 12, 5, 4), (6, 12, 3, 2)]
    with pytest.raises(ValueError, match="4 levels need as many strides"):
        ObjectGuider(strides=(2, 2))


@torch.no_grad()
@pytest.mark.parametrize("strides", [None, (2, 2, 2)])
def test_features_are_the_convolutions_in_float64(strides):
    torch.manual_seed(0)
    guider = randomise(ObjectGuider(4, (6, 8, 10), strides)).double()
    latents, mask = torch.randn(2, 4, 2, 8, 12).double(), (torch.rand(2, 1, 2, 64, 96) < 0.01).double()
    found = guider(latents, mask)
    steps = strides or (1, 2, 2)
    for b in range(2):
        for f in range(2):
            hidden = latents[b, :, f]
            for level, step in enumerate(steps):
                layer = guider.blocks[level]
                hidden = conv_by_hand(
                    hidden if level == 0 else hidden * torch.sigmoid(hidden), layer.weight, layer.bias, step
                )
                row, size = found[level][2 * b + f], (8 >> level, 12 >> level)
                expected = hidden if strides is None else F.interpolate(hidden[None], size, mode="bilinear")[0]
                torch.testing.assert_close(row[:-1], expected, rtol=1e-12, atol=1e-12)
                cell = 8 << level
                for y in range(size[0]):
                    for x in range(size[1]):
                        assert (
                            row[-1, y, x] == mask[b, 0, f, cell * y : cell * (y + 1), cell * x : cell * (x + 1)].max()
                        )
    for with_mask, without in zip(found, guider(latents)):
        assert torch.equal(with_mask[:, :-1], without)


def conv_by_hand(image, weight, bias, stride):
    """3x3, padding 1, as nine shifted products; (C, h, w) float64."""
    h, w = image.shape[1:]
    padded = F.pad(image, (1, 1, 1, 1))
    out = bias[:, None, None].expand(-1, h, w).clone()
    for i in range(3):
        for j in range(3):
            out += torch.einsum("oc,chw->ohw", weight[:, :, i, j], padded[:, i : i + h, j : j + w])
    return out[:, ::stride, ::stride]


@torch.no_grad()
def test_features_have_the_size_of_what_they_are_blended_with():
    torch.manual_seed(0)
    for level in ObjectGuider(4, (32, 64, 128, 128))(torch.randn(1, 4, 1, 32, 32)):
        assert 0.3 < level.std() < 3


def test_every_block_of_middle_and_way_up_gets_the_map_of_its_level():
    """Names from the denoiser itself; widths must be those of its blocks."""
    widths = (8, 16, 24, 32)
    denoiser = Denoiser(4, 4, widths, 2, None, 2, 16, norm_num_groups=4, motion=False)
    names = denoiser.reference_block_names("midup")
    assert len(names) == 10  # 1 + 3 x 3
    port = blend_port(ObjectGuider(4, widths)(torch.randn(1, 4, 1, 16, 16)), names)
    assert list(port) == names
    for name, features in port.items():
        assert features.shape[1] == denoiser.get_submodule(name).norm1.normalized_shape[0]
        level = widths.index(features.shape[1])
        assert features.shape[-1] == 16 >> level


@torch.no_grad()
def test_blending_is_the_papers_two_equations_in_float64():
    torch.manual_seed(0)
    blend = randomise(SpatialBlend(5)).double()
    z, z_object = torch.randn(2, 3, 5, 6, 7).double()
    mask = torch.rand(3, 1, 6, 7).double()
    for n in range(3):
        alpha = 1 / (
            1 + torch.exp(-conv_by_hand(torch.cat([z[n], z_object[n]]), blend.conv.weight, blend.conv.bias, 1))
        )
        torch.testing.assert_close(
            blend(z, z_object)[n], alpha * z_object[n] + (1 - alpha) * z[n], rtol=1e-12, atol=1e-12
        )
        masked = alpha * mask[n]
        found = blend(z, torch.cat([z_object, mask], 1))[n]
        torch.testing.assert_close(found, masked * z_object[n] + (1 - masked) * z[n], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_starts():
    """Paper: half and half. Default: 1.8 percent. Outside of the objects' mask: nothing, to the bit."""
    z, z_object = torch.randn(2, 1, 4, 6, 6)
    torch.testing.assert_close(SpatialBlend(4, bias=0)(z, z_object), (z + z_object) / 2)
    share = 1 / (1 + torch.tensor(4.0).exp())
    torch.testing.assert_close(SpatialBlend(4)(z, z_object), z + share * (z_object - z))
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., 2:4, 1:3] = 1
    out = SpatialBlend(4)(z, torch.cat([z_object, mask], 1))
    changed = (out != z).any(1, keepdim=True)
    assert torch.equal(changed, mask.bool())


def test_every_parameter_learns_after_one_step():
    torch.manual_seed(0)
    guider = ObjectGuider(4, (8, 8, 8))
    names = ["up_blocks.2.a", "up_blocks.1.a", "mid_block.a"]
    blends = torch.nn.ModuleList([SpatialBlend(8, bias) for bias in (0, -4, -4)])
    optimizer = torch.optim.SGD([*guider.parameters(), *blends.parameters()], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        port = blend_port(guider(torch.randn(1, 4, 2, 8, 8)), names)
        sum(blend(torch.randn_like(port[n]), port[n]).square().sum() for n, blend in zip(names, blends)).backward()
        optimizer.step()
    for part in (guider, blends):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_saved_and_loaded(tmp_path):
    guider = ObjectGuider(4, (4, 8), strides=(2, 2))
    guider.save_pretrained(tmp_path)
    loaded = ObjectGuider.from_pretrained(tmp_path)
    assert tuple(loaded.config.strides) == (2, 2)
    latents = torch.randn(1, 4, 1, 8, 8)
    for a, b in zip(guider(latents), loaded(latents)):
        assert torch.equal(a, b)
