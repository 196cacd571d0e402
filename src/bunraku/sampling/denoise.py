"""The denoising loop: noise, windows, guidance, scheduler steps. It names no condition."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bunraku.errors import BunrakuError
from bunraku.nets.ports import Ports, stack_ports
from bunraku.sampling.chain import carried_timesteps, chain_clips, enter_carried, join_clips
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.share import ALONE, Share
from bunraku.sampling.state import SamplingState, Stand, restore_scheduler, scheduler_state
from bunraku.sampling.windows import merge_weights

Predict = Callable[[Tensor, Tensor, Ports], Tensor]
"""Noisy latents (B, C, F, h, w), timestep, ports -> prediction (B, C or more, F, h, w): what is beyond C channels says something of
the prediction, such as how far a condition is to be trusted."""

Conditions = Callable[[Sequence[int], Tensor, Tensor, bool], Ports]
"""(frames of a window, noisy latents of the whole clip (1, C, F, h, w), timestep, shown) -> the window's ports; not shown: what
the unconditional half of guidance sees."""

OnStep = Callable[[int, Tensor, Tensor], Tensor]
"""Called with step number, timestep and latents; returns the latents to go on with."""

TOO_MUCH_NOISE = 1e5
"""Largest sigma that float32 still resolves beside latents of about 1."""


def initial_noise(shape: tuple[int, int, int, int], generator: torch.Generator | None, period: int = 0) -> Tensor:
    """Gaussian noise (1, C, F, h, w) for `shape` (C, F, h, w), on the generator's device.

    A generator on the CPU (or none) makes a seed mean the same everywhere.

    Args:
        period: the noise repeats after this many frames; 1: all frames share one noise (least flicker), TCAN: 16, 0: never.
    """
    c, frames, h, w = shape
    distinct = min(period or frames, frames)
    device = "cpu" if generator is None else generator.device
    # frame by frame: a longer clip starts with the same noise as a shorter one
    noise = torch.stack(
        [torch.randn(c, h, w, generator=generator, device=device) for _ in range(distinct)], dim=1
    )  # fmt: skip
    return noise[:, torch.arange(frames) % distinct][None]


def denoise(
    predict: Predict,
    conditions: Conditions,
    scheduler: Any,
    latents: Tensor,
    sampling: Sampling,
    generator: torch.Generator | None = None,
    on_step: OnStep = lambda step, timestep, latents: latents,
    share: Share = ALONE,
    state: SamplingState | None = None,
) -> tuple[Tensor, Tensor]:
    """Denoise the frames of one clip: together, or as a chain of windows (`sampling.chain`).

    Args:
        latents: initial noise (1, C, F, h, w), float32 whatever the networks compute in: rounding would add up over the steps.
        generator: of schedulers that add noise.
        on_step: in a chain it is called with the latents of the window that is made, and counts the steps of all windows.
        share: which windows, and which half of guidance, this process predicts, of several that denoise the same clip. The windows of a
            chain follow one from another, so of these only the halves are shared.
        state: keeps where the loop stands; if it knows, the loop goes on from there, and the result is the same bit for bit. `on_step` is not
            called of steps that were made before.

    Returns:
        latents (1, C, F, h, w), and what the last step's conditional prediction said beyond them (1, C', F, h, w).

    Raises:
        BunrakuError: a prediction is not finite (names the step), or the scheduler cannot take the model's noise schedule.
    """
    if not sampling.chain:
        return _together(predict, conditions, scheduler, latents, sampling, generator, on_step, share, state)
    single = replace(sampling, chain=0, overlap=0)
    video: Tensor | None = None
    beyond: Tensor | None = None
    stand = state.stand if state else None
    if stand is not None and stand.clip:
        video, beyond = (stand.tensors[name].to(latents) for name in ("video", "beyond video"))
    for number, clip in enumerate(chain_clips(latents.shape[2], sampling.window, sampling.chain)):
        if stand is not None and number < stand.clip:
            continue
        start, carried = clip.start, latents[:, :, :0] if video is None else video[:, :, clip.start :]

        def entered(noisy: Tensor, timestep: Tensor, ports: Ports, carried: Tensor = carried) -> Tensor:
            if not carried.shape[2]:
                return predict(noisy, timestep, ports)
            levels = carried_timesteps(timestep, noisy.shape[0], noisy.shape[2], carried.shape[2])
            return predict(enter_carried(noisy, carried), levels, ports)

        def within(window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool, start: int = start) -> Ports:
            whole = torch.zeros_like(latents)
            whole[:, :, start : start + noisy.shape[2]] = noisy
            return conditions(range(start, start + len(window)), whole, timestep, shown)

        def counted(step: int, timestep: Tensor, made: Tensor, number: int = number) -> Tensor:
            return on_step(number * sampling.num_inference_steps + step, timestep, made)

        noise = latents[:, :, start : clip.stop]
        before = None if video is None or beyond is None else {"video": video, "beyond video": beyond}
        made = _together(entered, within, scheduler, noise, single, generator, counted, share, state, number, before)
        video, beyond = join_clips(video, made[0], clip), join_clips(beyond, made[1], clip)
    assert video is not None and beyond is not None  # noqa: PT018
    return video, beyond


def _together(
    predict: Predict,
    conditions: Conditions,
    scheduler: Any,
    latents: Tensor,
    sampling: Sampling,
    generator: torch.Generator | None,
    on_step: OnStep,
    share: Share,
    state: SamplingState | None = None,
    clip: int = 0,
    before: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """As `denoise`, without chains; `clip` and what was made `before` are kept as well. Predictions of overlapping windows are averaged with `merge` weights, guided after averaging
    (uncond + s (cond - uncond)), and handed to the scheduler. The unconditional half is computed only in the steps that are guided
    (`Sampling.halves`)."""
    steps, scale = sampling.num_inference_steps, sampling.guidance_scale
    timesteps = set_timesteps(scheduler, steps, latents.device)
    extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    windows = sampling.windows(latents.shape[2])
    weights = merge_weights(len(windows[0]), sampling.merge).to(latents)
    total = torch.zeros(latents.shape[2], device=latents.device)
    for frames in windows:
        total[list(frames)] += weights
    batches = list(_chunks(windows, sampling.window_batch))
    kept: dict[tuple[int, bool], dict[str, Tensor]] = {}

    def predicted_of(
        noisy: Tensor, timestep: Tensor, calls: Sequence[tuple[list[Sequence[int]], bool]], call: int
    ) -> Tensor:
        batch, shown = calls[call]
        ports = stack_ports([conditions(window, noisy, timestep, shown) for window in batch])
        if sampling.deep_cache > 1:
            ports = replace(ports, deep=kept.setdefault((batch[0][0], shown), {}))
        part = torch.cat([frames_at(noisy, window) for window in batch])
        predicted = predict(part.to(ports.token.dtype), timestep, ports)
        return predicted if share.size == 1 else predicted.cpu()

    latents, channels = latents * scheduler.init_noise_sigma, latents.shape[1]
    beyond, first = latents.new_empty(latents.shape[0], 0, *latents.shape[2:]), 0
    if state and (stand := state.stand) is not None and stand.clip == clip and stand.step:
        latents, beyond, first = stand.tensors["latents"].to(latents), stand.tensors["beyond"].to(latents), stand.step
        restore_scheduler(scheduler, stand.tensors, stand.numbers, latents.device)
        if generator is not None:
            generator.set_state(stand.tensors["generator"])
    for step, timestep in enumerate(timesteps):
        if step < first:
            continue
        noisy = scheduler.scale_model_input(latents, timestep)
        if step % sampling.deep_cache == 0:
            kept.clear()
        sums: dict[bool, Tensor] = {}
        calls = [(batch, shown) for batch in batches for shown in sampling.halves(step)]
        made = share.pieces(len(calls), partial(predicted_of, noisy, timestep, calls))
        for (batch, shown), predicted in zip(calls, made):
            if shown not in sums:
                sums[shown] = noisy.new_zeros(1, predicted.shape[1], *noisy.shape[2:])
            for window, of_window in zip(batch, predicted.to(noisy.device)):
                sums[shown][0, :, list(window)] += of_window * weights[:, None, None]
        for half in sums.values():
            half /= total[:, None, None]  # in place: a long clip's latents are what its memory grows by
        prediction, *unconditional = sums.values()
        prediction, beyond = prediction[:, :channels], prediction[:, channels:]
        for other in unconditional:
            prediction = other[:, :channels] + scale * (prediction - other[:, :channels])
        if not torch.isfinite(prediction).all():
            raise BunrakuError(
                f"the model's prediction is not finite at step {step + 1} of {steps} (timestep {int(timestep)}); "
                "try --dtype float32, and check the weights with another seed"
            )
        latents = scheduler.step(prediction, timestep, latents, **extra, return_dict=False)[0]
        latents = on_step(step, timestep, latents)
        done = step + 1
        if state and (
            done % sampling.deep_cache == 0 or done == len(timesteps)
        ):  # between them it would have to keep deep features
            tensors, numbers = scheduler_state(scheduler)
            own = {"latents": latents, "beyond": beyond} | ({"generator": generator.get_state()} if generator else {})
            state.keep(Stand(clip, done, {**tensors, **own, **(before or {})}, numbers), now=done == len(timesteps))
    return latents, beyond


def set_timesteps(scheduler: Any, steps: int, device: torch.device | str) -> Tensor:
    """Prepare the scheduler for `steps` steps; its timesteps.

    Raises:
        BunrakuError: it refuses that many steps, or its noise levels cannot carry the model's schedule.
    """
    name = type(scheduler).__name__
    try:
        scheduler.set_timesteps(steps, device=device)
    except ValueError as error:
        raise BunrakuError(f"{name} cannot sample in {steps} steps: {error}") from error
    if float(scheduler.init_noise_sigma) != 1:  # latents carry the noise at its full size
        sigmas = scheduler.sigmas
        if (sigmas.diff() > 0).any() or sigmas[0] > TOO_MUCH_NOISE:
            raise BunrakuError(
                f"{name} cannot follow this model's noise schedule, whose largest noise is {float(sigmas.max()):.0e} times the "
                "picture; choose another scheduler (--scheduler ddim, dpm++ or unipc)"
            )
    return scheduler.timesteps


def frames_at(maps: Tensor, window: Sequence[int]) -> Tensor:
    """Frames of (B, C, F, ...): a view where they are consecutive."""
    if isinstance(window, range) and window.step == 1:
        return maps[:, :, window.start : window.stop]
    return maps[:, :, list(window)]


def _chunks(windows: list[Sequence[int]], size: int) -> Iterator[list[Sequence[int]]]:
    return (windows[i : i + size] for i in range(0, len(windows), size))
