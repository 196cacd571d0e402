"""Recipe bunraku through `animate`: before it is trained it shows the cut-out, at any size and in every scene."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bunraku.animate import AnimateOptions, animate
from bunraku.animate.models import PipelineAdapter
from bunraku.media import read_image
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes.bunraku import BUNRAKU
from bunraku.recipes.recipe import stored_options
from bunraku.training.run import load_vae
from bunraku.weights import load_pipeline
from tests.video import read_video


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small size as its training starts."""
    from diffusers import DDIMScheduler

    size = BUNRAKU.size("small")
    torch.manual_seed(0)
    animator = size.build(False, size.options).eval()
    folder = tmp_path_factory.mktemp("bunraku")
    AnimationPipeline(
        load_vae(None, size.autoencoder), DDIMScheduler(**size.scheduler), recipe="bunraku",
        options=stored_options(animator.options), size=(128, 128), defaults=size.sampling.stored(),
        styles={k: dict(v) for k, v in size.styles.items()}, **animator.parts(),
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def made(puppets: Path, output: Path, model: str, **settings) -> np.ndarray:
    options = AnimateOptions(
        model=model, stop=2, refine=False, **settings
    )  # the untrained one has a refiner of its own
    animate(puppets / "a.png", puppets / "b.cues", output, options)
    if output.suffix:
        return read_video(output).frames.astype(float)
    from PIL import Image

    return np.stack([np.asarray(Image.open(path), float) for path in sorted(output.glob("*.png"))])


@pytest.mark.parametrize("size", [None, (192, 128)])
def test_untrained_it_shows_the_cut_out(puppets: Path, tmp_path: Path, untrained: str, size) -> None:
    ours = made(puppets, tmp_path / "ours.mkv", untrained, size=size)
    warp = made(puppets, tmp_path / "warp.mkv", "puppet-warp", size=size)
    assert ours.shape == warp.shape
    # the gate's start leaves 2 % to a picture of nothing, and the video codec rounds
    assert np.abs(ours - warp).mean() < 4


def test_before_a_transparent_ground_it_is_as_opaque_as_the_cut_out(
    puppets: Path, tmp_path: Path, untrained: str
) -> None:
    ours = made(puppets, tmp_path / "ours", untrained, scene="transparent")
    warp = made(puppets, tmp_path / "warp", "puppet-warp", scene="transparent")
    assert np.array_equal(ours[..., 3], warp[..., 3])
    opaque = warp[..., 3] == 255
    assert opaque.any()
    assert np.abs(ours - warp)[opaque].mean() < 6


def test_before_a_picture_it_stands_in_that_picture(puppets: Path, tmp_path: Path, untrained: str) -> None:
    ours = made(puppets, tmp_path / "out.mkv", untrained, scene=str(puppets / "b.png"))
    cut = made(puppets, tmp_path / "cut", "puppet-warp", scene="transparent")
    behind = read_image(puppets / "b.png").astype(float)
    nobody = cut[..., 3] == 0
    assert np.abs(ours - behind)[nobody].mean() < 6


@pytest.mark.parametrize("size", [(512, 384), (384, 512), (256, 128), (400, 304)])
def test_a_still_whose_sides_can_be_halved_keeps_its_size(untrained: str, size: tuple[int, int]):
    """It is painted smaller by a whole number; the best of them leaves 512x384 at 528x384, the next best as it is."""
    canvas = PipelineAdapter(AnimateOptions(model=untrained), 2, load_pipeline(untrained)).canvas(size)
    assert canvas.size == canvas.output_size == size
