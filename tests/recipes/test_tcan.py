"""The recipe tcan: parts of the paper's size, what each stage trains, and that everything starts as the base."""

from dataclasses import replace

import pytest
import torch

from bunraku.nets.lora import add_lora
from bunraku.recipes import Encoded, Inputs, get_recipe
from tests.tiny import randomise

RECIPE = get_recipe("tcan")
SD15, MINI = RECIPE.size("sd15"), RECIPE.size("mini")


@pytest.fixture(scope="module")
def paper_size():
    with torch.device("meta"):
        return SD15.build(True, SD15.options)


def count(parameters) -> float:
    return sum(p.numel() for p in parameters) / 1e6


def test_paper_size(paper_size):
    moving = paper_size.denoiser.motion_parameters
    assert count(p for n, p in paper_size.denoiser.named_parameters() if n not in moving) == pytest.approx(
        859.5, abs=0.1
    )
    assert not any(name.startswith("mid_block") for name in moving)
    levels = {name.split(".motion_modules")[0] for name in paper_size.controlnet.motion_parameters}
    assert levels == {"down_blocks.2", "down_blocks.3"}
    still = {n: p for n, p in paper_size.controlnet.named_parameters() if ".motion_modules." not in n}
    assert count(still.values()) == pytest.approx(361.3, abs=0.1)
    assert len(paper_size.reference_net.read_blocks) == 10
    assert paper_size.options.reference_timestep == "every"


def test_stages_train_what_the_paper_says():
    with torch.device("meta"):
        first = SD15.build(False, SD15.options)
    add_lora(first.denoiser)
    names = list(SD15.stages[1].parameters(first))
    assert {name.split(".")[0] for name in names} == {"denoiser", "reference_net"}
    lora = [name for name in names if name.startswith("denoiser.")]
    assert all(".lora_" in name for name in lora)
    assert len(lora) == 16 * 2 * 3 * 2  # blocks, attentions, projections, A and B
    # rank 16 of 320, 640, 1280 wide attentions; cross-attention reads 768 for keys and values
    widths = [320] * 5 + [640] * 5 + [1280] * 6
    expected = sum(16 * (3 * 2 * w + (2 * w + 2 * (w + 768))) for w in widths) / 1e6
    assert count(first.get_parameter(name) for name in lora) == pytest.approx(expected)

    with torch.device("meta"):
        second = SD15.build(True, SD15.options)
    names = list(SD15.stages[2].parameters(second))
    assert all(".motion_modules." in name for name in names)
    assert {name.split(".")[0] for name in names} == {"denoiser", "controlnet"}


@torch.no_grad()
def test_everything_new_changes_nothing_before_training():
    """LoRA and the temporal layers of denoiser and ControlNet are the identity at the start."""
    base = MINI.build(False, MINI.options)
    for part in (base.denoiser, base.controlnet, base.reference_net):
        randomise(part)
    moving = MINI.build(True, MINI.options)
    for part in ("denoiser", "controlnet", "reference_net"):
        missing, unexpected = getattr(moving, part).load_state_dict(getattr(base, part).state_dict(), strict=False)
        assert not unexpected
        assert all(".motion_modules." in name for name in missing)
    add_lora(moving.denoiser)
    given = arguments(1)
    for half in (False, True):
        shown = torch.tensor([half])
        assert torch.equal(moving(*given, shown), base(*given, shown))


def arguments(batch: int) -> tuple:
    """Of `Animator.forward`, but for `shown`: clips of three frames."""
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(batch, 32, 3, 4, 4, generator=generator)
    images = torch.randint(0, 256, (batch, 3, 32, 32, 3), dtype=torch.uint8, generator=generator)
    inputs = Inputs({"reference": images[:, 0]}, {"pose": images})
    return noisy, torch.full((batch,), 5), inputs, {"reference": noisy[:, :, 0]}


@torch.no_grad()
def test_temperature_reaches_the_motion_modules():
    """Once they are trained: before that their output is zero, whatever the temperature."""
    moving = randomise(MINI.build(True, MINI.options))
    noisy, timestep, inputs, latents = arguments(1)
    encoded = Encoded(moving.encode_stills(inputs, latents), moving.encode_frames(inputs, {}))
    ports = moving.ports(encoded, range(3), noisy, timestep, True)
    plain = moving.denoiser(noisy, timestep, ports)
    for level, same in ((1.0, True), (3.0, False)):
        hot = replace(ports, temperature=torch.full((1, 1, 4, 4), level))
        assert torch.allclose(moving.denoiser(noisy, timestep, hot), plain, atol=1e-5) is same


def test_each_frame_may_have_its_own_noise_level_only_where_the_reference_is_told_none():
    animator = MINI.build(False, MINI.options)
    randomise(animator.denoiser)
    noisy, _, inputs, latents = arguments(2)
    steps, shown = torch.randint(0, 1000, (2, 3)), torch.tensor([True, True])
    last = Inputs({"reference": inputs.stills["reference"][1:]}, {"pose": inputs.frames["pose"][1:, 2:]})
    with torch.no_grad():
        out = animator(noisy, steps, inputs, latents, shown)
        alone = animator(noisy[1:, :, 2:], steps[1:, 2], last, {"reference": latents["reference"][1:]}, shown[1:])
    torch.testing.assert_close(out[1:, :, 2:], alone, atol=1e-4, rtol=1e-4)
    told = []
    animator.options = replace(animator.options, reference_timestep="every")
    animator.reference_net.register_forward_pre_hook(lambda _module, arguments: told.append(arguments[2]))
    with torch.no_grad():
        animator(noisy, steps[:, 0], inputs, latents, shown)
    assert torch.equal(told[0], steps[:, 0])
