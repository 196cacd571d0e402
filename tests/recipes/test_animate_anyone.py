"""The recipe animate-anyone: parts of the published sizes, and what each stage trains."""

from dataclasses import replace

import pytest
import torch

from bunraku.errors import BunrakuError
from bunraku.recipes import Inputs, get_recipe
from bunraku.recipes.animate_anyone import AnimateAnyone

RECIPE = get_recipe("animate-anyone")
SD15, MINI = RECIPE.size("sd15"), RECIPE.size("mini")


@pytest.fixture(scope="module")
def paper_size():
    with torch.device("meta"):
        return SD15.build(True, SD15.options)


def count(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_paper_size_has_the_published_parts(paper_size):
    motion = sum(p.numel() for p in paper_size.denoiser.motion_parameters.values()) / 1e6
    assert count(paper_size.denoiser) - motion == pytest.approx(859.5, abs=0.1)
    assert motion == pytest.approx(453.2, abs=0.1)
    assert count(paper_size.pose_guider) == pytest.approx(1.086, abs=0.001)
    assert paper_size.pose_guider.conv_in.in_channels == 3
    # CLIP ViT-L/14 with its projection: 304.0 M
    assert count(paper_size.image_encoder) == pytest.approx(304.0, abs=0.1)


def test_literal_guider_of_the_paper_size():
    with torch.device("meta"):
        guider = SD15.build(False, AnimateAnyone.Options(literal_guider=True)).pose_guider
    assert guider.conv_out.out_channels == 4


@pytest.mark.parametrize("literal_guider", [False, True])
def test_mini_runs_from_its_start_values(literal_guider):
    options = replace(MINI.options, literal_guider=literal_guider)
    animator = MINI.build(True, options)
    assert 6 < count(animator) < 10
    noisy = torch.randn(1, 32, 2, 4, 4)
    images = torch.randint(0, 256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    inputs = Inputs({"reference": images[:, 0], "reference_pose": images[:, 1]}, {"pose": images})
    with torch.no_grad():
        out = animator(noisy, torch.tensor([5]), inputs, {"reference": noisy[:, :, 0]}, torch.tensor([True]))
    assert out.shape == noisy.shape


def test_stages_train_what_the_paper_says(paper_size):
    first, second = (RECIPE.size("sd15").stages[stage] for stage in (1, 2))
    assert not first.motion
    assert second.motion
    assert {name.split(".")[0] for name in first.parameters(paper_size)} == {"denoiser", "reference_net", "pose_guider"}
    names = list(second.parameters(paper_size))
    assert len(names) == 21 * 26
    assert all(name.startswith("denoiser.") and ".motion_modules." in name for name in names)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(BunrakuError, match="unknown recipe 'x'; there are animate-anyone"):
        get_recipe("x")
    with pytest.raises(BunrakuError, match="no size 'huge'; its sizes are sd15, mini"):
        RECIPE.size("huge")
