"""Several pictures of one character, for every recipe: the same one twice is the same one; another one tells more."""

from typing import Any

import numpy as np
import pytest
import torch

from bunraku.cues.drawn import VIEWS, VIEWS_POSE, draw_conditions
from bunraku.errors import BunrakuError
from bunraku.recipes import RECIPES, Animator, Inputs
from tests.tiny import build_tiny_pipeline, randomise, tiny_tcan, walking_track

SIDE, ROWS = 32, 2


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=RECIPES)
def animator(request) -> Animator:
    """Of every recipe, its smallest size, as if it had been trained."""
    sizes = RECIPES[request.param].sizes
    size = sizes.get("mini") or sizes["small"]
    torch.manual_seed(0)
    return randomise(size.build(True, size.options)).eval()  # type: ignore[return-value]


def given(animator: Animator, views: dict[str, torch.Tensor], latents: torch.Tensor | None = None) -> dict[str, Any]:
    reads = animator.reads
    channels = {"cutout": 4}
    stills = {name: pictures(ROWS, SIDE, SIDE, 3, seed=i) for i, name in enumerate(reads.stills)}
    frames = {
        name: pictures(ROWS, 3, SIDE, SIDE, channels.get(name, 3), seed=9 + i) for i, name in enumerate(reads.frames)
    }
    generator = torch.Generator().manual_seed(1)
    c = animator.denoiser.config.in_channels
    c = c - animator.denoiser.joined_channels if c > 32 else c
    shapes = {name: (ROWS, c, 4, 4) if name in stills else (ROWS, c, 3, 4, 4) for name in reads.latents}
    encoded = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if latents is not None:
        encoded[VIEWS] = latents
    return {
        "noisy": torch.randn(ROWS, c, 3, 4, 4, generator=generator), "timestep": torch.tensor([10, 500]),
        "inputs": Inputs(stills | views, frames), "latents": encoded, "shown": torch.tensor([True, True]),
    }  # fmt: skip


@torch.no_grad()
def test_the_same_picture_again_changes_nothing_and_another_does(animator):
    once = given(animator, {})
    reference, clean = once["inputs"].stills["reference"], once["latents"]["reference"]
    again = {VIEWS: reference[:, None].expand(-1, 2, -1, -1, -1)}
    if "reference_pose" in once["inputs"].stills:
        again[VIEWS_POSE] = once["inputs"].stills["reference_pose"][:, None].expand(-1, 2, -1, -1, -1)
    plain = animator(**once)
    torch.testing.assert_close(
        animator(**given(animator, again, clean[:, None].expand(-1, 2, -1, -1, -1))), plain, atol=1e-4, rtol=1e-3
    )

    other = torch.randn(ROWS, 2, *clean.shape[1:], generator=torch.Generator().manual_seed(5))
    views = {name: pictures(ROWS, 2, SIDE, SIDE, 3, seed=3) for name in again}
    more = animator(**given(animator, views, other))
    assert ((more - plain).abs().amax((1, 2, 3, 4)) > 1e-3).all()
    # side by side: no order among them
    turned = {name: view.flip(1) for name, view in views.items()}
    torch.testing.assert_close(animator(**given(animator, turned, other.flip(1))), more, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("build", [build_tiny_pipeline, tiny_tcan])
def test_a_pipeline_takes_up_to_five_pictures(build):
    pipeline, rng = build(), np.random.default_rng(0)
    shown = rng.integers(0, 256, (6, 64, 64, 3), np.uint8)
    track = walking_track(3)

    def made(*views: Any) -> np.ndarray:
        stills, frames = draw_conditions(pipeline, shown[0], track, track[:1], views=views)
        return pipeline(stills, frames, generator=torch.Generator().manual_seed(0)).frames.astype(int)

    plain = made()
    assert (made((shown[0], track[:1])) != plain).mean() < 0.01
    five = made(*((picture, None) for picture in shown[1:5]))
    assert (five != plain).mean() > 0.1
    with pytest.raises(BunrakuError, match="a reference has at most 5 pictures; got 6"):
        made(*((picture, None) for picture in shown[1:6]))
    stills, frames = draw_conditions(pipeline, shown[0], track, track[:1])
    with pytest.raises(BunrakuError, match=r"views must be uint8 \(V, 64, 64, C\), got uint8 \(64, 64, 3\)"):
        pipeline(stills | {VIEWS: shown[1]}, frames)
    with pytest.raises(BunrakuError, match="1 drawn poses for 2 further views"):
        pipeline(stills | {VIEWS: shown[1:3], VIEWS_POSE: shown[:1]}, frames)


def test_poses_of_views_are_drawn_where_the_model_reads_them():
    pipeline, track = build_tiny_pipeline(), walking_track(2)
    views = [(np.zeros((64, 64, 3), np.uint8), pose) for pose in (None, track[1:])]
    stills, _ = draw_conditions(pipeline, views[0][0], track, track[:1], views=views)
    assert not stills[VIEWS_POSE][0].any()
    expected, _ = draw_conditions(pipeline, views[0][0], track, track[1:])
    assert np.array_equal(stills[VIEWS_POSE][1], expected["reference_pose"])
    assert VIEWS_POSE not in draw_conditions(tiny_tcan(), views[0][0], track, track[:1], views=views)[0]
