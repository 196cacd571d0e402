"""The denoising loop: noise, windows, guidance, scheduler steps."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bunraku.errors import BunrakuError
from bunraku.nets.animator import Animator
from bunraku.nets.attention import Tokens
from bunraku.sampling.control import CachedControl
from bunraku.sampling.windows import Merge, merge_weights, time_windows


def initial_noise(shape: tuple[int, int, int, int], generator: torch.Generator | None, period: int = 0) -> Tensor:
    """Gaussian noise (1, C, F, h, w) for `shape` (C, F, h, w), drawn on the CPU so that a seed means the same everywhere.

    Args:
        period: the noise repeats after this many frames; 1: all frames share one noise (least flicker), TCAN: 16, 0: never.
    """
    c, frames, h, w = shape
    distinct = min(period or frames, frames)
    # frame by frame: a longer clip starts with the same noise as a shorter one
    noise = torch.stack([torch.randn(c, h, w, generator=generator) for _ in range(distinct)], dim=1)
    return noise[:, torch.arange(frames) % distinct][None]


def denoise(
    animator: Animator,
    scheduler: Any,
    latents: Tensor,
    guided: Callable[[Sequence[int]], Tensor],
    token: Tensor,
    reference: Callable[[Tensor], Mapping[str, Tokens]],
    *,
    steps: int,
    guidance_scale: float = 1.0,
    window: int = 24,
    overlap: int = 4,
    merge: Merge = "triangular",
    wrap: bool = False,
    window_batch: int = 1,
    control_window: int = 16,
    temperature: Callable[[Sequence[int]], Tensor] | None = None,
    generator: torch.Generator | None = None,
    on_step: Callable[[int, Tensor, Tensor], Tensor] = lambda step, timestep, latents: latents,
) -> Tensor:
    """Denoise the frames of one clip together.

    Predictions of overlapping windows are averaged with `merge` weights, guided after averaging
    (uncond + s (cond - uncond)), and handed to the scheduler. The unconditional half sees the pose, but neither reference nor
    image token, and is computed only where `guidance_scale` differs from 1.

    Args:
        latents: initial noise (1, C, F, h, w), float32 whatever the networks compute in: rounding would add up over the steps.
        guided: guider maps (1, C0, f, h, w) of a window's frames.
        token: image token (1, N, D), of the networks' dtype.
        reference: projected reference keys and values, batch 1, at a timestep; asked once per step.
        wrap: whether windows close the loop, see `time_windows`.
        window_batch: windows denoised in one call; changes speed and memory, not the result.
        control_window: frames that a ControlNet sees together; its windows do not overlap, and what it says of a frame serves both
            halves and every window with that frame (TCAN).
        temperature: maps (1, 1, h, w) that divide the temporal attention's logits in a window (TCAN Eq. 5).
        on_step: called with step number, timestep and latents; returns the latents to go on with.

    Raises:
        BunrakuError: a prediction is not finite; names the step.
    """
    scheduler.set_timesteps(steps, device=latents.device)
    extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    windows = time_windows(latents.shape[2], window, overlap, wrap)
    weights = merge_weights(len(windows[0]), merge).to(latents)
    total = torch.zeros(latents.shape[2], device=latents.device)
    for frames in windows:
        total[list(frames)] += weights
    unconditional_token = animator.unconditional_token(1)
    latents = latents * scheduler.init_noise_sigma

    def predict(noisy: Tensor, timestep: Tensor) -> list[Tensor]:
        """Merged predictions of the conditional half, and of the other where it counts."""
        halves: list[tuple[Tensor, Mapping[str, Tokens] | None]] = [(token, reference(timestep))]
        if guidance_scale != 1:
            halves.append((unconditional_token, None))
        merged = [torch.zeros_like(noisy) for _ in halves]

        def part(frames: Sequence[int]) -> Tensor:
            return noisy[:, :, list(frames)].to(token.dtype)

        control = CachedControl(
            lambda frames: animator.control(part(frames), timestep, token, guided(frames)), len(total), control_window
        )
        for batch in _chunks(windows, window_batch):
            inputs, maps = torch.cat([part(w) for w in batch]), torch.cat([guided(w) for w in batch])
            heat = None if temperature is None else torch.cat([temperature(w) for w in batch])
            residuals = control([frame for w in batch for frame in w]) if animator.controlled else None
            for (tokens, keys), into in zip(halves, merged):
                prediction = animator.denoise(
                    inputs, timestep, tokens, maps, keys, residuals=residuals, temperature=heat
                )
                for frames, of_window in zip(batch, prediction):
                    into[0, :, list(frames)] += of_window * weights[:, None, None]
        return [half / total[:, None, None] for half in merged]

    for step, timestep in enumerate(scheduler.timesteps):
        prediction, *unconditional = predict(scheduler.scale_model_input(latents, timestep), timestep)
        for other in unconditional:
            prediction = other + guidance_scale * (prediction - other)
        if not torch.isfinite(prediction).all():
            raise BunrakuError(
                f"the model's prediction is not finite at step {step + 1} of {steps} (timestep {int(timestep)}); "
                "try --dtype float32, and check the weights with another seed"
            )
        latents = scheduler.step(prediction, timestep, latents, **extra, return_dict=False)[0]
        latents = on_step(step, timestep, latents)
    return latents


def _chunks(windows: list[Sequence[int]], size: int) -> Iterator[list[Sequence[int]]]:
    if size < 1:
        raise BunrakuError(f"window_batch must be at least 1, not {size}")
    return (windows[i : i + size] for i in range(0, len(windows), size))
