"""AnimationPipeline: one reference image and a sequence of poses in, the animated frames out."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput
from einops import rearrange
from torch import Tensor

from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.temperature import temperature_map
from bunraku.errors import BunrakuError
from bunraku.media import fit
from bunraku.nets.animator import Animator, clip_pixels, unit_pixels
from bunraku.nets.constant_token import ConstantToken  # noqa: F401 (diffusers opens only parts whose modules are imported)
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.patch_codec import PatchCodec
from bunraku.nets.pose_guider import GuidanceEncoder, LiteralPoseGuider, PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.perception.pose import PoseTrack
from bunraku.sampling.denoise import denoise, initial_noise
from bunraku.sampling.windows import Merge, time_windows

logger = logging.getLogger(__name__)

DEFAULT_SIZE = (128, 128)
ReferenceTimestep = Literal["zero", "every"]
DEFAULTS: dict[str, Any] = {
    "num_inference_steps": 20, "guidance_scale": 3.5, "window": 24, "overlap": 4, "merge": "triangular", "wrap": False,
    "reference_timestep": "zero", "noise_period": 0, "temperature": 0.0, "control_window": 16,
}  # fmt: skip
"""Arguments of `AnimationPipeline.stream` where neither the caller nor the model says otherwise."""


@dataclass
class AnimationOutput(BaseOutput):
    """`frames`: uint8 (F, H, W, 3) RGB."""

    frames: np.ndarray


class AnimationPipeline(DiffusionPipeline):
    """Animates a still character (recipe `animate-anyone`).

    A diffusers pipeline: `from_pretrained`, `save_pretrained`, `.to`, offload hooks, any scheduler.

    Args:
        vae: AutoencoderKL or PatchCodec.
        reference_pose: whether ReferenceNet is also guided by the skeleton of the reference.
        size: (height, width) the model was trained at: the default output size.
        defaults: arguments of `__call__` that suit this model.
        recipe: name of the recipe.
        skeleton: how the model's skeletons were drawn: arguments of `draw_skeleton`.
    """

    model_cpu_offload_seq = "image_encoder->pose_guider->reference_net->denoiser->vae"
    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        vae: AutoencoderKL | PatchCodec,  # diffusers opens only parts whose modules are imported: here is the import
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: PoseGuider | LiteralPoseGuider | GuidanceEncoder | ControlNet,
        image_encoder: Any,
        scheduler: SchedulerMixin,
        reference_pose: bool = False,
        size: tuple | list = DEFAULT_SIZE,
        defaults: dict | None = None,
        recipe: str = "animate-anyone",
        skeleton: dict | None = None,
    ) -> None:
        super().__init__()
        if isinstance(pose_guider, ControlNet):
            _check_widths(pose_guider, denoiser)
        self.register_modules(
            vae=vae, denoiser=denoiser, reference_net=reference_net, pose_guider=pose_guider,
            image_encoder=image_encoder, scheduler=scheduler,
        )  # fmt: skip
        self.register_to_config(
            reference_pose=reference_pose,
            size=tuple(size),
            defaults=defaults or {},
            recipe=recipe,
            skeleton=skeleton or {},
        )

    def __call__(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | np.ndarray | None = None,
        **settings: Any,
    ) -> AnimationOutput:
        """All frames at once; arguments as of `stream`."""
        return AnimationOutput(frames=np.concatenate(list(self.stream(reference, poses, reference_pose, **settings))))

    @torch.no_grad()
    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | np.ndarray | None = None,
        *,
        size: tuple[int, int] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        window: int | None = None,
        overlap: int | None = None,
        merge: Merge | None = None,
        wrap: bool | None = None,
        reference_timestep: ReferenceTimestep | None = None,
        window_batch: int = 1,
        noise_period: int | None = None,
        temperature: float | None = None,
        control_window: int | None = None,
        generator: torch.Generator | None = None,
        chunk: int = 8,
        callback_on_step_end: Callable[..., dict[str, Tensor] | None] | None = None,
    ) -> Iterator[np.ndarray]:
        """Denoise the whole clip, then yield its frames in decoded chunks, uint8 (<= `chunk`, H, W, 3).

        Args:
            reference: the character, uint8 (H, W, 3) RGB; cropped to the aspect ratio of `size` about its centre.
            poses: one person's keypoints, already retargeted (drawn here), or drawn skeletons, uint8 (F, H', W', 3).
            reference_pose: the reference's own keypoints or skeleton, in the reference's pixels; used where the model wants it.
            size: (height, width) of the output, multiples of 8; None: the size the model was trained at.
            num_inference_steps, guidance_scale, window, overlap: None: the model's defaults, as for the following.
            merge, wrap, noise_period: see `merge_weights`, `time_windows` and `initial_noise` in `sampling`.
            reference_timestep: "zero": ReferenceNet runs once, at timestep 0 (Animate Anyone); "every": at every step, with
                the denoiser's timestep (MagicAnimate, TCAN).
            temperature: slope tau of TCAN's temperature map, which holds the background still; 0: none (see `cues.temperature`).
            control_window: frames that a ControlNet sees together.
            window_batch: windows denoised in one call.
            chunk: frames encoded or decoded at a time.
            callback_on_step_end: as in diffusers: called with (pipeline, step, timestep, {"latents": ...}), may return changed ones.

        A warning says which frames have no pose where a whole window has none, and that windows of one frame make no motion.

        Raises:
            BunrakuError: empty or mis-shaped input, size not a multiple of 8, or a prediction that is not finite.
        """
        given = {
            "num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale, "window": window, "overlap": overlap,
            "merge": merge, "wrap": wrap, "reference_timestep": reference_timestep, "noise_period": noise_period,
            "temperature": temperature, "control_window": control_window,
        }  # fmt: skip
        options = self._settings(given)
        if options["reference_timestep"] not in get_args(ReferenceTimestep):
            raise BunrakuError(f"reference_timestep is 'zero' or 'every', not {options['reference_timestep']!r}")
        if not 0 <= options["temperature"] <= 1000:
            raise BunrakuError(f"temperature is a slope from 0 to 1000, not {options['temperature']}; TCAN has 3")
        # before any work: raises where there are no frames, or where window and overlap do not fit together
        windows = time_windows(len(poses), options["window"], options["overlap"], options["wrap"])
        time_windows(len(poses), options["control_window"], 0)
        height, width = size or tuple(self.config.size)
        if height % 8 or width % 8 or min(height, width) < 32:
            raise BunrakuError(f"size {height}x{width} (height x width) must be multiples of 8, at least 32")
        if reference.dtype != np.uint8 or reference.ndim != 3 or reference.shape[2] != 3:
            raise BunrakuError(f"reference must be uint8 (H, W, 3), got {reference.dtype} {reference.shape}")

        reference, transform = fit(reference, (height, width), "crop")
        if isinstance(reference_pose, PoseTrack):
            moved = PoseTrack(transform.points(reference_pose.keypoints), reference_pose.scores, (height, width))
            reference_drawing = draw_skeleton(moved, **self.config.skeleton)[0]
        elif reference_pose is not None:
            reference_drawing, _ = fit(reference_pose, (height, width), "crop")
        else:
            reference_drawing = np.zeros((height, width, 3), np.uint8)
        draw = _drawer(poses, (height, width), self.config.skeleton)

        animator = Animator(
            self.denoiser, self.reference_net, self.pose_guider, self.image_encoder, self.config.reference_pose
        )
        device, dtype = self._execution_device, self.denoiser.dtype
        token = animator.image_token(
            clip_pixels(reference[None], self.image_encoder.config.image_size).to(device, dtype)
        )
        guided, posed = self._guide(animator, draw, _ranges(len(poses), chunk))
        _warn(posed, windows, self.denoiser.config.motion)
        drawn = unit_pixels(reference_drawing)[None].to(device, dtype)
        clean = self.encode(reference).to(device, dtype)
        once = animator.reference(clean, token, drawn) if options["reference_timestep"] == "zero" else None

        channels = self.denoiser.config.out_channels
        noise = initial_noise((channels, len(poses), height // 8, width // 8), generator, options["noise_period"])
        heat = {
            window[0]: torch.from_numpy(temperature[None, None].copy()).to(device, dtype)
            for window, _, temperature in _temperatures(draw, windows, options["temperature"])
        }
        steps = options["num_inference_steps"]
        with self.progress_bar(total=steps) as bar:

            def on_step(step: int, timestep: Tensor, latents: Tensor) -> Tensor:
                bar.update()
                if callback_on_step_end is None:
                    return latents
                return (callback_on_step_end(self, step, timestep, {"latents": latents}) or {}).get("latents", latents)

            latents = denoise(
                animator, self.scheduler, noise.to(device), lambda w: guided[:, :, list(w)].to(device), token,
                lambda t: animator.reference(clean, token, drawn, t) if once is None else once, steps=steps,
                guidance_scale=options["guidance_scale"], window=options["window"], overlap=options["overlap"],
                merge=options["merge"], wrap=options["wrap"], window_batch=window_batch, generator=generator, on_step=on_step,
                temperature=(lambda w: heat[w[0]]) if heat else None, control_window=options["control_window"],
            )  # fmt: skip
        for part in _ranges(len(poses), chunk):
            yield self.decode(latents[:, :, part.start : part.stop])
        self.maybe_free_model_hooks()

    def _guide(
        self, animator: Animator, draw: Callable[[Sequence[int]], np.ndarray], parts: Sequence[Sequence[int]]
    ) -> tuple[Tensor, np.ndarray]:
        """Guider maps of all frames (1, C0, F, h, w), and whether each frame has a pose, bool (F,).

        The maps stay in main memory: they are the largest that a long clip keeps, 2.6 MB a frame for Stable Diffusion's size at 512x512.
        """
        maps, posed = [], []
        for part in parts:
            drawn = draw(part)
            posed.append(drawn.any((1, 2, 3)))
            pixels = rearrange(unit_pixels(drawn), "f c h w -> 1 c f h w").contiguous()
            maps.append(animator.guide(pixels.to(self._execution_device, self.denoiser.dtype)).cpu())
        return torch.cat(maps, dim=2), np.concatenate(posed)

    def temperatures(
        self,
        poses: PoseTrack | np.ndarray,
        size: tuple[int, int] | None = None,
        *,
        most: int | None = None,
        **settings: Any,
    ) -> Iterator[tuple[Sequence[int], np.ndarray, np.ndarray]]:
        """What `stream` holds the background still with, for people to look at; nothing where the slope is 0.

        Args:
            poses, size, settings: as of `stream`: window, overlap, wrap and temperature count.
            most: so many windows at most, evenly chosen.

        Yields:
            Of each window its frames, its drawn poses uint8 (f, H, W, 3), and its temperature map float32 (H/8, W/8).
        """
        options = self._settings(settings)
        windows = time_windows(len(poses), options["window"], options["overlap"], options["wrap"])
        chosen = np.linspace(0, len(windows) - 1, min(most or len(windows), len(windows))).round().astype(int)
        draw = _drawer(poses, size or tuple(self.config.size), self.config.skeleton)
        return _temperatures(draw, [windows[i] for i in chosen], options["temperature"])

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the caller says, or else the model, or else `DEFAULTS`."""
        return DEFAULTS | self.config.defaults | {name: value for name, value in given.items() if value is not None}

    def encode(self, image: np.ndarray) -> Tensor:
        """uint8 (H, W, 3) -> scaled latents (1, C, H/8, W/8), the posterior's mean."""
        pixels = (unit_pixels(image)[None] * 2 - 1).to(self._execution_device, self.vae.dtype)
        return self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor

    def decode(self, latents: Tensor) -> np.ndarray:
        """Scaled latents (1, C, f, h, w) -> uint8 (f, H, W, 3)."""
        frames = rearrange(latents, "1 c f h w -> f c h w") / self.vae.config.scaling_factor
        images = self.vae.decode(frames.to(self.vae.dtype)).sample
        images = (images.float() / 2 + 0.5).clamp(0, 1) * 255
        return rearrange(images.round().to(torch.uint8), "f c h w -> f h w c").cpu().numpy()


# DiffusionPipeline.from_pretrained finds its class among the names of diffusers, or else runs code out of the model's folder
diffusers.AnimationPipeline = AnimationPipeline  # type: ignore[attr-defined]


def _check_widths(control: Any, denoiser: Any) -> None:
    """Raise BunrakuError where a ControlNet belongs to another base than the denoiser."""
    for key in ("cross_attention_dim", "block_out_channels", "in_channels"):
        theirs, ours = control.config[key], denoiser.config[key]
        if theirs != ours and list(np.atleast_1d(theirs)) != list(np.atleast_1d(ours)):
            raise BunrakuError(
                f"the ControlNet belongs to another base model than the denoiser: its {key} is {theirs}, the denoiser's is "
                f"{ours}; take one of the same base"
            )


def _drawer(
    poses: PoseTrack | np.ndarray, size: tuple[int, int], skeleton: dict[str, Any]
) -> Callable[[Sequence[int]], np.ndarray]:
    """Skeletons of some frames, drawn or resized when they are asked for."""
    if isinstance(poses, PoseTrack):
        scaled = poses.scaled(size)
        return lambda part: draw_skeleton(scaled[list(part)], **skeleton)
    if poses.dtype != np.uint8 or poses.ndim != 4 or poses.shape[3] != 3:
        raise BunrakuError(f"drawn poses must be uint8 (F, H, W, 3), got {poses.dtype} {poses.shape}")
    return lambda part: fit(poses[list(part)], size, "crop")[0]


def _warn(posed: np.ndarray, windows: list[Sequence[int]], motion: bool) -> None:
    """Say what will not look as hoped for: windows without any pose, and windows too short for motion.

    Args:
        posed: whether a pose is drawn in each frame, bool (F,).
    """
    if empty := [window for window in windows if not posed[list(window)].any()]:
        logger.warning(
            "no pose is drawn in %d of %d frames: %s. In %d of %d windows there is no other frame, and the model has nothing to "
            "follow there; give these frames a pose, or leave them out",
            (~posed).sum(), len(posed), frame_ranges(np.flatnonzero(~posed)), len(empty), len(windows),
        )  # fmt: skip
    if motion and len(windows[0]) == 1 < len(posed):
        logger.warning(
            "windows of one frame: each of the %d frames is made by itself, and the video will flicker; use a larger window, so "
            "that the motion modules see what comes before and after",
            len(posed),
        )


def frame_ranges(frames: Iterable[int]) -> str:
    """Frame numbers as people write them.

    >>> frame_ranges([6, 7, 8, 9, 0, 1, 4])
    '6-9, 0-1, 4'
    """
    ranges: list[list[int]] = []
    for frame in map(int, frames):
        if ranges and frame == ranges[-1][1] + 1:
            ranges[-1][1] = frame
        else:
            ranges.append([frame, frame])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _temperatures(
    draw: Callable[[Sequence[int]], np.ndarray], windows: Sequence[Sequence[int]], tau: float
) -> Iterator[tuple[Sequence[int], np.ndarray, np.ndarray]]:
    """As `AnimationPipeline.temperatures`, of windows whose poses are drawn when they are asked for."""
    for window in windows if tau else ():
        drawn = draw(window)
        # nearest, as TCAN resizes it: one value in eight serves the latents and every level below
        yield window, drawn, temperature_map(drawn, tau)[::8, ::8]


def _ranges(frames: int, size: int) -> list[range]:
    return [range(i, min(i + size, frames)) for i in range(0, frames, size)]
