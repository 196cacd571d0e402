"""Sampling: every number of the denoising loop in one place; stored with a model, overridden field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from bunraku.errors import BunrakuError
from bunraku.sampling.chain import chain_clips
from bunraku.sampling.quality import SHARES, Quality
from bunraku.sampling.windows import Merge, time_windows

LIMITS = {
    "num_inference_steps": (1, 1000),
    "guidance_scale": (0, 100),
    "guidance_start": (0, 1),
    "guidance_end": (0, 1),
    "window": (1, 4096),
    "overlap": (0, 4095),
    "chain": (0, 4095),
    "noise_period": (0, 1 << 20),
    "temperature": (0, 1000),
    "deep_cache": (1, 1000),
    "window_batch": (1, 1024),
    "chunk": (1, 1024),
}
"""Smallest and largest value of each number."""


@dataclass(frozen=True)
class Sampling:
    """How a clip is denoised.

    Attributes:
        num_inference_steps: of the scheduler.
        guidance_scale: uncond + s (cond - uncond); 1: the conditional half alone.
        guidance_start, guidance_end: shares of the steps between which there is guidance; outside, the conditional half alone is computed
            (Kynkaanniemi et al. 2024, "Applying guidance in a limited interval").
        window, overlap: frames denoised together, and how many of them neighbouring windows share.
        chain: 0: all windows are denoised together, and averaged where they overlap. Else windows are made one after the other, and each
            starts with so many frames of the one before, clean (see `sampling.chain`); overlap, merge and wrap have no effect.
        merge, wrap: see `merge_weights` and `time_windows`.
        noise_period: see `initial_noise`.
        temperature: slope tau of TCAN's temperature map, which holds the background still; 0: none (see `cues.temperature`).
        deep_cache: the denoiser's deep levels are computed in every so-manieth step, and used again in those between (Ma et al. 2024,
            "DeepCache"); 1: in every step. Each window keeps its own, at SD1.5's size 10 MiB a frame and half of guidance for 512x512.
        keep_scene: of models that see the scene: it keeps its own pixels where the character is not, see `cues.shape_mask.in_scene`; False:
            all is as the networks paint it, which is the papers' way.
        window_batch: windows denoised in one call; changes speed and memory, not the result.
        chunk: frames encoded or decoded at a time.

    Raises:
        BunrakuError: a number out of its range; names both.
    """

    num_inference_steps: int = 20
    guidance_scale: float = 3.5
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    window: int = 24
    overlap: int = 4
    chain: int = 0
    merge: Merge = "triangular"
    wrap: bool = False
    noise_period: int = 0
    temperature: float = 0.0
    deep_cache: int = 1
    keep_scene: bool = True
    window_batch: int = 1
    chunk: int = 8

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise BunrakuError(f"{name} must be from {least} to {most}, not {getattr(self, name)}")
        if self.guidance_start > self.guidance_end:
            raise BunrakuError(
                f"guidance cannot end before it starts: from {self.guidance_start:g} to {self.guidance_end:g}"
            )
        if self.merge not in get_args(Merge):
            raise BunrakuError(f"windows merge {' or '.join(get_args(Merge))}, not {self.merge!r}")
        if self.overlap >= self.window:
            raise BunrakuError(
                f"a window of {self.window} frames cannot overlap by {self.overlap}: use 0 <= overlap < window"
            )
        if self.chain >= self.window:
            raise BunrakuError(
                f"a chain of windows of {self.window} frames cannot carry {self.chain} over: use 0 <= chain < window"
            )

    def but(self, given: Mapping[str, Any]) -> "Sampling":
        """The same with other values for some fields; None leaves a field as it is.

        Raises:
            BunrakuError: an unknown name, or a value out of its range.
        """
        known = [f.name for f in fields(self)]
        if unknown := sorted(set(given) - set(known)):
            raise BunrakuError(f"sampling has no {', '.join(unknown)}; it has {', '.join(known)}")
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def asked(
        self,
        quality: Quality = "best",
        steps: int | None = None,
        guidance: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
        deep_cache: int | None = None,
        **others: Any,
    ) -> "Sampling":
        """The same as somebody asks for it: a quality, and what wins over it; None leaves a field as it is. `others`: as of `but`."""
        start, end = guidance_interval or (None, None)
        given = {"num_inference_steps": steps, "guidance_scale": guidance, "guidance_start": start, "guidance_end": end}
        return self.of_quality(quality).but(given | {"deep_cache": deep_cache} | others)

    def of_quality(self, quality: Quality) -> "Sampling":
        """Fewer steps, and guidance in the first of them alone; "best" is the model's own way."""
        steps, guided = SHARES[quality]
        return replace(
            self,
            num_inference_steps=max(1, round(steps * self.num_inference_steps)),
            guidance_end=max(self.guidance_start, min(guided, self.guidance_end)),
        )

    def halves(self, step: int) -> tuple[bool, ...]:
        """Which halves of guidance a step computes: the conditional one, and, where there is guidance, the unconditional one as well."""
        share = step / self.num_inference_steps
        guided = self.guidance_scale != 1 and self.guidance_start <= share < self.guidance_end
        return (True, False) if guided else (True,)

    def stored(self) -> dict[str, Any]:
        """The fields that differ from the defaults, for a model's configuration."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def windows(self, frames: int) -> list[Sequence[int]]:
        """The windows of a clip, see `time_windows` and `chain_clips`."""
        if self.chain:
            return [range(clip.start, clip.stop) for clip in chain_clips(frames, self.window, self.chain)]
        return time_windows(frames, self.window, self.overlap, self.wrap)

    def steps(self, frames: int) -> int:
        """Of the scheduler for a whole clip, one after the other."""
        return self.num_inference_steps * (len(self.windows(frames)) if self.chain else 1)
