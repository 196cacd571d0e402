"""The denoising loop: with an oracle that knows the clean latents, with a recorder, and with real (tiny) networks."""

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from bunraku.errors import BunrakuError
from bunraku.nets.ports import Ports
from bunraku.recipes import Encoded, get_recipe
from bunraku.sampling.denoise import denoise, initial_noise, set_timesteps
from bunraku.sampling.quality import SHARES
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.windows import merge_weights, time_windows
from tests.tiny import animated, tiny_tcan, walking_track

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "DDIMScheduler": {"clip_sample": False, "timestep_spacing": "trailing"},
    "DPMSolverMultistepScheduler": {"timestep_spacing": "trailing"},
    "EulerDiscreteScheduler": {"timestep_spacing": "trailing"},
    "EulerAncestralDiscreteScheduler": {"timestep_spacing": "trailing"},
    "UniPCMultistepScheduler": {"timestep_spacing": "trailing"},
    "LCMScheduler": {"clip_sample": False},
}
"""The common ones; PNDM's Runge-Kutta warm-up calls the model at half steps and is not among them."""

TOKEN = torch.ones(1, 1, 2)
REFERENCE = {"block": (torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))}


def scheduler(name: str = "DDIMScheduler", **config: Any) -> Any:
    return getattr(diffusers, name)(**BETAS, **SCHEDULERS[name], **config)


class Recorder:
    """In place of a denoiser: answers by `answer`, remembers its calls. Guider maps carry the frame numbers."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.calls = answer, []

    def __call__(self, noisy, timestep, ports):
        rows = ports.add[:, 0, :, 0, 0].int().tolist()
        self.calls.append((noisy.shape, int(timestep), ports.token, rows, ports.reference))
        return self.answer(noisy, timestep, ports.token, ports.add)


def numbered(window, noisy, timestep, shown) -> Ports:
    """Guider maps whose value is the number of the frame; the unconditional half has a zero token and no reference."""
    add = torch.tensor(list(window), dtype=torch.float32).view(1, 1, -1, 1, 1)
    return Ports(TOKEN, add=add, reference=REFERENCE) if shown else Ports(torch.zeros_like(TOKEN), add=add)


def run(
    answer: Any, latents: torch.Tensor, kind: Any = None, generator: Any = None, on_step: Any = None, **settings: Any
) -> tuple[torch.Tensor, Recorder]:
    recorder = Recorder(answer)
    sampling = Sampling(**{"num_inference_steps": 3, "guidance_scale": 1.0, "window": 8, "overlap": 2} | settings)
    step = {"on_step": on_step} if on_step else {}
    return denoise(recorder, numbered, kind or scheduler(), latents, sampling, generator, **step)[0], recorder


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("frames", [1, 5, 20])
def test_every_scheduler_arrives_at_what_an_oracle_knows(name, frames):
    """The oracle computes the noise in x_t = sqrt(a) x_0 + sqrt(1 - a) noise, so a wrong scale of the start noise or of the
    model's input, or a lost step, ends elsewhere. (Steps that do not divide 1000 make diffusers' DDIM end at t = 0, not at x_0.)"""
    kind = scheduler(name)
    clean = torch.randn(1, 4, frames, 3, 2, generator=torch.Generator().manual_seed(0))

    def oracle(latents, timestep, token, guided):
        alpha = kind.alphas_cumprod[int(timestep)]
        window = guided[:, 0, :, 0, 0].long()
        known = torch.cat([clean[:, :, row] for row in window])
        return (latents - alpha.sqrt() * known) / (1 - alpha).sqrt()

    noise = initial_noise((4, frames, 3, 2), torch.Generator().manual_seed(1))
    result, _ = run(oracle, noise, kind, num_inference_steps=5, generator=torch.Generator().manual_seed(2))
    assert (result - clean).abs().max() < 0.05


@pytest.mark.parametrize("name", SCHEDULERS)
def test_same_seed_same_result(name):
    def answer(latents, timestep, token, guided):
        return 0.3 * latents.sin()

    def once(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = initial_noise((4, 3, 2, 2), generator)
        return run(answer, noise, scheduler(name), generator=generator)[0]

    assert torch.equal(once(5), once(5))
    assert not torch.allclose(once(5), once(6))


def test_windows_are_merged_by_weight_then_guided():
    """One DDIM step of x_0 prediction returns the guided prediction itself; compared with float64 numpy."""
    frames, scale = 13, 2.5
    noise = initial_noise((2, frames, 1, 1), torch.Generator().manual_seed(0))
    window_value = {0: 1.0, 5: -2.0}

    def answer(latents, timestep, token, guided):
        values = torch.tensor([window_value[int(g)] for g in guided[:, 0, 0, 0, 0]]).view(-1, 1, 1, 1, 1)
        conditional = token.any()
        return values * (3 if conditional else 1) + (guided if conditional else 0) + torch.zeros_like(latents)

    kind = scheduler(prediction_type="sample")
    for merge in ("triangular", "uniform"):
        result, _ = run(answer, noise, kind, num_inference_steps=1, overlap=2, guidance_scale=scale, merge=merge)
        weight = merge_weights(8, merge).double().numpy()
        total, plain, guided = (np.zeros(frames) for _ in range(3))
        assert [w.start for w in time_windows(frames, 8, 2)] == [0, 5]
        for start, value in window_value.items():
            part = slice(start, start + 8)
            total[part] += weight
            plain[part] += weight * value
            guided[part] += weight * (3 * value + np.arange(start, start + 8))
        expected = plain / total + scale * (guided / total - plain / total)
        np.testing.assert_allclose(result[0, 0, :, 0, 0], expected, rtol=1e-5)


def test_guidance_of_one_makes_no_unconditional_call():
    noise = initial_noise((2, 20, 1, 1), None)
    _, one = run(lambda latents, *_: latents, noise, guidance_scale=1.0)
    assert len(one.calls) == 3 * 3
    assert all(reference is REFERENCE and token is TOKEN for _, _, token, _, reference in one.calls)
    _, more = run(lambda latents, *_: latents, noise, guidance_scale=2.0)
    assert len(more.calls) == 2 * 3 * 3
    bare = [token for _, _, token, _, reference in more.calls if not reference]
    assert len(bare) == 3 * 3
    assert not any(token.any() for token in bare)


def test_guidance_of_an_interval_makes_unconditional_calls_there_alone():
    noise = initial_noise((2, 8, 1, 1), None)

    def halves(**settings):
        made, recorder = run(lambda latents, *_: latents, noise, num_inference_steps=10, overlap=2, **settings)
        return made, [bool(token.any()) for _, _, token, _, _ in recorder.calls]

    whole, both = halves(guidance_scale=2.0)
    assert both == [True, False] * 10
    _, some = halves(guidance_scale=2.0, guidance_start=0.2, guidance_end=0.5)
    assert some == [True] * 2 + [True, False] * 3 + [True] * 5
    assert torch.equal(halves(guidance_scale=2.0, guidance_start=0.0, guidance_end=1.0)[0], whole)
    never, one = halves(guidance_scale=2.0, guidance_end=0.0)
    assert one == [True] * 10
    assert torch.equal(never, halves(guidance_scale=1.0)[0])
    with pytest.raises(BunrakuError, match=r"cannot end before it starts: from 0.6 to 0.4"):
        Sampling(guidance_start=0.6, guidance_end=0.4)


def test_deep_levels_are_kept_by_window_and_half_between_the_steps_that_compute_them():
    seen: list[tuple[int, bool, int]] = []

    def predict(noisy, timestep, ports):
        at = ports.deep.setdefault("made at", torch.tensor(int(timestep)))
        seen.append((int(ports.add[0, 0, 0, 0, 0]), bool(ports.token.any()), int(at) - int(timestep)))
        return noisy

    sampling = Sampling(num_inference_steps=4, guidance_scale=2.0, window=8, overlap=2, deep_cache=3)
    denoise(predict, numbered, scheduler(), initial_noise((2, 14, 1, 1), None), sampling)
    assert [one[:2] for one in seen] == [(0, True), (0, False), (6, True), (6, False)] * 4
    assert [one[2] for one in seen] == [0] * 4 + [250] * 4 + [500] * 4 + [0] * 4
    assert run(lambda latents, *_: latents, initial_noise((2, 8, 1, 1), None))[1].calls, "the port is closed without it"


def test_a_quality_is_a_share_of_the_models_own_steps():
    own = Sampling(num_inference_steps=25, guidance_scale=3.5)
    assert own.of_quality("best") == own
    evaluations = {
        quality: sum(len(own.of_quality(quality).halves(s)) for s in range(own.of_quality(quality).num_inference_steps))
        for quality in SHARES
    }
    assert evaluations == {"fast": 8 + 5, "balanced": 15 + 12, "best": 50}
    assert Sampling(num_inference_steps=1).of_quality("fast").num_inference_steps == 1


@pytest.mark.parametrize(("window_batch", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (5, [3])])
def test_windows_are_batched(window_batch, sizes):
    _, recorder = run(
        lambda latents, *_: latents,
        initial_noise((2, 20, 1, 1), None),
        num_inference_steps=2,
        window_batch=window_batch,
    )
    assert [shape[0] for shape, *_ in recorder.calls] == sizes * 2
    assert {shape[2] for shape, *_ in recorder.calls} == {8}
    first_step = [row for _, _, _, rows, _ in recorder.calls[: len(sizes)] for row in rows]
    assert first_step == [list(w) for w in time_windows(20, 8, 2)]


def test_schedulers_that_cannot_carry_the_noise_are_refused():
    """The mini size's schedule ends in sigmas of 6e9, which float32 cannot add to latents; it was noise without a word."""
    mini = get_recipe("animate-anyone").size("mini").scheduler
    for name in ("DDIMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"):
        set_timesteps(getattr(diffusers, name).from_config(mini), 8, "cpu")
    with pytest.raises(
        BunrakuError, match=r"EulerDiscreteScheduler cannot follow this model's noise schedule.*--scheduler"
    ):
        set_timesteps(diffusers.EulerDiscreteScheduler.from_config(mini), 8, "cpu")


def test_what_a_scheduler_refuses_is_a_plain_error():
    with pytest.raises(BunrakuError, match="LCMScheduler cannot sample in 60 steps"):
        set_timesteps(scheduler("LCMScheduler"), 60, "cpu")


def test_prediction_that_is_not_finite_names_the_step():
    kind = scheduler()
    kind.set_timesteps(3)
    second = int(kind.timesteps[1])

    def answer(latents, timestep, token, guided):
        return latents * (torch.inf if int(timestep) == second else 1)

    with pytest.raises(BunrakuError, match=rf"not finite at step 2 of 3 \(timestep {second}\).*float32"):
        run(answer, initial_noise((2, 4, 1, 1), None), kind)


def test_what_on_step_returns_goes_on():
    seen: list[tuple[int, int]] = []

    def on_step(step, timestep, latents):
        seen.append((step, int(timestep)))
        return torch.zeros_like(latents)

    result, recorder = run(lambda latents, *_: latents, initial_noise((2, 4, 1, 1), None), on_step=on_step)
    assert not result.any()
    assert seen == [(i, timestep) for i, (_, timestep, *_) in enumerate(recorder.calls)]


@pytest.fixture
def conditions(tiny_pipeline) -> Any:
    """`denoise` with real networks, apart from latents and sampling; a recorder of the windows is its `asked`."""
    animator = tiny_pipeline.animator
    generator = torch.Generator().manual_seed(0)
    token = torch.randn(1, 1, 16, generator=generator)
    maps = torch.randn(1, 16, 100, 4, 3, generator=generator)
    encoded = Encoded({"token": token, "reference": torch.randn(1, 1, 4, 4, 3, generator=generator)}, {"pose": maps})

    def run(latents: torch.Tensor, temperature: Any = None, **settings: Any) -> torch.Tensor:
        def ports(window, noisy, timestep, shown):
            made = animator.ports(encoded, window, noisy, timestep, shown)
            return made if temperature is None else replace(made, temperature=temperature(window))

        settings = {"guidance_scale": 1.0} | settings
        return denoise(animator.predict, ports, tiny_pipeline.scheduler, latents, Sampling(**settings))[0]

    return run


@torch.no_grad()
def test_real_networks_give_the_same_whatever_the_window_batch(conditions):
    noise = initial_noise((4, 29, 4, 3), torch.Generator().manual_seed(0))
    settings = {"latents": noise, "num_inference_steps": 2, "guidance_scale": 2.0, "window": 8, "overlap": 2}
    one, two, all_at_once = (conditions(**settings, window_batch=n) for n in (1, 2, 9))
    assert one.std() > 0.1
    torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(all_at_once, one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 100])
@torch.no_grad()
def test_real_networks_work_for_one_frame_and_for_a_hundred(conditions, frames):
    noise = initial_noise((4, frames, 4, 3), torch.Generator().manual_seed(0))
    result = conditions(latents=noise, num_inference_steps=1, window=16, overlap=4)
    assert result.shape == noise.shape
    assert torch.isfinite(result).all()


def test_noise_of_a_longer_clip_starts_with_that_of_a_shorter_one():
    short, long = (initial_noise((4, f, 3, 2), torch.Generator().manual_seed(7)) for f in (5, 50))
    assert short.shape == (1, 4, 5, 3, 2)
    assert torch.equal(long[:, :, :5], short)
    assert abs(float(long.std()) - 1) < 0.05


@pytest.mark.parametrize(("period", "distinct"), [(0, 10), (1, 1), (4, 4), (16, 10)])
def test_noise_repeats_after_its_period(period, distinct):
    noise = initial_noise((4, 10, 3, 2), torch.Generator().manual_seed(7), period)
    assert len({tuple(noise[0, :, f].flatten().tolist()) for f in range(10)}) == distinct
    if period and period < 10:
        assert torch.equal(noise[:, :, period:], noise[:, :, :-period])
    assert torch.equal(noise[:, :, 0], initial_noise((4, 1, 3, 2), torch.Generator().manual_seed(7))[:, :, 0])


@torch.no_grad()
@pytest.mark.parametrize("window_batch", [1, 3])
def test_a_controlnet_sees_each_frame_once_per_step(window_batch):
    """Its windows do not overlap; both halves and all windows of the denoiser share its maps; and they matter."""
    pipeline = tiny_tcan()
    animator, net = pipeline.animator, pipeline.controlnet
    seen: list[list[int]] = []

    def watch(_module, arguments):
        latents, _, token, guided = arguments
        assert len(latents) == 1
        assert token.any()
        seen.append(guided[0, 0, :, 0, 0].round().int().tolist())

    net.register_forward_pre_hook(watch)
    maps = torch.arange(37.0).view(1, 1, 37, 1, 1).expand(1, 16, 37, 4, 3)
    noise = initial_noise((4, 37, 4, 3), torch.Generator().manual_seed(0))
    stills = {"token": pipeline.prompt.tokens[None], "reference": torch.randn(1, 1, 4, 4, 3)}
    sampling = Sampling(
        num_inference_steps=2, guidance_scale=2.0, window=8, overlap=2, window_batch=window_batch
    )  # fmt: skip

    def run() -> torch.Tensor:
        encoded = Encoded(stills, {"pose": maps})
        return denoise(
            animator.predict, lambda *asked: animator.ports(encoded, *asked), pipeline.scheduler, noise, sampling
        )[0]  # fmt: skip

    out = run()
    assert seen == [[*range(16)], [*range(16, 32)], [*range(21, 37)]] * 2
    for zero in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.zeros_(zero.weight)
        torch.nn.init.zeros_(zero.bias)
    assert (run() - out).abs().max() > 1e-3


@torch.no_grad()
def test_temperature_of_each_window_reaches_the_motion_modules(conditions):
    noise = initial_noise((4, 13, 4, 3), torch.Generator().manual_seed(0))
    asked: list[list[int]] = []

    def temperature(level: float) -> Any:
        return lambda w: (asked.append(list(w)), torch.full((1, 1, 4, 3), level))[1]

    settings = {"latents": noise, "num_inference_steps": 1, "window": 8, "overlap": 2}
    plain = conditions(**settings)
    torch.testing.assert_close(conditions(**settings, temperature=temperature(1.0)), plain)
    assert asked == [list(w) for w in time_windows(13, 8, 2)]
    assert (conditions(**settings, temperature=temperature(9.0)) - plain).abs().max() > 1e-4


def test_noise_is_drawn_where_its_generator_lives(monkeypatch):
    """torch refuses a generator of another device than the tensor's."""
    asked = []
    monkeypatch.setattr(torch, "randn", lambda *shape, generator, device: asked.append(device) or torch.zeros(shape))

    class OfAGpu:
        device = torch.device("cuda", 0)

    initial_noise((4, 3, 2, 2), OfAGpu())  # type: ignore[arg-type]
    assert asked == [torch.device("cuda", 0)] * 3


def test_a_chain_makes_window_after_window_from_clean_frames_of_the_one_before():
    clean = torch.randn(1, 4, 20, 3, 2, generator=torch.Generator().manual_seed(0))
    kind, seen = scheduler(), []

    def oracle(noisy, timestep, ports):
        frames = ports.add[0, 0, :, 0, 0].long()
        levels = timestep.expand(1, len(frames)) if timestep.ndim == 0 else timestep
        alpha = torch.where(levels > 0, kind.alphas_cumprod[levels], 1 - 1e-6)[:, None, :, None, None]
        seen.append((frames.tolist(), levels[0].tolist(), (noisy - clean[:, :, frames]).abs().amax((0, 1, 3, 4))))
        return (noisy - alpha.sqrt() * clean[:, :, frames]) / (1 - alpha).sqrt()

    noise = initial_noise((4, 20, 3, 2), torch.Generator().manual_seed(1))
    sampling = Sampling(num_inference_steps=3, guidance_scale=1.0, window=8, chain=2)
    steps = []
    made, _ = denoise(
        oracle, numbered, kind, noise, sampling, on_step=lambda step, timestep, latents: steps.append(step) or latents
    )
    # the last alpha of DDIM's schedule is not quite 1
    torch.testing.assert_close(made, clean, atol=0.1, rtol=0)
    assert steps == list(range(9))
    assert sampling.steps(20) == 9
    assert [frames for frames, _, _ in seen[::3]] == [list(range(8)), list(range(6, 14)), list(range(12, 20))]
    for number, (_, levels, apart) in enumerate(seen):
        carried = 0 if number < 3 else 2
        assert (np.array(levels[:carried]) == 0).all()
        assert (np.array(levels[carried:]) > 0).all()
        assert (apart[:carried] < 0.1).all()


def test_a_chain_of_one_window_is_that_window():
    answer = lambda latents, timestep, token, guided: 0.3 * latents + 0.01 * guided  # noqa: E731
    noise = initial_noise((4, 6, 3, 2), torch.Generator().manual_seed(1))
    chained, one = (run(answer, noise, window=8, chain=chain)[0] for chain in (1, 0))
    assert torch.equal(chained, one)


def test_a_chain_of_real_networks_continues_the_frames_before(tiny_pipeline):
    """Frames that are carried are what the clip before made, to the bit."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    six, ten = (
        animated(
            tiny_pipeline, picture, walking_track(10)[:length], generator=torch.Generator().manual_seed(0), window=6, overlap=0,
            chain=2,
        )
        for length in (6, 10)
    )  # fmt: skip
    np.testing.assert_array_equal(ten[:6], six)
    assert len(ten) == 10
