"""The whole way: a reference picture and a driving clip in, an animated video out."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.temperature import draw_temperature
from bunraku.driving import Driving
from bunraku.errors import BunrakuError
from bunraku.layout import Fitting, Layout, Retarget, lay_out
from bunraku.media import (
    VideoWriter,
    check_free,
    check_output,
    check_video_output,
    contact_sheet,
    read_image,
    side_by_side,
    write_image,
)
from bunraku.media.images import IMAGE_SUFFIXES
from bunraku.motion import MotionOptions, followed, footage, has_keypoints, known_pose, open_motion
from bunraku.perception.pose import PoseTrack
from bunraku.reference import reference_pose
from bunraku.retarget_picture import moments, skeleton_frames

logger = logging.getLogger(__name__)

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
}
"""Classes of diffusers; each takes over the configuration of the model's own."""

PUPPET_WARP = "puppet-warp"
"""The model without weights."""

SHEET_COLUMNS = 8
DEBUG_PICTURES = ("skeletons", "temperature")
PUPPET_SIDE = 1024  # longest side of the puppet warp's default output
PANEL_HEIGHT = 256  # least height of the side-by-side video
Progress = Callable[[str, int, int], None]
"""Called with what is being done ("perceive", "denoise", "write"), how much is done, and how much there is."""


@dataclass(frozen=True)
class AnimateOptions(MotionOptions):
    """Everything about an animation that has a default; None leaves the choice to the model or the machine.

    Attributes, beside those of `MotionOptions`:
        model: name of known weights, model folder, repository on the Hub (owner/name), or "puppet-warp", the classical puppet
            without weights (`puppet_warp.PuppetWarp`), which keeps the reference's own size up to 1024 px.
        retarget: how the motion is brought onto the character.
            "full": bone by bone, each with the length of the reference and the direction and foreshortening of the driver
            (`cues.retarget.retarget`); the way through the picture is scaled with the body.
            "align": part by part with constant ratios, joints left and right alike (`cues.retarget.align`).
            "fit": the driver's own proportions, at the size and place of the reference (`cues.retarget.fit`).
            "off": the driver's pose where it is in its picture. Drawn skeletons are always used so.
        fit: how a reference of another shape than the model's picture is brought into it. "letterbox": whole, its edges
            continued as a blur, cut off again afterwards, so that the output has the reference's aspect ratio; "crop":
            filling the picture, what hangs over is cut; "auto": models made for one size letterbox, others get a picture of
            their own area in the reference's aspect ratio.
        size: (height, width) of the output, rounded to multiples of 8; nothing is cut off again then. None: by `fit`.
        steps, guidance, window, overlap: of the sampling.
        temperature: slope of TCAN's temperature map, which holds the background still (`cues.temperature`); 0: none.
        scheduler: one of SCHEDULERS.
        seed: same seed and settings, same file.
        dtype: "auto", "float32", "float16" or "bfloat16".
        audio: whether the sound of the driving video is kept.
        sheet: picture to write: reference, driving frames, poses, results.
        side_by_side: video to write: the same next to each other.
        debug: folder for pictures of what goes on inside, written before the frames are made: skeletons.png (driver, reference,
            retargeted) and, where the temperature's slope is above 0, temperature.png (the maps of up to 8 windows).
        overwrite: whether pictures that a folder for frames or `debug` holds may be replaced. Single files may be in any case.

    Raises:
        BunrakuError: a value out of its range.
    """

    model: str = "mini"
    retarget: Retarget = "full"
    fit: Fitting = "auto"
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    window: int | None = None
    overlap: int | None = None
    temperature: float | None = None
    seed: int = 0
    dtype: str = "auto"
    audio: bool = True
    sheet: Path | None = None
    side_by_side: Path | None = None
    debug: Path | None = None
    overwrite: bool = False

    def checks(self) -> dict[str, bool]:
        return super().checks() | {
            f"steps {self.steps} must be from 1 to 1000": self.steps is None or 1 <= self.steps <= 1000,
            f"guidance {self.guidance} must be a number from 0 to 100": self.guidance is None
            or 0 <= self.guidance <= 100,
            f"window {self.window} must be at least 1": self.window is None or self.window >= 1,
            f"overlap {self.overlap} must be at least 0 and smaller than the window": self.overlap is None
            or 0 <= self.overlap < (self.window or math.inf),
            f"temperature {self.temperature} must be a number from 0 to 1000": self.temperature is None
            or 0 <= self.temperature <= 1000,
            f"size {self.size} (height, width) must be from 32 to 4096": self.size is None
            or all(32 <= side <= 4096 for side in self.size),
            f"unknown scheduler {self.scheduler!r}; there are {', '.join(SCHEDULERS)}": self.scheduler
            in (None, *SCHEDULERS),
            f"seed {self.seed} must be from 0 to 2^63 - 1": 0 <= self.seed < 2**63,
            f"unknown retargeting {self.retarget!r}; there are {', '.join(get_args(Retarget))}": self.retarget
            in get_args(Retarget),
            f"unknown fit {self.fit!r}; there are auto, letterbox, crop": self.fit in ("auto", "letterbox", "crop"),
        }


@dataclass(frozen=True)
class Animation:
    """What `animate` made: `size` is (height, width) in pixels, `seconds` the time of the stages."""

    output: Path
    frames: int
    fps: Fraction
    size: tuple[int, int]
    model: str
    device: str
    dtype: str
    seed: int
    driving: str
    seconds: dict[str, float]
    sheet: Path | None = None
    side_by_side: Path | None = None
    debug: Path | None = None


def animate(
    reference: str | Path,
    driving: str | Path,
    output: str | Path,
    options: AnimateOptions = AnimateOptions(),
    on_progress: Progress | None = None,
) -> Animation:
    """Animate the character of a picture with the motion of a clip, and write the video.

    What can be wrong is found first: files, options, then the model, then the pose of the reference, then the driving
    poses. Results are written chunk by chunk under temporary names; nothing but the debug pictures is left of a run that
    fails or is interrupted, and an existing output stays as it was.

    Args:
        reference: a picture of one character, any format of Pillow's, at least 32 px.
        driving: anything `open_driving` takes.
        output: .mp4 .mov .mkv .webm .gif .webp, a folder for PNG frames (no extension), or a pattern such as out/%04d.png.

    Raises:
        BunrakuError: input that cannot be used, nobody in the reference or in any driving frame (names which), a full disk,
            a prediction that is not finite.
    """
    reference, driving, output = Path(reference), Path(driving), Path(output)
    _check_outputs(reference, driving, output, options)
    image = read_image(reference)
    known = known_pose(reference, image.shape[:2], options)
    clip = open_motion(driving, options)
    report = on_progress or (lambda stage, done, total: None)
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        model = open_model(options, report)
        model.check(clip, len(clip))
        layout = model.layout(image.shape[:2])
    with _timed(seconds, "perceive"):
        own_pose = known or _detected_pose(image, reference, clip, model, options)
        cues = followed(clip, options, max(layout.canvas), lambda done, total: report("perceive", done, total))
        poses = layout.poses(cues, own_pose, options.retarget)
    with _timed(seconds, "animate"):
        picture, placed_pose = layout.picture(image), own_pose and layout.track(own_pose)
        if options.debug:
            method = "off" if own_pose is None or cues.pose is None else options.retarget
            moment_frames = skeleton_frames(clip, cues, picture, placed_pose, {method: poses}, moments(len(cues)))
            shown = {"skeletons": np.concatenate(list(moment_frames))} | model.debug(poses, layout.canvas)
            _write_debug(options.debug, shown)
        chunks = model.stream(picture, poses, placed_pose, layout.canvas, report)
        show = _Show(image, clip, poses, model.skeleton, layout, len(cues))
        video_options: dict[str, Any] = {"fps": cues.fps, "overwrite": options.overwrite}
        if options.audio and clip.sound:
            video_options |= {"audio_from": clip.sound, "audio_start": clip.start / cues.fps}
        with ExitStack() as stack:
            video = stack.enter_context(VideoWriter(output, size=layout.size, **video_options))
            panels = None
            for chunk in map(layout.cut, chunks):
                for frame in chunk:
                    video.write(frame)
                report("write", video.frames, len(cues))
                if options.sheet or options.side_by_side:
                    joined = show.add(chunk)
                if options.side_by_side:
                    panels = panels or stack.enter_context(
                        VideoWriter(options.side_by_side, size=joined.shape[1:3], **video_options)
                    )
                    for frame in joined:
                        panels.write(frame)
        if options.sheet:
            write_image(options.sheet, contact_sheet(show.chosen(), SHEET_COLUMNS))
    return Animation(
        output, len(cues), cues.fps, layout.size, options.model, model.device, model.dtype, options.seed, clip.kind, seconds,
        options.sheet, options.side_by_side, options.debug,
    )  # fmt: skip


class Model(Protocol):
    """What `animate` needs of any model, diffusion or not; made for one set of options.

    Attributes:
        device, dtype: what it computes on and in, for the user to see.
        skeleton: how the poses it is given are drawn where they are shown: arguments of `draw_skeleton`.
        reference_pose: whether it cannot do without the reference's pose, can use it, or has no use for it.
    """

    device: str
    dtype: str
    skeleton: Mapping[str, Any]
    reference_pose: Literal["needed", "used", "unused"]

    def check(self, clip: Driving, frames: int) -> None:
        """Raise BunrakuError, before anything slow, if `frames` frames of this driving clip cannot be animated as asked."""
        ...

    def layout(self, reference: tuple[int, int]) -> Layout:
        """The canvas for a reference of (height, width)."""
        ...

    def debug(self, poses: PoseTrack | np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Pictures by name, uint8 (H, W, 3), of what `stream` will do with the poses on the canvas `size`."""
        ...

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        report: Progress,
    ) -> Iterator[np.ndarray]:
        """Chunks of frames, uint8 (f, H, W, 3), of the canvas `size`; arguments as of `AnimationPipeline.stream`."""
        ...


def open_model(options: AnimateOptions, report: Progress | None = None) -> Model:
    """The model of the options, ready to use; its settings are checked. What is fetched or converted for it is reported."""
    return PuppetModel(options) if options.model == PUPPET_WARP else DiffusionModel(options, report)


class DiffusionModel:
    """An AnimationPipeline."""

    def __init__(self, options: AnimateOptions, report: Progress | None = None) -> None:
        self._options, self._pipeline = options, load_model(options, report)
        self._sampling: dict[str, Any] = {}
        self.device = str(self._pipeline.device)
        self.dtype = str(self._pipeline.denoiser.dtype).removeprefix("torch.")
        self.skeleton: Mapping[str, Any] = self._pipeline.config.skeleton
        self.reference_pose: Literal["needed", "used", "unused"] = (
            "used" if self._pipeline.config.reference_pose else "unused"
        )

    def check(self, clip: Driving, frames: int) -> None:
        self._sampling = _sampling(self._pipeline, self._options, frames)

    def layout(self, reference: tuple[int, int]) -> Layout:
        return lay_out(
            reference, tuple(self._pipeline.config.size), fitting=self._options.fit, size=self._options.size,
            # a model with positions on a grid was trained at one size
            any_size=not self._pipeline.denoiser.config.spatial_positions,
        )  # fmt: skip

    def debug(self, poses: PoseTrack | np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        maps = list(self._pipeline.temperatures(poses, size, most=SHEET_COLUMNS, **self._sampling))
        return {"temperature": _temperature_sheet(maps)} if maps else {}

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        report: Progress,
    ) -> Iterator[np.ndarray]:
        return self._pipeline.stream(
            reference, poses, reference_pose, size=size,
            callback_on_step_end=_on_step(report, self._sampling["num_inference_steps"]), **self._sampling,
        )  # fmt: skip


class PuppetModel:
    """The classical puppet warp; options of the sampling are named in a warning and have no effect."""

    device, dtype = "cpu", "uint8"
    reference_pose: Literal["needed", "used", "unused"] = "needed"
    skeleton: Mapping[str, Any] = {}

    def __init__(self, options: AnimateOptions) -> None:
        self._options = options
        unused = ("steps", "guidance", "scheduler", "window", "overlap", "temperature")
        given = [name for name in unused if getattr(options, name) is not None] + ["dtype"] * (options.dtype != "auto")
        if given:
            logger.warning("%s has no %s: they have no effect", PUPPET_WARP, ", ".join(given))

    def check(self, clip: Driving, frames: int) -> None:
        if not has_keypoints(clip):
            raise BunrakuError(
                f"{PUPPET_WARP} moves keypoints, and the drawn skeletons of {clip.path} have none; drive it with footage, OpenPose "
                "JSON, BVH or cues, or choose another model"
            )

    def layout(self, reference: tuple[int, int]) -> Layout:
        factor = min(1, PUPPET_SIDE / max(reference))
        own = 2 * round(reference[0] * factor / 2), 2 * round(reference[1] * factor / 2)
        return lay_out(reference, own, fitting=self._options.fit, size=self._options.size, any_size=True, multiple=2)

    def debug(self, poses: PoseTrack | np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {}

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | None,
        size: tuple[int, int],
        report: Progress,
    ) -> Iterator[np.ndarray]:
        from bunraku.puppet_warp import PuppetWarp

        return PuppetWarp().stream(reference, poses, reference_pose, size=size)


def load_model(options: AnimateOptions, report: Progress | None = None) -> Any:
    """The AnimationPipeline with the scheduler that was asked for."""
    import diffusers

    from bunraku.weights import load_pipeline

    pipeline = load_pipeline(options.model, dtype=options.dtype, device=options.device, on_progress=report)
    pipeline.set_progress_bar_config(disable=True)
    if options.scheduler:
        pipeline.scheduler = getattr(diffusers, SCHEDULERS[options.scheduler]).from_config(pipeline.scheduler.config)
    return pipeline


def _temperature_sheet(maps: Sequence[tuple[Sequence[int], np.ndarray, np.ndarray]]) -> np.ndarray:
    """What `AnimationPipeline.temperatures` yields, window beside window in one scale of brightness."""
    from bunraku.pipeline import frame_ranges

    hottest = max(temperature.max() for _, _, temperature in maps)
    panels = {}
    for frames, drawn, temperature in maps:
        enlarged = -(-PANEL_HEIGHT // drawn.shape[1])  # whole pixels, so that the map's cells keep their edges
        panel = draw_temperature(temperature, drawn, hottest).repeat(enlarged, 0).repeat(enlarged, 1)
        panels[f"frames {frame_ranges(frames)}, T up to {temperature.max():.2f}"] = panel
    return side_by_side(panels)[0]


class _Show:
    """Reference, driving frames, poses and results beside each other, chunk by chunk, and a few kept for the sheet."""

    def __init__(
        self,
        image: np.ndarray,
        clip: Driving,
        poses: PoseTrack | np.ndarray,
        skeleton: Mapping[str, Any],
        layout: Layout,
        length: int,
    ) -> None:
        self._image, self._poses, self._skeleton, self._layout = image, poses, skeleton, layout
        self._height = max(PANEL_HEIGHT, layout.size[0])
        self._driving = footage(clip, self._height)
        self._columns = np.unique(np.linspace(0, length - 1, SHEET_COLUMNS).round().astype(int))
        self._kept: dict[str, list[np.ndarray]] = {}
        self._done = 0

    def add(self, results: np.ndarray) -> np.ndarray:
        """The next results, (f, H, W, 3), with what belongs to them at their side."""
        part = slice(self._done, self._done + len(results))
        driving = list(islice(self._driving, len(results)))
        poses = self._poses[part]
        drawn = draw_skeleton(poses, **self._skeleton) if isinstance(poses, PoseTrack) else poses
        rows = {"driving": np.stack(driving)} if driving else {}
        rows |= {"pose": self._layout.cut(drawn), "result": results}
        for column in self._columns[(self._columns >= part.start) & (self._columns < part.stop)]:
            for label, frames in rows.items():
                self._kept.setdefault(label, []).append(frames[column - part.start])
        self._done = part.stop
        return side_by_side({"reference": self._image, **rows}, height=self._height)

    def chosen(self) -> dict[str, np.ndarray]:
        """Rows of a sheet: the reference, and a few moments of the clip."""
        return {"reference": self._image} | {label: np.stack(frames) for label, frames in self._kept.items()}


def _write_debug(folder: Path, pictures: Mapping[str, np.ndarray]) -> None:
    folder.mkdir(exist_ok=True)
    for name in DEBUG_PICTURES:
        if name in pictures:
            write_image(folder / f"{name}.png", pictures[name])
        elif (folder / f"{name}.png").exists():
            logger.warning("%s was there before and stays, though it shows nothing of this run", folder / f"{name}.png")


def _check_outputs(reference: Path, driving: Path, output: Path, options: AnimateOptions) -> None:
    inputs = tuple(path for path in (reference, driving, options.reference_pose) if path is not None and path.exists())
    outputs = [path.absolute() for path in (output, options.side_by_side, options.sheet, options.debug) if path]
    if twice := [path for path in outputs if outputs.count(path) > 1]:
        raise BunrakuError(f"{twice[0]} is given for two outputs; give each a name of its own")
    check_video_output(output, inputs, overwrite=options.overwrite)
    if options.side_by_side:
        check_video_output(options.side_by_side, inputs, overwrite=options.overwrite)
    if options.sheet:
        if options.sheet.suffix.lower() not in IMAGE_SUFFIXES:
            raise BunrakuError(f"cannot write {options.sheet}: a sheet is a picture, {', '.join(IMAGE_SUFFIXES)}")
        check_output(options.sheet, inputs)
    if options.debug:
        if options.debug.exists() and not options.debug.is_dir():
            raise BunrakuError(f"{options.debug} is a file; --debug takes a folder, which may be new")
        pictures = [options.debug / f"{name}.png" for name in DEBUG_PICTURES]
        if twice := [path for path in pictures if path.absolute() in outputs]:
            raise BunrakuError(f"{twice[0]} is also a picture of --debug; choose another output name")
        for picture in pictures if options.debug.is_dir() else [options.debug]:
            check_output(picture, inputs)
        check_free(pictures, options.overwrite)


def _detected_pose(
    image: np.ndarray, path: Path, clip: Driving, model: Model, options: AnimateOptions
) -> PoseTrack | None:
    """The reference's pose; where neither retargeting nor the model needs it, nobody found is no error."""
    if model.reference_pose == "needed" or (clip.kind != "skeleton" and options.retarget != "off"):
        return reference_pose(image, path, options.detector, options.device)
    if model.reference_pose == "unused":
        return None
    try:
        return reference_pose(image, path, options.detector, options.device)
    except BunrakuError as error:
        logger.warning("%s; the model goes on without it", error)
        return None


def _sampling(pipeline: Any, options: AnimateOptions, frames: int) -> dict[str, Any]:
    """Arguments of `AnimationPipeline.stream`, complete and checked before anything slow."""
    import torch

    from bunraku.pipeline import DEFAULTS
    from bunraku.sampling.windows import time_windows

    defaults = DEFAULTS | pipeline.config.defaults
    window = options.window or defaults["window"]
    longest = pipeline.denoiser.config.motion_max_seq_length
    if pipeline.denoiser.config.motion and min(window, frames) > longest:
        raise BunrakuError(
            f"a window of {window} frames is longer than the {longest} that {options.model} was made for"
        )
    # a window that was made small on purpose is no reason to fail on an overlap that was not chosen
    overlap = min(defaults["overlap"], window // 2) if options.overlap is None else options.overlap
    time_windows(frames, window, overlap)
    return {
        "num_inference_steps": options.steps or defaults["num_inference_steps"],
        "guidance_scale": defaults["guidance_scale"] if options.guidance is None else options.guidance,
        "window": window,
        "overlap": overlap,
        "temperature": defaults["temperature"] if options.temperature is None else options.temperature,
        "generator": torch.Generator().manual_seed(options.seed),
    }


def _on_step(report: Progress, steps: int) -> Callable[..., dict[str, Any]]:
    def on_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        report("denoise", step + 1, steps)
        return tensors

    return on_step


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 2)
