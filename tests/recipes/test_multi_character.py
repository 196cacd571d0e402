"""The recipe multi-character: Animate Anyone before training, every condition of use after it, any of them may be absent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch.utils.flop_counter import FlopCounterMode

from bunraku.cues.drawn import draw_conditions
from bunraku.errors import BunrakuError
from bunraku.nets.patch_codec import PatchCodec
from bunraku.recipes import Inputs, get_recipe
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.recipes.multi_character import MultiCharacter
from bunraku.training.config import training_config
from bunraku.training.run import start_networks, train
from bunraku.weights import load_pipeline
from tests.tiny import crowd, randomise, tiny_multi_character

RECIPE = get_recipe("multi-character")
CONDITIONS = ("pose", "flow", "depth_order", "reference_pose")


@pytest.fixture(scope="module")
def fresh() -> MultiCharacter:
    torch.manual_seed(0)
    mini = RECIPE.size("mini")
    animator = mini.build(True, mini.options).eval()
    torch.nn.init.normal_(animator.denoiser.conv_out.weight, std=0.1)
    return animator  # type: ignore[return-value]


@pytest.fixture(scope="module")
def animator(fresh) -> MultiCharacter:
    """With guiders that have learnt something."""
    parts = fresh.parts()
    guiders = {
        name: randomise(type(part).from_config(part.config), i)
        for i, (name, part) in enumerate(parts.items())
        if name.endswith("guider")
    }
    return MultiCharacter(**parts | guiders, options=fresh.options).eval()


@pytest.fixture
def given() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def pictures(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    return {
        "noisy": torch.randn(2, 32, 2, 4, 4, generator=generator),
        "timestep": torch.tensor([10, 500]),
        "inputs": Inputs(
            {name: pictures(2, 32, 32, 3) for name in ("reference", "reference_pose")},
            {name: pictures(2, 2, 32, 32, 3) for name in ("pose", "flow", "depth_order")},
        ),
        "latents": {"reference": torch.randn(2, 32, 4, 4, generator=generator)},
        "shown": torch.tensor([True, False]),
    }


def without(inputs: Inputs, *names: str) -> Inputs:
    return Inputs(*({n: t for n, t in part.items() if n not in names} for part in (inputs.stills, inputs.frames)))


@torch.no_grad()
def test_before_training_it_is_animate_anyone(fresh, given):
    parts = {name: part for name, part in fresh.parts().items() if name not in MultiCharacter.added}
    base = AnimateAnyone(**parts, options=AnimateAnyone.Options()).eval()
    assert torch.equal(fresh(**given), base(**given))


@pytest.mark.parametrize("name", CONDITIONS)
@torch.no_grad()
def test_every_condition_matters_and_a_dropped_one_is_an_absent_one(animator, given, name):
    inputs, whole = given["inputs"], animator(**given)
    absent = animator(**given | {"inputs": without(inputs, name)})
    assert ((absent - whole).abs().amax((1, 2, 3, 4)) > 1e-3).all()  # in both halves of guidance
    dropped = animator(**given | {"inputs": replace(inputs, dropped={name: torch.tensor([True, False])})})
    torch.testing.assert_close(dropped[0], absent[0])
    torch.testing.assert_close(dropped[1], whole[1])


@torch.no_grad()
def test_maps_of_the_conditions_add_up(animator, given):
    inputs = given["inputs"]
    maps = animator.encode_frames(inputs, {})["pose"]
    alone = [
        animator.encode_frames(without(inputs, *set(inputs.frames) - {name}), {})["pose"] for name in inputs.frames
    ]
    torch.testing.assert_close(sum(alone), maps)


@torch.no_grad()
def test_fewer_guiders_read_less_and_are_as_if_their_conditions_were_absent(animator, given):
    options = MultiCharacter.Options(guiders=("flow",))
    fewer = MultiCharacter(**animator.parts(), options=options).eval()
    assert (fewer.reads.stills, fewer.reads.frames) == (("reference",), ("pose", "flow"))
    absent = given | {"inputs": without(given["inputs"], "reference_pose", "depth_order")}
    assert torch.equal(fewer(**given), animator(**absent))
    with pytest.raises(BunrakuError, match="no guider for wind; there are reference_pose, flow, depth_order"):
        MultiCharacter(**animator.parts(), options=replace(options, guiders=("wind",)))


@torch.no_grad()
def test_looks_are_those_of_the_shown_samples(animator, given):
    predicted, looks = animator(**given, watched=True)
    torch.testing.assert_close(predicted, animator(**given))
    grids = {name: look.grid for name, look in looks.items()}
    assert set(grids) == set(animator.denoiser.reference_block_names())
    assert all(
        look.logits.shape[0] == 2 and look.logits.shape[2:] == (h * w, h * w)
        for look in looks.values()
        for h, w in [look.grid]
    )  # the two frames of the one sample that is shown


def test_paper_size_has_four_guiders_and_the_papers_numbers():
    size = RECIPE.size("sd15")
    with torch.device("meta"):
        animator = size.build(True, size.options)
    guiders = [part for name, part in animator.parts().items() if name.endswith("guider")]
    assert [sum(p.numel() for p in part.parameters()) for part in guiders] == pytest.approx([1.086e6] * 4, abs=1e3)
    assert (size.sampling.num_inference_steps, size.sampling.guidance_scale) == (50, 1.5)
    first, second = (training_config("multi-character", "sd15", stage, Path("run"), {}) for stage in (1, 2))
    assert first.picture == second.picture == (896, 640)
    assert (first.steps, first.frames, first.global_batch) == (second.steps, second.frames, 4 * second.global_batch)
    assert {name.split(".")[0] for name in first.chosen_stage.parameters(animator)} == {
        "denoiser", "reference_net", *(n for n in animator.parts() if n.endswith("guider")),
    }  # fmt: skip
    assert all(".motion_modules." in name for name in second.chosen_stage.parameters(animator))


@pytest.mark.slow
def test_two_steps_on_crowds_from_mini_animate_anyone(tmp_path: Path):
    AcceleratorState._reset_state(reset_partial_state=True)
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    codec.save_pretrained(tmp_path / "vae")
    settings = {
        "resolution": (64, 48), "batch": 1, "frames": 2, "workers": 0, "steps": 2, "precision": "float32", "warmup": 0,
        "validation_clips": 1, "learning_rate": 0.1, "ema_decay": 0.0, "vae": str(tmp_path / "vae"),
    }  # fmt: skip
    base = train(training_config("animate-anyone", "mini", 1, tmp_path / "base", settings | {"steps": 1}))
    AcceleratorState._reset_state(reset_partial_state=True)
    config = training_config("multi-character", "mini", 1, tmp_path / "run", settings | {"init": str(base)})
    start, _ = start_networks(config, {})
    assert not any(start.parts()[name].conv_out.weight.any() for name in MultiCharacter.added)
    pipeline = load_pipeline(train(config), device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    assert all(getattr(pipeline, name).conv_out.weight.any() for name in MultiCharacter.added)  # they have learnt

    picture = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    track = crowd(3, 2, (64, 48), np.random.default_rng(0))
    stills, frames = draw_conditions(pipeline, picture, track, track[:1])
    assert (list(stills), list(frames)) == (["reference", "reference_pose"], ["pose", "flow", "depth_order"])
    made = pipeline(stills, frames, generator=torch.Generator().manual_seed(0)).frames
    assert made.shape == (3, 64, 48, 3)
    # drawn skeletons say neither who is in front nor where anybody is
    _, drawn = draw_conditions(pipeline, picture, np.zeros((3, 64, 48, 3), np.uint8))
    assert list(drawn) == ["pose"]
    assert pipeline(stills, drawn).frames.shape == made.shape


def test_eight_people_cost_no_more_than_the_drawing_of_their_skeletons():
    """The networks do the same work, and hold the same maps, whoever is in the pictures."""
    pipeline, size = tiny_multi_character(), (64, 64)
    picture = np.zeros((*size, 3), np.uint8)
    work, shapes = [], []
    for people in (1, 8):
        track = crowd(9, people, size, np.random.default_rng(0))
        stills, frames = draw_conditions(pipeline, picture, track, track[:1])
        with FlopCounterMode(display=False) as counted:
            pipeline(stills, frames, generator=torch.Generator().manual_seed(0))
        work.append(counted.get_flop_counts())
        shapes.append({name: drawn[range(9)].shape for name, drawn in frames.items()})
    assert work[0] == work[1]
    assert sum(work[0]["Global"].values()) > 1e7
    assert shapes[0] == shapes[1]
