"""The recipe tcan: parts of the paper's size, what each stage trains, and that everything starts as the base."""

import pytest
import torch

from bunraku.errors import BunrakuError
from bunraku.nets.lora import add_lora
from bunraku.recipes import get_recipe
from tests.tiny import randomise

RECIPE = get_recipe("tcan")


@pytest.fixture(scope="module")
def paper_size():
    with torch.device("meta"):
        return RECIPE.size("sd15").build(True)


def count(parameters) -> float:
    return sum(p.numel() for p in parameters) / 1e6


def test_paper_size(paper_size):
    moving = paper_size.denoiser.motion_parameters
    assert count(p for n, p in paper_size.denoiser.named_parameters() if n not in moving) == pytest.approx(
        859.5, abs=0.1
    )
    assert not any(name.startswith("mid_block") for name in moving)
    levels = {name.split(".motion_modules")[0] for name in paper_size.pose_guider.motion_parameters}
    assert levels == {"down_blocks.2", "down_blocks.3"}
    still = {n: p for n, p in paper_size.pose_guider.named_parameters() if ".motion_modules." not in n}
    assert count(still.values()) == pytest.approx(361.3, abs=0.1)
    assert len(paper_size.reference_net.names) == 10
    assert paper_size.reference_timestep == "every"


def test_stages_train_what_the_paper_says():
    with torch.device("meta"):
        first = RECIPE.size("sd15").build(False)
    add_lora(first.denoiser)
    names = list(RECIPE.size("sd15").stages[1].parameters(first))
    assert {name.split(".")[0] for name in names} == {"denoiser", "reference_net"}
    lora = [name for name in names if name.startswith("denoiser.")]
    assert all(".lora_" in name for name in lora)
    assert len(lora) == 16 * 2 * 3 * 2  # blocks, attentions, projections, A and B
    # rank 16 of 320, 640, 1280 wide attentions; cross-attention reads 768 for keys and values
    widths = [320] * 5 + [640] * 5 + [1280] * 6
    expected = sum(16 * (3 * 2 * w + (2 * w + 2 * (w + 768))) for w in widths) / 1e6
    assert count(first.get_parameter(name) for name in lora) == pytest.approx(expected)

    with torch.device("meta"):
        second = RECIPE.size("sd15").build(True)
    names = list(RECIPE.size("sd15").stages[2].parameters(second))
    assert all(".motion_modules." in name for name in names)
    assert {name.split(".")[0] for name in names} == {"denoiser", "pose_guider"}


@torch.no_grad()
def test_everything_new_changes_nothing_before_training():
    """LoRA and the temporal layers of denoiser and ControlNet are the identity at the start."""
    base = RECIPE.size("mini").build(False)
    for part in (base.denoiser, base.pose_guider, base.reference_net):
        randomise(part)
    moving = RECIPE.size("mini").build(True)
    for part in ("denoiser", "pose_guider", "reference_net"):
        missing, unexpected = getattr(moving, part).load_state_dict(getattr(base, part).state_dict(), strict=False)
        assert not unexpected
        assert all(".motion_modules." in name for name in missing)
    add_lora(moving.denoiser)
    latents, poses = torch.randn(1, 32, 3, 4, 4), torch.rand(1, 3, 3, 32, 32)
    arguments = (latents, torch.tensor([5]), poses, latents[:, :, 0], torch.zeros(1, 3, 1, 1))
    for half in (False, True):
        assert torch.equal(moving(*arguments, unconditional=half), base(*arguments, unconditional=half))
    temperature = torch.full((1, 1, 4, 4), 3.0)
    residuals = moving.control(latents, torch.tensor([5]), moving.unconditional_token(1), moving.guide(poses))
    plain, hot = (
        moving.denoise(*arguments[:2], moving.unconditional_token(1), moving.guide(poses), None, residuals=residuals, temperature=t)
        for t in (None, temperature)
    )  # fmt: skip
    assert torch.equal(plain, hot)


def test_each_frame_may_have_its_own_noise_level_only_where_the_reference_is_told_none():
    animator = RECIPE.size("mini").build(False)
    randomise(animator.denoiser)
    latents, poses = torch.randn(2, 32, 3, 4, 4), torch.rand(2, 3, 3, 32, 32)
    steps = torch.randint(0, 1000, (2, 3))
    pixels = torch.zeros(2, 3, 1, 1)
    with torch.no_grad():
        out = animator(latents, steps, poses, latents[:, :, 0], pixels)
        alone = animator(latents[1:, :, 2:], steps[1:, 2], poses[1:, :, 2:], latents[1:, :, 0], pixels[1:])
    torch.testing.assert_close(out[1:, :, 2:], alone, atol=1e-4, rtol=1e-4)
    told = []
    animator.reference_timestep = "every"
    animator.reference_net.register_forward_pre_hook(lambda _module, arguments: told.append(arguments[2]))
    with torch.no_grad():
        animator(latents, steps[:, 0], poses, latents[:, :, 0], pixels)
    assert torch.equal(told[0], steps[:, 0])


def test_it_has_no_pose_guider():
    for size in RECIPE.sizes.values():
        with torch.device("meta"), pytest.raises(BunrakuError, match="no pose guider"):
            size.build(False, literal_guider=True)
