"""Strengths: when they count, and what they do to a clip."""

from typing import Any

import numpy as np
import pytest
import torch

from bunraku.errors import BunrakuError
from bunraku.nets.ports import Ports
from bunraku.perception.pose import PoseTrack
from bunraku.recipes.bunraku import BUNRAKU
from bunraku.sampling.strength import Strength, progress_at
from tests.tiny import animated, build_tiny_pipeline


def test_a_strength_counts_from_start_to_end() -> None:
    early, late = Strength("pose", 0.5, 0, 0.5), Strength("pose", 2, 0.5, 1)
    assert [one.at(progress) for one in (early, late) for progress in (0, 0.49, 0.5, 0.999, 1)] == [
        0.5, 0.5, 0, 0, 0, 0, 0, 2, 2, 2,
    ]  # fmt: skip
    assert (progress_at(999, 1000), progress_at(0, 1000)) == (0, 0.999)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((-0.1, 0, 1), "from 0 to 10, not -0.1"), ((11, 0, 1), "not 11"), ((1, 0.5, 0.5), "not from 0.5 to 0.5"), ((1, 0, 1.1), "to 1.1")],
)  # fmt: skip
def test_numbers_out_of_range(numbers: tuple[float, float, float], message: str) -> None:
    with pytest.raises(BunrakuError, match=message):
        Strength("pose", *numbers)


@pytest.fixture(scope="module")
def clip() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 54, (4, 1, 18, 2)).astype(np.float32)
    track = PoseTrack(points, np.ones((4, 1, 18), np.float32), (64, 64))
    picture = rng.integers(0, 256, (64, 64, 3), np.uint8)
    return {"picture": picture, "poses": track, "own": track[:1]}


def made(clip: dict[str, Any], *strengths: Strength, **changes: Any) -> np.ndarray:
    from bunraku.cues.drawn import draw_conditions

    pipeline = build_tiny_pipeline()
    given = clip | changes
    stills, frames = draw_conditions(pipeline, given["picture"], given["poses"], given["own"])
    return pipeline(stills, frames, strengths=strengths, generator=torch.Generator().manual_seed(0)).frames


def test_one_changes_nothing_and_zero_takes_the_condition_away(clip: dict[str, Any]) -> None:
    plain = made(clip)
    assert (made(clip, Strength("pose", 1), Strength("reference", 1)) == plain).all()
    rng = np.random.default_rng(1)
    points = rng.uniform(10, 54, (4, 1, 18, 2)).astype(np.float32)
    other = {
        "pose": {"poses": PoseTrack(points, np.ones((4, 1, 18), np.float32), (64, 64))},
        "reference": {"picture": rng.integers(0, 256, (64, 64, 3), np.uint8), "own": None},
    }
    for condition, changes in other.items():
        assert np.abs(made(clip, **changes).astype(int) - plain).max() > 1
        assert (made(clip, Strength(condition, 0), **changes) == made(clip, Strength(condition, 0))).all()
        assert np.abs(made(clip, Strength(condition, 0)).astype(int) - plain).max() > 1


def test_one_step_of_two_may_count_alone(clip: dict[str, Any]) -> None:
    """Two steps, at 0 and at half of the way."""
    first, second = Strength("pose", 1, 0, 0.4), Strength("pose", 1, 0.4, 1)
    results = [made(clip), made(clip, first), made(clip, second), made(clip, Strength("pose", 0))]
    for i, one in enumerate(results):
        for other in results[:i]:
            assert (one != other).any()


def test_twice_the_reference_is_the_reference_twice() -> None:
    from bunraku.nets.attention import Attention

    torch.manual_seed(0)
    attention, tokens = Attention(16, 2), torch.randn(4, 9, 16)
    key, value = attention.project(torch.randn(2, 9, 16))
    plain = attention(tokens, extra=(key, value))
    # two pictures weigh as much as one, so twice as much is as if each were there by itself
    twice = (torch.cat([key, key], 2), torch.cat([value, value], 2))
    torch.testing.assert_close(attention(tokens, extra=twice), plain)
    torch.testing.assert_close(
        attention(tokens, extra=(key, value), weight=2.0), attention(tokens, extra=twice, weight=2.0)
    )
    logits = torch.cat(
        [
            attention.split(attention.to_q(tokens)) @ k.transpose(-1, -2) / 8**0.5
            for k in (attention.project(tokens)[0], key.repeat_interleave(2, 0), key.repeat_interleave(2, 0))
        ],
        -1,
    )
    values = torch.cat([attention.project(tokens)[1], *2 * [value.repeat_interleave(2, 0)]], 2)
    expected = attention.to_out[0]((logits.softmax(-1) @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(tokens, extra=(key, value), weight=2.0), expected)
    torch.testing.assert_close(attention(tokens, extra=(key, value), weight=0.0), attention(tokens))


def test_the_cut_out_is_trusted_less() -> None:
    size = BUNRAKU.sizes["small"]
    animator = size.build(False, size.options)
    ports = Ports(torch.randn(1, 1, 8), latents=torch.rand(1, 34, 2, 4, 4))
    half = animator.weighted(ports, {"cutout": 0.5}).latents
    assert half is not None
    assert ports.latents is not None
    assert (half[:, :-1] == ports.latents[:, :-1]).all()
    assert torch.equal(half[:, -1], ports.latents[:, -1] / 2)
    none = animator.weighted(ports, {"cutout": 0.0}).latents
    assert none is not None
    assert not none.any(), "as if there were no cut-out"
    assert animator.weighted(ports, {"cutout": 1.0}).latents is ports.latents
    most = animator.weighted(ports, {"cutout": 3.0}).latents
    assert most is not None
    assert torch.equal(most[:, -1], 2 * ports.latents[:, -1]), "2 is the most"


def test_a_strength_that_a_model_has_not(clip: dict[str, Any]) -> None:
    with pytest.raises(BunrakuError, match="recipe animate-anyone has no strength of cutout; it has pose, reference"):
        made(clip, Strength("cutout", 1))
    with pytest.raises(BunrakuError, match="two strengths of one condition"):
        made(clip, Strength("pose", 1), Strength("pose", 2))
    assert animated(build_tiny_pipeline(), clip["picture"], clip["poses"]).shape == (4, 64, 64, 3)
