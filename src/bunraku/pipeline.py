"""AnimationPipeline: an autoencoder, a recipe's networks and a scheduler; drawn conditions in, animated frames out."""

import importlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from einops import rearrange
from torch import Tensor

from bunraku.cues.drawn import VIEWS, VIEWS_POSE
from bunraku.cues.shape_mask import in_scene
from bunraku.cues.still_scene import over_known
from bunraku.cues.temperature import map_of_drawn
from bunraku.errors import BunrakuError
from bunraku.media.frames import Pictures
from bunraku.nets.pixels import unit_pixels, with_detail
from bunraku.nets.ports import Ports
from bunraku.nets.products import fast_products
from bunraku.perception.pose import PoseTrack
from bunraku.recipes import MOST_PICTURES, Animator, Encoded, Inputs, Reads, get_recipe, part_names
from bunraku.recipes.parts import AUTOENCODERS, PARTS
from bunraku.recipes.recipe import stored_options
from bunraku.sampling.denoise import OnStep, denoise, frames_at, initial_noise
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.share import ALONE, Share
from bunraku.sampling.state import SamplingState, fingerprint
from bunraku.sampling.strength import Strength, progress_at

logger = logging.getLogger(__name__)

DEFAULT_SIZE = (128, 128)
DEFAULT_RECIPE = "animate-anyone"
POSE = "pose"
KEPT = 2**29
"""Bytes of a clip's maps that are kept; more are made anew for every window."""
CONFIGURATION = ("size", "defaults", "recipe", "options", "styles", "reference_pose", "skeleton")


class _PartNames:
    """The names of all parts, as a list, for diffusers; recipes may add to `PARTS`."""

    def __get__(self, instance: Any, owner: Any) -> list[str]:
        return list(PARTS)


@dataclass
class AnimationOutput(BaseOutput):
    """`frames`: uint8 (F, H, W, 3) RGB."""

    frames: np.ndarray


class AnimationPipeline(DiffusionPipeline):
    """Animates a still character with a model of any recipe.

    A diffusers pipeline: `from_pretrained`, `save_pretrained`, `.to`, offload hooks, any scheduler. Its parts beside autoencoder and
    scheduler are those of the recipe, under the names of `recipes.parts.PARTS`.

    Args:
        vae: AutoencoderKL or PatchCodec.
        recipe: name of the recipe.
        options: of the recipe, by name (`Animator.Options`).
        size: (height, width) the model was trained at: the default output size.
        defaults: fields of `Sampling` that suit this model.
        styles: how the model's conditions were drawn: arguments of the functions in `cues.drawn.DRAWN`, by the condition's name.
        reference_pose, skeleton: where models of version 0.1 keep an option and the style of poses.
        parts: the recipe's networks.

    Raises:
        BunrakuError: an unknown recipe, or parts that are not the recipe's.
    """

    _optional_components = _PartNames()
    model_cpu_offload_seq = "->".join([*(name for name in PARTS if name != "denoiser"), "denoiser", "vae"])

    def __init__(
        self,
        vae: Any,
        scheduler: Any,
        recipe: str = DEFAULT_RECIPE,
        options: dict | None = None,
        size: tuple | list = DEFAULT_SIZE,
        defaults: dict | None = None,
        styles: dict | None = None,
        reference_pose: bool | None = None,
        skeleton: dict | None = None,
        **parts: Any,
    ) -> None:
        super().__init__()
        options, defaults = dict(options or {}), dict(defaults or {})
        if reference_pose is not None:
            options.setdefault("reference_pose", reference_pose)
        for name in ("reference_timestep", "control_window"):
            if name in defaults:
                options.setdefault(name, defaults.pop(name))
        parts = {name: part for name, part in parts.items() if part is not None}
        self._animator = _assemble(recipe, parts, options)
        self.register_modules(vae=vae, scheduler=scheduler, **parts)
        self.register_to_config(
            recipe=recipe,
            options=stored_options(self._animator.options),
            size=tuple(size),
            defaults=Sampling().but(defaults).stored(),
            styles=dict(styles or {}) | ({POSE: dict(skeleton)} if skeleton else {}),
        )

    # diffusers reads a pipeline's parts from the signature of its constructor; here they are the recipe's

    @classmethod
    def _get_signature_keys(cls, obj: Any) -> tuple[list[str], list[str]]:
        own = {name for name in PARTS if getattr(obj, name, None) is not None} if isinstance(obj, cls) else set(PARTS)
        return sorted({"vae", "scheduler"} | own), sorted(CONFIGURATION)

    @staticmethod
    def _get_init_keys(input_class: Any) -> set[str]:
        keys = set(inspect.signature(input_class.__init__).parameters)
        return keys | set(PARTS) if issubclass(input_class, AnimationPipeline) else keys

    @classmethod
    def _get_signature_types(cls) -> dict[str, tuple[Any, ...]]:
        return {name: (inspect.Signature.empty,) for name in ("vae", "scheduler", *CONFIGURATION, *PARTS)}

    @property
    def animator(self) -> Animator:
        """The recipe's wiring of this pipeline's networks."""
        # parts may have been exchanged or quantised since
        parts = {name: getattr(self, name) for name in self._animator.parts()}
        if any(parts[name] is not part for name, part in self._animator.parts().items()):
            self._animator = _assemble(self.config.recipe, parts, self.config.options)
        return self._animator

    @property
    def reads(self) -> Reads:
        """Names of the stills and frames that this model reads."""
        return self._animator.reads

    @property
    def trusted(self) -> str | None:
        """The condition whose own pixels the output may show, see `Animator`; None: there is none."""
        return self._animator.trusted

    @property
    def made_for(self) -> tuple[int, int]:
        """(height, width) that it was trained at."""
        return self.config.size[0], self.config.size[1]

    @property
    def refines(self) -> bool:
        """Whether it has a network of its own that mends the poses that it follows."""
        return getattr(self, "pose_refiner", None) is not None

    def refine(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        """The poses that this model follows, see `Animator.refine`."""
        return self.animator.refine(driving, reference)

    @property
    def sampling(self) -> Sampling:
        """How this model samples unless told otherwise."""
        return Sampling().but(self.config.defaults)

    @property
    def styles(self) -> dict[str, dict[str, Any]]:
        """How its conditions are drawn, by name."""
        return {name: dict(style) for name, style in self.config.styles.items()}

    def __call__(
        self, stills: Mapping[str, np.ndarray], frames: Mapping[str, Pictures], sampling: Sampling | None = None, **more: Any
    ) -> AnimationOutput:  # fmt: skip
        """All frames at once; arguments as of `stream`."""
        return AnimationOutput(frames=np.concatenate(list(self.stream(stills, frames, sampling, **more))))

    def stream(
        self,
        stills: Mapping[str, np.ndarray],
        frames: Mapping[str, Pictures],
        sampling: Sampling | None = None,
        *,
        detail: Pictures | None = None,
        strengths: Sequence[Strength] = (),
        generator: torch.Generator | None = None,
        callback_on_step_end: Callable[..., dict[str, Tensor] | None] | None = None,
        share: Share = ALONE,
        state: Path | None = None,
    ) -> Iterator[np.ndarray]:
        """Denoise the whole clip, then yield its frames in decoded chunks, uint8 (<= `sampling.chunk`, H, W, 3).

        Args:
            stills: pictures by name, uint8 (H, W, C); "reference" is the character. What else the model reads (`reads`) may be left out.
                "views", uint8 (V, H, W, 3), are up to four further pictures of the character, "views_pose" their drawn poses.
            frames: drawn conditions by name, uint8 (F, H, W, C); already of the output's size, as are the stills. `cues.drawn` draws.
            sampling: None: the model's own (`sampling`).
            detail: of a model that trusts some frames (`Animator.trusted`, the cut-out): the same frames in the size of the output, whose
                height and width are a multiple of the other conditions'; what is finer than the model shows is taken from them. None:
                the frames themselves.
            strengths: of conditions in `Animator.strengths`, which count as they are where none is given.
            callback_on_step_end: as in diffusers: called with (pipeline, step, timestep, {"latents": ...}), may return changed ones.
            share: of this process, where several make the clip together; all are given the same and yield the same.
            state: file in which the denoising loop keeps where it stands, every minute; if it is there, the loop goes on from it, bit for
                bit. It is the caller's to remove. Not where several make the clip.

        A warning says which frames have no pose where a whole window has none, and that windows of one frame make no motion.

        Raises:
            BunrakuError: at once: empty or mis-shaped input, a size that is not a multiple of 8, or the strength of something that has
                none; while it runs: a prediction that is not finite, or the state of another run.
        """
        sampling = sampling or self.sampling
        stills = {name: still for name, still in stills.items() if name in (*self.reads.stills, VIEWS, VIEWS_POSE)}
        frames = {name: drawn for name, drawn in frames.items() if name in self.reads.frames}
        length, size = _checked(stills, frames)
        own = frames.get(self._animator.trusted or "")
        detail = _checked_detail(detail, length, size) if detail is not None and own is not None else own
        self.check_strengths(strengths)
        return self._stream(
            stills, frames, sampling, length, size, detail, strengths, generator, callback_on_step_end, share, state
        )

    def check_strengths(self, strengths: Sequence[Strength]) -> None:
        """Raise BunrakuError where a strength is of no condition of this model, or there are two of one."""
        named = [one.condition for one in strengths]
        if unknown := [name for name in named if name not in self._animator.strengths]:
            raise BunrakuError(
                f"a model of recipe {self.config.recipe} has no strength of {unknown[0]}; it has {', '.join(self._animator.strengths)} (--strength)"
            )
        if len(set(named)) < len(named):
            raise BunrakuError("two strengths of one condition; give one of each (--strength)")

    @torch.no_grad()
    def _stream(
        self,
        stills: Mapping[str, np.ndarray],
        frames: Mapping[str, Pictures],
        sampling: Sampling,
        length: int,
        size: tuple[int, int],
        detail: Pictures | None,
        strengths: Sequence[Strength],
        generator: torch.Generator | None,
        callback: Callable[..., dict[str, Tensor] | None] | None,
        share: Share,
        state: Path | None,
    ) -> Iterator[np.ndarray]:
        device, animator = self._execution_device, self.animator
        windows = sampling.windows(length)
        watched = Watched(windows, length)
        encoded = self._encode(stills, frames, length, sampling, watched, share)
        watched.warn(self.denoiser.config.motion)
        heat = {i: m.to(device, animator.dtype) for i, m in watched.temperatures(sampling.temperature).items()}

        def conditions(window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
            ports = animator.ports(encoded, window, noisy, timestep, shown)
            if strengths:
                progress = progress_at(float(timestep.max()), self.scheduler.config.num_train_timesteps)
                ports = animator.weighted(ports, {one.condition: one.at(progress) for one in strengths})
            return replace(ports, temperature=heat[window[0]]) if heat else ports

        channels = self.denoiser.config.in_channels
        shape = (channels, length, size[0] // 8, size[1] // 8)
        noise = initial_noise(shape, generator, sampling.noise_period).to(device)
        kept = None
        if state is not None:
            maps = {name: each for name, each in encoded.frames.items() if isinstance(each, Tensor)}
            shown = encoded.stills, maps, watched.posed, watched.drawn
            solver = type(self.scheduler), self.scheduler.config
            kept = SamplingState(state, fingerprint([self.denoiser, sampling, strengths, *solver, noise, *shown]))
        with fast_products(), self.progress_bar(total=sampling.steps(length)) as bar:
            latents, trust = denoise(
                animator.predict,
                conditions,
                self.scheduler,
                noise,
                sampling,
                generator,
                self._on_step(bar, callback),
                share,
                kept,
            )
        parts = pieces(length, sampling.chunk)
        figure = animator.figure_kept({one.condition: one.at(1.0) for one in strengths})

        def decoded(number: int) -> np.ndarray:
            part = parts[number]
            made = self.decode(frames_at(latents, part))
            if detail is not None:
                plain = self.decode(encoded.at(str(animator.trusted), part, latents)[:, :channels])
                full, cut = (np.asarray(drawn[list(part)]) for drawn in (detail, frames[str(animator.trusted)]))
                made = detailed(made, frames_at(trust, part), full[..., :3], plain)
                made = over_known(made, full, cut, stills["reference"], figure)
            elif sampling.keep_scene and {"environment", "mask"} <= frames.keys():
                scene, hole = (np.asarray(frames[name][list(part)]) for name in ("environment", "mask"))
                made = in_scene(made, scene, hole[..., 0] > 0)
            return made

        yield from share.pieces(len(parts), decoded)
        self.maybe_free_model_hooks()

    @fast_products()
    def _encode(
        self,
        stills: Mapping[str, np.ndarray],
        frames: Mapping[str, Pictures],
        length: int,
        sampling: Sampling,
        watched: "Watched",
        share: Share,
    ) -> Encoded:
        """The clip as the networks see it.

        Maps of frames are the largest that a clip keeps: for Stable Diffusion's size at 512x512 2.6 MB a frame in half precision. They lie in main
        memory; those of a clip for which they are more than `KEPT` are made anew for every window, which costs a guider's work once a step.
        """
        device, animator, reads = self._execution_device, self.animator, self.reads
        pictures = Inputs({name: torch.from_numpy(still)[None].to(device) for name, still in stills.items()}, {})
        clean = {name: self.encode(stills[name]).to(animator.dtype) for name in reads.latents if name in stills}
        if VIEWS in stills:
            clean[VIEWS] = torch.cat([self.encode(view) for view in stills[VIEWS]])[None].to(animator.dtype)
        encoded = animator.encode_stills(pictures, clean)
        parts = pieces(length, sampling.chunk)

        def drawn_of(part: range) -> tuple[range, slice, dict[str, np.ndarray]]:
            """The frames that consecutive ones are encoded with, where these lie among them, and what is drawn of them all."""
            wide = range(max(0, part.start - animator.halo), min(length, part.stop + animator.halo))
            inner = slice(part.start - wide.start, part.stop - wide.start)
            return wide, inner, {name: np.asarray(source[list(wide)]) for name, source in frames.items()}

        def maps_of(drawn: Mapping[str, np.ndarray], latents: Mapping[str, Tensor], inner: slice) -> dict[str, Tensor]:
            inputs = Inputs({}, {name: torch.from_numpy(images)[None].to(device) for name, images in drawn.items()})
            return {name: maps[:, :, inner].cpu() for name, maps in animator.encode_frames(inputs, latents).items()}

        keep: bool | None = None  # known once the first piece is there

        def piece(number: int) -> tuple[dict[str, Tensor], dict[str, Tensor], np.ndarray | None]:
            _, inner, drawn = drawn_of(parts[number])
            latents = {
                name: torch.stack([self.encode(image)[0] for image in images], 1)[None].to(animator.dtype)
                for name, images in drawn.items()
                if name in reads.latents
            }
            maps = {} if keep is False else maps_of(drawn, latents, inner)
            own = {} if keep else {name: values[:, :, inner].cpu() for name, values in latents.items()}
            return maps, own, drawn[POSE][inner] if POSE in drawn else None

        kept: dict[str, Tensor] = {}
        for part, (maps, latents, poses) in zip(parts, share.pieces(len(parts), piece)):
            watched.see(part, poses)
            if keep is None:
                keep, names = sum(t[:, :, :1].nbytes for t in maps.values()) * length <= KEPT, list(maps)
            for name, values in (maps if keep else latents).items():
                if name not in kept:  # once in full size, so that a long clip's maps are never held twice
                    kept[name] = values.new_empty((*values.shape[:2], length, *values.shape[3:]))
                kept[name][:, :, part.start : part.stop] = values
        if keep:
            return Encoded(encoded, kept)

        @lru_cache(maxsize=sampling.window_batch)  # both halves of guidance ask for the windows of a batch
        def of_window(window: tuple[int, ...]) -> dict[str, Tensor]:
            """Maps, made from the latents that are kept."""
            runs = []
            for run in consecutive(window):
                wide, inner, drawn = drawn_of(run)
                runs.append(maps_of(drawn, {name: frames_at(t, wide).to(device) for name, t in kept.items()}, inner))
            return {name: torch.cat([run[name] for run in runs], 2) for name in names}

        return Encoded(encoded, {name: lambda window, name=name: of_window(tuple(window))[name] for name in names})  # type: ignore[misc]

    def _on_step(self, bar: Any, callback: Callable[..., dict[str, Tensor] | None] | None) -> OnStep:
        def on_step(step: int, timestep: Tensor, latents: Tensor) -> Tensor:
            bar.update()
            if callback is None:
                return latents
            return (callback(self, step, timestep, {"latents": latents}) or {}).get("latents", latents)

        return on_step

    def encode(self, image: np.ndarray) -> Tensor:
        """uint8 (H, W, 3 or more) -> scaled latents (1, C, H/8, W/8) of RGB, the posterior's mean."""
        pixels = (unit_pixels(image[..., :3])[None] * 2 - 1).to(self._execution_device, self.vae.dtype)
        return self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor

    @fast_products()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Scaled latents (1, C, f, h, w) -> uint8 (f, H, W, 3); half of them at a time where memory does not suffice."""
        frames = rearrange(latents, "1 c f h w -> f c h w") / self.vae.config.scaling_factor
        try:
            images = self.vae.decode(frames.to(self.vae.dtype)).sample
        except torch.OutOfMemoryError:
            if len(frames) == 1:
                raise
            middle = len(frames) // 2  # denoising is done by now: nothing of it is to be lost
            return np.concatenate([self.decode(latents[:, :, :middle]), self.decode(latents[:, :, middle:])])
        images = (images.float() / 2 + 0.5).clamp(0, 1) * 255
        return rearrange(images.round().to(torch.uint8), "f c h w -> f h w c").cpu().numpy()


def detailed(made: np.ndarray, trust: Tensor, full: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """What the model made, with what is finer in the frames that it trusts, see `nets.pixels.with_detail`.

    Args:
        made: uint8 (F, H, W, 3).
        trust: (1, 1, F, h, w) in [0, 1].
        full: uint8 (F, H', W', 3), the trusted frames in the output's size.
        plain: uint8 (F, H, W, 3), the trusted frames as the autoencoder shows them at the model's size.

    Returns:
        uint8 (F, H', W', 3).
    """
    pictures = [rearrange(torch.from_numpy(frames).float(), "f h w c -> f c h w") for frames in (made, full, plain)]
    out = with_detail(pictures[0], trust[0].transpose(0, 1).float().cpu(), *pictures[1:])
    return rearrange(out.clamp(0, 255).round().to(torch.uint8), "f c h w -> f h w c").numpy()


class Watched:
    """What the drawn poses of a clip say of its windows, gathered while they pass by.

    Args:
        windows: of the clip.
        length: of the clip.
    """

    def __init__(self, windows: Sequence[Sequence[int]], length: int) -> None:
        self.windows = windows
        self.posed: np.ndarray = np.zeros(length, bool)
        self.drawn: dict[int, np.ndarray] = {}
        """Where any pose of a window is drawn, bool (H, W), by the window's first frame."""

    def see(self, part: range, poses: np.ndarray | None) -> None:
        """The poses of some frames, uint8 (f, H, W, 3); None: the model reads none."""
        if poses is None:
            self.posed[part.start : part.stop] = True
            return
        drawn: np.ndarray = np.asarray(poses.any(-1))
        self.posed[part.start : part.stop] = drawn.reshape(len(drawn), -1).any(1)
        for window in self.windows:
            if inside := [frame - part.start for frame in window if frame in part]:
                union = np.asarray(drawn[inside].any(0))
                self.drawn[window[0]] = self.drawn.get(window[0], np.False_) | union

    def temperatures(self, tau: float) -> dict[int, Tensor]:
        """TCAN's temperature map (1, 1, H/8, W/8) of each window, by its first frame; none where the slope is 0."""
        if not tau:
            return {}
        # nearest, as TCAN resizes it: one value in eight serves the latents and every level below
        return {
            first: torch.from_numpy(map_of_drawn(drawn, tau)[None, None, ::8, ::8].copy())
            for first, drawn in self.drawn.items()
        }

    def warn(self, motion: bool) -> None:
        """Say what will not look as hoped for: windows without any pose, and windows too short for motion."""
        if empty := [window for window in self.windows if not self.posed[list(window)].any()]:
            logger.warning(
                "no pose is drawn in %d of %d frames: %s. In %d of %d windows there is no other frame, and the model has nothing to "
                "follow there; give these frames a pose, or leave them out",
                (~self.posed).sum(), len(self.posed), frame_ranges(np.flatnonzero(~self.posed)), len(empty), len(self.windows),
            )  # fmt: skip
        if motion and len(self.windows[0]) == 1 < len(self.posed):
            logger.warning(
                "windows of one frame: each of the %d frames is made by itself, and the video will flicker; use a larger window, so "
                "that the motion modules see what comes before and after",
                len(self.posed),
            )


def frame_ranges(frames: Iterable[int]) -> str:
    """Frame numbers as people write them.

    >>> frame_ranges([6, 7, 8, 9, 0, 1, 4])
    '6-9, 0-1, 4'
    """
    return ", ".join(
        str(run.start) if len(run) == 1 else f"{run.start}-{run.stop - 1}" for run in consecutive(map(int, frames))
    )


def pieces(length: int, size: int) -> list[range]:
    """Consecutive frames, `size` at a time."""
    return [range(i, min(i + size, length)) for i in range(0, length, size)]


def consecutive(frames: Iterable[int]) -> list[range]:
    """Frame numbers as ranges, in their order.

    >>> consecutive([6, 7, 8, 0, 1, 4])
    [range(6, 9), range(0, 2), range(4, 5)]
    """
    runs: list[range] = []
    for frame in frames:
        if runs and frame == runs[-1].stop:
            runs[-1] = range(runs[-1].start, frame + 1)
        else:
            runs.append(range(frame, frame + 1))
    return runs


def _assemble(recipe: str, parts: Mapping[str, Any], options: Mapping[str, Any]) -> Animator:
    wanted = part_names(recipe)
    if missing := [name for name in part_names(recipe, needed=True) if name not in parts]:
        raise BunrakuError(f"a model of recipe {recipe} has {', '.join(wanted)}; there is no {', '.join(missing)}")
    if unknown := sorted(set(parts) - set(wanted)):
        raise BunrakuError(f"a model of recipe {recipe} has {', '.join(wanted)}, and no {', '.join(unknown)}")
    return get_recipe(recipe).animator.assemble(parts, options)


def _checked(stills: Mapping[str, np.ndarray], frames: Mapping[str, Pictures]) -> tuple[int, tuple[int, int]]:
    """Number of frames and (height, width) of a clip that can be animated, or BunrakuError."""
    if "reference" not in stills:
        raise BunrakuError("there is no still called reference; give the picture of the character")
    if not frames:
        raise BunrakuError("there are no conditions to follow, such as the frames called pose")
    height, width = stills["reference"].shape[:2]
    for name, still in stills.items():
        several = name in (VIEWS, VIEWS_POSE)
        if still.dtype != np.uint8 or still.ndim != 3 + several or still.shape[-3:-1] != (height, width):
            shape = f"({'V, ' * several}{height}, {width}, C)"
            raise BunrakuError(f"{name} must be uint8 {shape}, got {still.dtype} {still.shape}")
    if len(stills.get(VIEWS, ())) >= MOST_PICTURES:
        raise BunrakuError(f"a reference has at most {MOST_PICTURES} pictures; got {1 + len(stills[VIEWS])}")
    if VIEWS_POSE in stills and len(stills[VIEWS_POSE]) != len(stills.get(VIEWS, ())):
        raise BunrakuError(f"{len(stills[VIEWS_POSE])} drawn poses for {len(stills.get(VIEWS, ()))} further views")
    if height % 8 or width % 8 or min(height, width) < 32:
        raise BunrakuError(f"size {height}x{width} (height x width) must be multiples of 8, at least 32")
    lengths = {name: len(source) for name, source in frames.items()}
    if len(set(lengths.values())) > 1:
        raise BunrakuError(f"conditions of different lengths: {', '.join(f'{n} {c}' for n, c in lengths.items())}")
    length = min(lengths.values())
    if not length:
        raise BunrakuError("there are no frames to animate")
    for name, source in frames.items():
        first = np.asarray(source[[0]])
        if first.dtype != np.uint8 or first.shape[:3] != (1, height, width) or first.ndim != 4:
            raise BunrakuError(
                f"frames of {name} must be uint8 (F, {height}, {width}, C), got {first.dtype} {first.shape[1:]}"
            )
    return length, (height, width)


def _checked_detail(detail: Pictures, length: int, size: tuple[int, int]) -> Pictures:
    """The detail for a clip of that length and size, or BunrakuError."""
    first = np.asarray(detail[[0]])
    if len(detail) != length or first.shape[1] * size[1] != first.shape[2] * size[0]:
        raise BunrakuError(
            f"the detail must have {length} frames of the shape of {size[0]}x{size[1]} (height x width), got {len(detail)} of "
            f"{first.shape[1]}x{first.shape[2]}"
        )
    return detail


def _open_parts() -> None:
    """Import the modules of all parts: diffusers opens only parts whose modules are imported."""
    for module in {module for classes in (AUTOENCODERS, *PARTS.values()) for module in classes.values()}:
        if module.startswith("bunraku."):
            importlib.import_module(module)


def _named_parameters(function: Callable[..., Any]) -> inspect.Signature:
    """The signature without **parts, which diffusers would take for a part of that name."""
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return signature.replace(parameters=kept)


_open_parts()
AnimationPipeline.__init__.__signature__ = _named_parameters(AnimationPipeline.__init__)  # type: ignore[attr-defined]
# DiffusionPipeline.from_pretrained finds its class among the names of diffusers, or else runs code out of the model's folder
diffusers.AnimationPipeline = AnimationPipeline  # type: ignore[attr-defined]
