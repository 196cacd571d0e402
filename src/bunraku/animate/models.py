"""What makes the frames: an AnimationPipeline or the puppet warp, opened for one animation with its settings checked."""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from bunraku.animate.canvas import Canvas, choose_canvas
from bunraku.animate.driving import Driving
from bunraku.animate.options import SCHEDULERS, AnimateOptions
from bunraku.animate.scene import Backdrop, on_canvas
from bunraku.cues.cues import Cues
from bunraku.cues.drawn import Drawn, cues_of, draw_conditions, draw_sharp
from bunraku.cues.still_scene import in_still
from bunraku.cues.temperature import temperature_map
from bunraku.errors import BunrakuError
from bunraku.media.frames import Pictures
from bunraku.perception.detector import MOST_PEOPLE
from bunraku.perception.matte import shared
from bunraku.perception.pose import PoseTrack
from bunraku.progress import Progress, silent
from bunraku.puppet_warp import PUPPET_WARP, TRANSPARENT, PuppetWarp
from bunraku.sampling.share import ALONE, Share

if TYPE_CHECKING:
    from bunraku.cues.pose_refiner import PoseRefiner
    from bunraku.pipeline import AnimationPipeline
    from bunraku.sampling.sampling import Sampling

logger = logging.getLogger(__name__)

POSE = "pose"
PUPPET_SIDE = 1024  # longest side of the puppet warp's default output
SMALL = 256  # longest side of a model that can only demonstrate
TOO_LARGE = 1.5  # times the area that a model was made for
HUB_REPOSITORY = r"\w[\w.-]*/\w[\w.-]*"
MOST_WINDOWS = 8  # of which temperature maps are shown

GROUND = 128
GREY = np.full((64, 64, 3), GROUND, np.uint8)
"""The ground that a model paints on what is to be transparent."""

GUESSING = 0.1  # share of the time that showing first guesses may take

Guess = Callable[[int, np.ndarray], None]
"""Called with the number of a frame and what there is of it, uint8 (1, H, W, 3), in any size."""

UseOfReferencePose = Literal["needed", "used", "unused"]
View = tuple[np.ndarray, PoseTrack | None]
"""A further picture of the character on the canvas, uint8 (H, W, 3), and its pose there, (1, P, K), if it is known."""

WindowTemperature = tuple[Sequence[int], np.ndarray, np.ndarray]
"""Of one window its frames, its drawn poses uint8 (f, H, W, 3), and its temperature map float32 (H/8, W/8)."""


class ModelAdapter(Protocol):
    """What `animate` needs of any model, diffusion or not; made for one clip and one set of options.

    Attributes:
        device, dtype: what it computes on and in, for the user to see.
        skeleton: how the poses it is given are drawn where they are shown: arguments of `draw_skeleton`.
        people: how many characters of a picture it moves.
        reference_pose: whether it cannot do without the reference's pose, can use it, or has no use for it.
        several: whether it learns from several pictures of a character.
        keeps_state: whether it writes the options' `state`.
        refiner: its own network that mends poses, where it has one.
    """

    device: str
    dtype: str
    skeleton: Mapping[str, Any]
    people: int
    reference_pose: UseOfReferencePose
    several: bool
    keeps_state: bool
    refiner: "PoseRefiner | None"

    def canvas(self, reference: tuple[int, int], scene: tuple[int, int] | None = None) -> Canvas:
        """The canvas for a reference of (height, width), or for the scene of (height, width) that it comes into."""
        ...

    def temperatures(self, poses: PoseTrack | np.ndarray, size: tuple[int, int]) -> list[WindowTemperature]:
        """What `stream` will hold the background still with, of a few windows; empty where there is nothing of the kind."""
        ...

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        report: Progress,
        matte: np.ndarray | None = None,
        scene: Backdrop | None = None,
        guess: Guess | None = None,
        share: Share = ALONE,
        order: np.ndarray | None = None,
        views: Sequence[View] = (),
    ) -> Iterator[np.ndarray]:
        """Chunks of frames, uint8 (f, H, W, 3), of the canvas `size`.

        Args:
            reference: the character on the canvas, uint8 (H, W, 3); reference_pose: its keypoints there.
            poses: what to follow, on the canvas: keypoints, or drawn skeletons.
            scene: what is behind and before the character; None: the still's own background.
            matte: uint8 (H, W), where the characters are in the reference, or (P, H, W), where each is, for models that cut them out; None:
                they find it.
            guess: shown what becomes of some frame, where all frames take long and none is ready.
            share: of this process, where several make the clip together; a model that cannot share makes all of it in each.
            order: int (F, P), who of the people is in front of whom, 0 the farthest; None: it shows from where they stand.
            views: further pictures of the character.
        """
        ...

    def conditions(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        scene: Backdrop | None = None,
        order: np.ndarray | None = None,
    ) -> dict[str, Drawn]:
        """What `stream` will show the model of every frame, by the condition's name; arguments as there."""
        ...


def model_names() -> list[str]:
    """The names of everything that animates, whether its weights are here or not."""
    from bunraku.weights.registry import list_models

    return [PUPPET_WARP, *(model.name for model in list_models() if model.kind in ("pipeline", "checkpoint"))]


def check_model(model: str) -> None:
    """Raise BunrakuError where this is neither the name of a model, nor a folder, nor a repository on the Hub (owner/name); loads
    nothing, and so takes no time."""
    if model in (names := model_names()) or Path(model).expanduser().is_dir() or re.fullmatch(HUB_REPOSITORY, model):
        return
    near = get_close_matches(model, names, 1)
    raise BunrakuError(
        f"there is no model {model!r} (--model).{f' Did you mean {near[0]!r}?' if near else ''} There are {', '.join(names)}, model "
        "folders, and repositories on the Hub (owner/name)."
    )


def open_model(
    options: AnimateOptions, clip: Driving, report: Progress = silent, pipeline: "AnimationPipeline | None" = None
) -> ModelAdapter:
    """The model of the options, ready to animate the clip. What is fetched or converted for it is reported.

    Args:
        pipeline: what `open_pipeline` opened for the same model, device, dtype and scheduler; None: it is opened now.

    Raises:
        BunrakuError: there is no such model, or it cannot animate this clip as asked.
    """
    check_model(options.model)
    if options.model == PUPPET_WARP:
        return PuppetWarpAdapter(options, clip)
    return PipelineAdapter(options, len(clip), pipeline or open_pipeline(options, report))


class PipelineAdapter:
    """An AnimationPipeline.

    Args:
        options: its settings; what is None is the model's own choice.
        frames: how many are animated.
        pipeline: opened for these options (`open_pipeline`).
    """

    def __init__(self, options: AnimateOptions, frames: int, pipeline: "AnimationPipeline") -> None:
        self._options, self._pipeline = options, pipeline
        reads_scene = "environment" in self._pipeline.reads.frames
        cuts = self._pipeline.trusted is not None  # before anything
        if options.scene != "reference" and not cuts and not (reads_scene and options.scene == "driving"):
            takes = "takes --scene driving or reference" if reads_scene else "keeps the background of the still"
            raise BunrakuError(
                f"{options.model} {takes}; --scene {options.scene} is for {PUPPET_WARP} (--model {PUPPET_WARP})"
            )
        self._sampling = chosen_sampling(self._pipeline, options, frames)
        self._pipeline.check_strengths(options.strengths)
        self.device = str(self._pipeline._execution_device)
        self.dtype = str(self._pipeline.denoiser.dtype).removeprefix("torch.")
        self.skeleton: Mapping[str, Any] = self._pipeline.styles.get(POSE, {})
        self.people: int = self._pipeline.animator.people
        self.reference_pose: UseOfReferencePose = (
            "used" if "reference_pose" in self._pipeline.reads.stills else "unused"
        )
        self.several, self.keeps_state = True, True
        self.refiner: PoseRefiner | None = getattr(pipeline, "pose_refiner", None)
        if options.order == "reference" and "depth_order" not in self._pipeline.reads.frames:
            logger.warning("%s is not told who is in front of whom: --order has no effect", options.model)
        if options.keep_scene is not None and not reads_scene:
            logger.warning("%s is not shown the scene: --keep-scene and --repaint-scene have no effect", options.model)

    def canvas(self, reference: tuple[int, int], scene: tuple[int, int] | None = None) -> Canvas:
        own = tuple(self._pipeline.config.size)
        if self._pipeline.trusted:
            return self._sharp_canvas(reference, own, scene)
        canvas = choose_canvas(
            reference, own, fitting=self._options.fit, size=self._options.size,
            # a model with positions on a grid was trained at one size
            any_size=not self._pipeline.denoiser.config.spatial_positions, scene=scene,
        )  # fmt: skip
        if max(own) <= SMALL:
            logger.info(
                "%s paints %dx%d px: a demonstration, soft in faces, hands and patterns; --model %s is sharp at any size",
                self._options.model, *own, PUPPET_WARP,
            )  # fmt: skip
        if math.prod(canvas.size) > TOO_LARGE * math.prod(own):
            logger.warning(
                "%s was made for %dx%d px; at %dx%d it may show ghosts and limbs twice. Leave --size out, or take --model %s",
                self._options.model, *own, *canvas.size, PUPPET_WARP,
            )  # fmt: skip
        return canvas

    def _sharp_canvas(self, reference: tuple[int, int], own: tuple[int, int], scene: tuple[int, int] | None) -> Canvas:
        """The canvas of a model that can be sharp at any size: the picture's own size, a multiple of what the model paints."""
        wanted = self._options.size or reduced(scene or reference)
        best = max(1, round(math.sqrt(math.prod(wanted) / math.prod(own))))
        whole = [k for k in (best, best + 1, best - 1) if k and not any(side % (8 * k) for side in wanted)]
        # a size that need not be rounded leaves every pixel of the still in its place
        factor = whole[0] if whole else best
        return choose_canvas(
            reference, wanted, fitting=self._options.fit, size=self._options.size, any_size=True, multiple=8 * factor,
            scene=scene,
        )  # fmt: skip

    def temperatures(self, poses: PoseTrack | np.ndarray, size: tuple[int, int]) -> list[WindowTemperature]:
        tau = self._sampling.temperature
        drawn = Drawn(POSE, cues_of(poses), size, self.skeleton)
        windows = self._sampling.windows(len(drawn)) if tau else []
        chosen = np.linspace(0, len(windows) - 1, min(MOST_WINDOWS, len(windows))).round().astype(int)
        pictures = [(windows[i], drawn[windows[i]]) for i in chosen]
        return [(window, images, temperature_map(images, tau)[::8, ::8]) for window, images in pictures]

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        report: Progress,
        matte: np.ndarray | None = None,
        scene: Backdrop | None = None,
        guess: Guess | None = None,
        share: Share = ALONE,
        order: np.ndarray | None = None,
        views: Sequence[View] = (),
    ) -> Iterator[np.ndarray]:
        import torch

        mattes = None if matte is None or reference_pose is None else of_each(matte, reference_pose)
        behind = None if scene is None else GREY if scene.behind is TRANSPARENT else scene.behind
        driving = self._driving(poses, size, scene, order, reference, reference_pose, matte)
        drawn = draw_sharp(
            self._pipeline,
            reference,
            driving,
            reference_pose,
            size,
            mattes,
            behind,
            views,
            refine=False,  # they are mended already
        )
        chunks = self._pipeline.stream(
            drawn.stills, drawn.frames, self._sampling, detail=drawn.detail, strengths=self._options.strengths,
            generator=torch.Generator().manual_seed(self._options.seed),
            callback_on_step_end=_on_step(report, self._sampling.steps(len(drawn.frames[POSE])), guess), share=share, state=self._options.state,
        )  # fmt: skip
        cut = drawn.detail or drawn.frames.get(self._pipeline.trusted or "")
        if scene is None or cut is None:
            return chunks
        return without_ground(chunks, cut) if behind is GREY else scene.in_front(chunks)

    def conditions(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        scene: Backdrop | None = None,
        order: np.ndarray | None = None,
    ) -> dict[str, Drawn]:
        driving = self._driving(poses, size, scene, order, reference, reference_pose)
        return draw_conditions(self._pipeline, reference, driving, reference_pose, size, refine=False)[1]

    def _driving(
        self,
        poses: PoseTrack | np.ndarray,
        size: tuple[int, int],
        scene: Backdrop | None,
        order: np.ndarray | None,
        reference: np.ndarray,
        reference_pose: PoseTrack | None,
        matte: np.ndarray | None = None,
    ) -> Cues:
        """What is known of the drivers on a canvas of that size."""
        cues = cues_of(poses)
        if scene is not None and scene.cues is not None and isinstance(poses, PoseTrack):
            cues = on_canvas(scene.cues, poses, size, scene.mode)
        elif scene is None and "environment" in self._pipeline.reads.frames:
            cues = in_still(cues, reference, reference_pose, matte)
        return cues if order is None else replace(cues, maps=cues.maps | {"nearness": order.astype(np.float64)})


class PuppetWarpAdapter:
    """The classical puppet warp; options of the sampling are named in a warning and have no effect."""

    device, dtype = "cpu", "uint8"
    people = MOST_PEOPLE
    reference_pose: UseOfReferencePose = "needed"
    several, keeps_state = False, False
    skeleton: Mapping[str, Any] = {}
    refiner: "PoseRefiner | None" = None

    def __init__(self, options: AnimateOptions, clip: Driving) -> None:
        if not clip.has_keypoints:
            raise BunrakuError(
                f"{PUPPET_WARP} moves keypoints, and the drawn skeletons of {clip.path} have none; drive it with footage, OpenPose "
                "JSON, BVH or cues, or choose another model"
            )
        self._options = options
        unused = (
            "steps", "guidance", "guidance_interval", "deep_cache", "scheduler", "window", "overlap", "chain", "temperature",
            "keep_scene",
        )  # fmt: skip
        given = [name for name in unused if getattr(options, name) is not None] + ["dtype"] * (options.dtype != "auto")
        given += ["order"] * (options.order != "driver") + ["quality"] * (options.quality != "best")
        given += ["strengths"] * bool(options.strengths) + ["state"] * (options.state is not None)
        if given:
            logger.warning("%s has no %s: they have no effect", PUPPET_WARP, ", ".join(given))

    def canvas(self, reference: tuple[int, int], scene: tuple[int, int] | None = None) -> Canvas:
        shape = scene or reference
        own = reduced(shape)
        if max(shape) > PUPPET_SIDE and self._options.size is None:
            logger.info(
                "the %s of %dx%d px (height x width) is reduced to %dx%d; --size asks for more",
                "scene" if scene else "reference", *shape, *own,
            )  # fmt: skip
        return choose_canvas(
            reference, own, fitting=self._options.fit, size=self._options.size, any_size=True, multiple=2, scene=scene
        )

    def temperatures(self, poses: PoseTrack | np.ndarray, size: tuple[int, int]) -> list[WindowTemperature]:
        return []

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        report: Progress,
        matte: np.ndarray | None = None,
        scene: Backdrop | None = None,
        guess: Guess | None = None,
        share: Share = ALONE,
        order: np.ndarray | None = None,
        views: Sequence[View] = (),
    ) -> Iterator[np.ndarray]:
        mask = None if matte is None or reference_pose is None else of_each(matte, reference_pose)
        behind = None if scene is None else scene.behind
        chunks = PuppetWarp().stream(reference, poses, reference_pose, size=size, mask=mask, background=behind)
        return chunks if scene is None else scene.in_front(chunks)

    def conditions(self, *about: Any, **more: Any) -> dict[str, Drawn]:
        return {}


def of_each(matte: np.ndarray, people: PoseTrack) -> np.ndarray:
    """The matte of each of the people (1, P, K), uint8 (P, H, W), where that of all (H, W) is known, or already that of each."""
    return matte if matte.ndim == 3 else shared(matte / 255, people)


def without_ground(chunks: Iterator[np.ndarray], cut: Pictures) -> Iterator[np.ndarray]:
    """Frames that were painted on grey, uint8 (f, H, W, 3), with their colours alone, uint8 (f, H, W, 4): as opaque as the cut-out."""
    done = 0
    for chunk in chunks:
        alpha = np.asarray(cut[range(done, done + len(chunk))])[..., 3:]
        done += len(chunk)
        share = alpha.astype(np.float32) / 255
        colours = (chunk - (1 - share) * GROUND) / np.maximum(share, 1 / 255)
        yield np.concatenate([np.rint(colours).clip(0, 255).astype(np.uint8), alpha], -1)


def reduced(reference: tuple[int, int]) -> tuple[int, int]:
    """The reference's (height, width) at the largest that is painted unless a size is asked for; even, as video codecs want it."""
    factor = min(1, PUPPET_SIDE / max(reference))
    return 2 * round(reference[0] * factor / 2), 2 * round(reference[1] * factor / 2)


def open_pipeline(options: AnimateOptions, report: Progress = silent) -> "AnimationPipeline":
    """The AnimationPipeline with the scheduler that was asked for; serves any number of clips, one at a time."""
    import diffusers

    from bunraku.weights import load_pipeline
    from bunraku.weights.states import FLICKER

    if options.compile and options.low_memory:
        raise BunrakuError("what is compiled stays in memory: leave out --compile or --low-memory")
    pipeline = load_pipeline(
        options.model, dtype=options.dtype, device=options.device, low_memory=options.low_memory, on_progress=report
    )
    if not pipeline.denoiser.config.motion:
        logger.warning("%s has no motion modules. %s", options.model, FLICKER)
    pipeline.set_progress_bar_config(disable=True)
    if options.compile:
        logger.info("--compile: the first frames wait until the denoiser is compiled, which may take minutes")
        pipeline.denoiser.compile()
    if options.scheduler:
        pipeline.scheduler = getattr(diffusers, SCHEDULERS[options.scheduler]).from_config(pipeline.scheduler.config)
    return pipeline


def chosen_sampling(pipeline: Any, options: AnimateOptions, frames: int) -> "Sampling":
    """The model's sampling with what the options say, checked before anything slow."""
    own = pipeline.sampling
    window = options.window or own.window
    longest = pipeline.denoiser.config.motion_max_seq_length
    if pipeline.denoiser.config.motion and min(window, frames) > longest:
        raise BunrakuError(
            f"a window of {window} frames is longer than the {longest} that {options.model} was made for"
        )
    # a window that was made small on purpose is no reason to fail on an overlap that was not chosen
    overlap = min(own.overlap, window // 2) if options.overlap is None else options.overlap
    return own.asked(
        options.quality, options.steps, options.guidance, options.guidance_interval, options.deep_cache,
        window=window, overlap=overlap, chain=options.chain, temperature=options.temperature, keep_scene=options.keep_scene,
    )  # fmt: skip


def _on_step(report: Progress, steps: int, guess: Guess | None) -> Callable[..., dict[str, Any]]:
    pause, last = 0.0, -math.inf

    def on_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal pause, last
        report("denoise", step + 1, steps)
        now = time.monotonic()
        if guess is not None and step + 1 < steps and now - last >= pause:
            guess(0, pipeline.decode(tensors["latents"][:, :, :1]))
            last = time.monotonic()
            pause = (last - now) / GUESSING
        return tensors

    return on_step
