"""The whole way: a reference picture and a driving clip in, an animated video out."""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bunraku.animate.canvas import Canvas, choose_canvas
from bunraku.animate.cast import depth_order, perceive_cast
from bunraku.animate.compose import composed
from bunraku.animate.driving import Driving, open_driving
from bunraku.animate.models import ModelAdapter, View, check_model, open_model
from bunraku.animate.options import AnimateOptions
from bunraku.animate.preview import DEBUG_PICTURES, Comparison, moments, skeleton_frames, write_debug_pictures
from bunraku.animate.reference import Reference, open_reference
from bunraku.animate.scene import Backdrop, Scene, open_scene
from bunraku.cues.cues import Cues
from bunraku.cues.identity import read_mattes
from bunraku.errors import BunrakuError
from bunraku.media import VideoWriter, check_free, check_output, check_video_output, resize, write_image
from bunraku.media.images import IMAGE_SUFFIXES, over
from bunraku.perception.pose import PoseTrack, together
from bunraku.progress import Progress, silent
from bunraku.sampling.share import ALONE, Share

if TYPE_CHECKING:
    from bunraku.pipeline import AnimationPipeline

logger = logging.getLogger(__name__)

DOUBTFUL = ".doubtful-pose.png"  # beside the output
GROUND = (255, 255, 255)  # what transparency is shown on, on sheets

Watch = Callable[[int, np.ndarray], None]
"""Called with the number of a frame and what there is of it and those that follow, uint8 (f, H, W, 3 or 4) in the output's size: first
guesses while a model denoises, then the frames as they are written."""


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


@dataclass(frozen=True)
class Prepared:
    """All that is known before the frames are made.

    Attributes:
        character, clip, model: what was opened.
        canvas: of the frames.
        cues: of the drivers, one for each character who is moved.
        own_pose: of these characters, (1, P, K) in pixels of the reference, or None.
        poses: what they follow, on the canvas, mended: keypoints (F, P, K), or drawn skeletons uint8 (F, H, W, 3).
        matte: of these characters, as `Reference.matte`.
        backdrop: what is behind and before them; None: the reference's own background.
        order: who of them is in front of whom, as of `ModelAdapter.stream`.
        views: further pictures of the character, as of `ModelAdapter.stream`.
    """

    character: Reference
    clip: Driving
    model: ModelAdapter
    canvas: Canvas
    cues: Cues
    own_pose: PoseTrack | None
    poses: PoseTrack | np.ndarray
    matte: np.ndarray | None
    backdrop: Backdrop | None
    order: np.ndarray | None = None
    views: Sequence[View] = ()

    @cached_property
    def picture(self) -> np.ndarray:
        """The reference on the canvas, uint8 (H, W, 3)."""
        return self.canvas.picture(self.character.image)

    @property
    def placed_pose(self) -> PoseTrack | None:
        """`own_pose` on the canvas."""
        return None if self.own_pose is None else self.canvas.track(self.own_pose)

    def frames(
        self, report: Progress = silent, on_frames: Watch | None = None, share: Share = ALONE
    ) -> Iterator[np.ndarray]:
        """Make them: chunks uint8 (f, H, W, 3) of `canvas.output_size`, in a transparent scene (f, H, W, 4).

        Args:
            report: told how far they are.
            on_frames: shown first guesses, where frames take long.
            share: of this process, where several make the clip together.

        Raises:
            BunrakuError: a prediction that is not finite.
        """
        matte = None if self.matte is None else self.canvas.matte(self.matte)
        guess = None if on_frames is None else partial(_guessed, on_frames, self.canvas)
        made = self.model.stream(
            self.picture,
            self.poses,
            self.placed_pose,
            self.canvas.size,
            report,
            matte,
            self.backdrop,
            guess,
            share,
            self.order,
            self.views,
        )
        return map(self.canvas.cut, made)


def prepare(
    character: Reference,
    clip: Driving,
    options: AnimateOptions,
    report: Progress = silent,
    *,
    scene: Scene | None = None,
    model: ModelAdapter | None = None,
) -> Prepared:
    """Find everybody's poses and all else that is to be known before the frames are made.

    Inputs need not be files: `Reference` and `Driving` may be made of arrays and cues.

    Args:
        character, clip: of `open_reference` and `open_driving`.
        scene: None: that of the options (`open_scene`).
        model: None: that of the options (`open_model`).

    Raises:
        BunrakuError: nobody in the reference or in any driving frame (names which), or something that does not go together.
    """
    scene = scene or open_scene(options, clip)
    model = model or open_model(options, clip, report)
    character = composed(character, options)
    canvas = model.canvas(character.size, scene.size)
    views = [_placed_view(view, canvas.size, model, options) for view in character.views] if model.several else []
    if character.views and not model.several:
        logger.warning("%s looks at one picture of a character: --view has no effect", options.model)
    cast, own_pose = None, None
    if _several(clip, model, options):
        cast = perceive_cast(character, clip, options, report)
        own_pose, cues, numbers = cast.moved, cast.cues, cast.numbers
    else:
        numbers = [options.reference_person]
        own_pose = _own_pose(character, clip, model, options)
        cues = clip.followed(
            options, longest_side=max(canvas.size), on_frame=lambda done, total: report("perceive", done, total)
        )
    cues = scene.of(cues, clip.pictures, lambda done, total: report("cut out", done, total))
    poses, order = canvas.poses(cues, own_pose, options.retargeting), None
    if options.refine and own_pose is not None:
        poses = _mended(poses, canvas.track(own_pose), model)
    if cast is not None and isinstance(poses, PoseTrack):
        # who stays, stays in the still, as far as a mask shows him; else he is a part of its background
        stay = [
            i for i, number in enumerate(cast.still_numbers) if scene.kind == "reference" and character.shows(number)
        ]
        cast = replace(cast, still=cast.still.chosen(stay), still_numbers=[cast.still_numbers[i] for i in stay])
        own_pose, numbers = together([cast.moved, cast.still]), [*numbers, *cast.still_numbers]
        poses = together([poses, canvas.track(cast.still).repeated(len(poses))])
        order = depth_order(cast, poses, options.order) if poses.people > 1 else None
    return Prepared(
        character, clip, model, canvas, cues, own_pose, poses, character.matte_of(numbers), scene.backdrop(cues, poses, canvas.driving_mode), order, views
    )  # fmt: skip


def _mended(poses: PoseTrack | np.ndarray, own: PoseTrack, model: ModelAdapter) -> PoseTrack | np.ndarray:
    """Poses on the canvas without what detectors and retargeting got wrong; `own`: those of the still there."""
    from bunraku.weights.loading import mended  # imports torch, which takes seconds

    return mended(poses, own, model.refiner)


def _placed_view(view: Reference, size: tuple[int, int], model: ModelAdapter, options: AnimateOptions) -> View:
    """A further picture of the character, whole on a canvas of `size`, and its pose there where the model has a use for it."""
    canvas = choose_canvas(view.size, size, any_size=False, size=size)
    pose = None
    if model.reference_pose != "unused":
        try:
            pose = canvas.track(view.pose(replace(options, reference_person=0)))
        except BunrakuError as error:
            logger.warning("%s; the model goes on without it", error)
    return canvas.picture(view.image), pose


def animate(
    reference: str | Path | Reference,
    driving: str | Path | Driving,
    output: str | Path,
    options: AnimateOptions = AnimateOptions(),
    on_progress: Progress | None = None,
    on_frames: Watch | None = None,
    *,
    pipeline: "AnimationPipeline | None" = None,
    share: Share = ALONE,
) -> Animation:
    """Animate the character of a picture with the motion of a clip, and write the video.

    What can be wrong is found first: files, options, then the model, then the pose of the reference, then the driving
    poses. A pose of the reference that is doubtful is shown in a picture beside the output, OUTPUT.doubtful-pose.png. Results are written
    chunk by chunk under temporary names; nothing but that picture and the debug pictures is left of a run that fails or is interrupted, and
    an existing output stays as it was.

    Args:
        reference: a picture of one character (or several, for models that move several), any format of Pillow's, at least 32 px; or
            one that is open, with the poses that are known of it.
        driving: anything `open_driving` takes, or what is open, with the cues that are known of it.
        output: .mp4 .mov .mkv .webm .gif .webp, a folder for PNG frames (no extension), or a pattern such as out/%04d.png.
        on_progress: told how far everything is. An exception that it raises ends the run, of which nothing is left.
        on_frames: shown frames as early as there are any; may raise too.
        pipeline: see `open_model`.
        share: of this process, where several animate the same clip with the same arguments; the first one writes.

    Raises:
        BunrakuError: input that cannot be used, nobody in the reference or in any driving frame (names which), a full disk,
            a prediction that is not finite.
    """
    output = Path(output)
    report, seconds = on_progress or silent, dict[str, float]()
    character, clip, scene = check_animation(reference, driving, output, options)
    character = replace(character, doubtful=(_frames_folder(output) or output).absolute().with_suffix(DOUBTFUL))
    if options.state and share.size > 1:
        logger.warning("several workers make this clip: --state has no effect")
        options = replace(options, state=None)
    with _timed(seconds, "load"):
        model = open_model(options, clip, report, pipeline)
    with _timed(seconds, "perceive"):
        prepared = prepare(character, clip, options, report, scene=scene, model=model)
    with _timed(seconds, "animate"):
        if share.rank:
            deque(prepared.frames(report, share=share), maxlen=0)  # the first process has them too, and writes
        else:
            if options.debug:
                _write_debug_pictures(options.debug, prepared, options)
            _write(prepared, output, options, report, on_frames, share)
            if options.state and model.keeps_state:
                options.state.unlink(missing_ok=True)
    return Animation(
        output, len(clip), prepared.cues.fps, prepared.canvas.output_size, options.model, model.device, model.dtype, options.seed,
        clip.kind, seconds, options.sheet, options.side_by_side, options.debug,
    )  # fmt: skip


def check_animation(
    reference: str | Path | Reference, driving: str | Path | Driving, output: Path, options: AnimateOptions
) -> tuple[Reference, Driving, Scene]:
    """Open all that an animation reads and look whether it can write; nothing slow happens. Arguments as of `animate`.

    Raises:
        BunrakuError: input that cannot be used, or output that cannot be written.
    """
    check_model(options.model)
    character = reference if isinstance(reference, Reference) else open_reference(reference, options)
    if options.mask:
        character = replace(character, matte=read_mattes(options.mask, character.size))
    clip = driving if isinstance(driving, Driving) else open_driving(driving, options)
    if options.pairs and not clip.has_keypoints:
        raise BunrakuError(f"the drawn skeletons of {clip.path} are nobody in particular: --pairs needs keypoints")
    scene = open_scene(options, clip)
    masks = [path for path in (options.mask, scene.path) if path]
    _check_outputs([*character.files, *masks, *clip.files], output, options)
    return character, clip, scene


def _write_debug_pictures(folder: Path, prepared: Prepared, options: AnimateOptions) -> None:
    cues, poses = prepared.cues, prepared.poses
    method = "off" if prepared.own_pose is None or cues.pose is None else options.retargeting
    skeletons = skeleton_frames(
        prepared.clip, cues, prepared.picture, prepared.placed_pose, {method: poses}, moments(len(cues))
    )
    size, model = prepared.canvas.size, prepared.model
    conditions = model.conditions(
        prepared.picture, poses, prepared.placed_pose, size, prepared.backdrop, prepared.order
    )
    write_debug_pictures(folder, skeletons, model.temperatures(poses, size), conditions)


def _write(
    prepared: Prepared, output: Path, options: AnimateOptions, report: Progress, on_frames: Watch | None, share: Share
) -> None:
    """The video, and beside it the side-by-side video and the sheet that were asked for."""
    clip, size = prepared.clip, prepared.canvas.output_size
    comparison = Comparison(prepared.character.image, clip, prepared.poses, prepared.model.skeleton, prepared.canvas)
    settings: dict[str, Any] = {"fps": prepared.cues.fps, "overwrite": options.overwrite}
    alpha = options.scene == "transparent"
    if options.audio and clip.sound:
        settings |= {"audio_from": clip.sound, "audio_start": clip.sound_start}
    with ExitStack() as stack:
        video = stack.enter_context(VideoWriter(output, size=size, alpha=alpha, **settings))
        panels = None
        for chunk in prepared.frames(report, on_frames, share):
            if on_frames:
                on_frames(video.frames, chunk)
            for frame in chunk:
                video.write(frame)
            report("write", video.frames, len(clip))
            if options.sheet or options.side_by_side:
                joined = comparison.add(np.stack([over(frame, GROUND) for frame in chunk]) if alpha else chunk)
            if options.side_by_side:
                panels = panels or stack.enter_context(
                    VideoWriter(options.side_by_side, size=joined.shape[1:3], **settings)
                )
                for frame in joined:
                    panels.write(frame)
    if options.sheet:
        write_image(options.sheet, comparison.sheet())


def _guessed(on_frames: Watch, canvas: Canvas, number: int, frames: np.ndarray) -> None:
    """Frames of a canvas that may be smaller, as the output shows them."""
    on_frames(number, canvas.cut(resize(frames, canvas.size)))


def _check_outputs(inputs: list[Path], output: Path, options: AnimateOptions) -> None:
    outputs = [path.absolute() for path in (output, options.side_by_side, options.sheet, options.debug) if path]
    videos = [path.absolute() for path in (output, options.side_by_side) if path]
    folders = [folder for path in videos if (folder := _frames_folder(path))]
    for path in outputs:
        own = _frames_folder(path)
        shared = folders.count(own) > 1 if own else path.suffix.lower() == ".png" and path.parent in folders
        if shared or outputs.count(path) > 1:
            raise BunrakuError(
                f"{path} is given for two outputs, or lies among the frames of another; write it elsewhere"
            )
    check_video_output(output, inputs, overwrite=options.overwrite, alpha=options.scene == "transparent")
    if options.side_by_side:
        check_video_output(options.side_by_side, inputs, overwrite=options.overwrite)
    if options.sheet:
        if options.sheet.suffix.lower() not in IMAGE_SUFFIXES:
            raise BunrakuError(f"cannot write {options.sheet}: a sheet is a picture, {', '.join(IMAGE_SUFFIXES)}")
        check_output(options.sheet, inputs)
    if options.state:
        if options.state.is_dir():
            raise BunrakuError(f"{options.state} is a folder; --state takes a file, which may be new")
        if options.state.absolute() in outputs:
            raise BunrakuError(f"{options.state} is also an output; --state is a file of its own")
        check_output(options.state, inputs)
    if options.debug:
        if options.debug.exists() and not options.debug.is_dir():
            raise BunrakuError(f"{options.debug} is a file; --debug takes a folder, which may be new")
        pictures = [options.debug / f"{name}.png" for name in DEBUG_PICTURES]
        if twice := [path for path in pictures if path.absolute() in outputs]:
            raise BunrakuError(f"{twice[0]} is also a picture of --debug; choose another output name")
        for picture in pictures if options.debug.is_dir() else [options.debug]:
            check_output(picture, inputs)
        check_free(pictures, options.overwrite)


def _frames_folder(output: Path) -> Path | None:
    """The folder of the frames that a folder or pattern stands for."""
    if not output.suffix:
        return output
    return output.parent if re.search(r"%0?\d*d\b.*\.png$", output.name, re.IGNORECASE) else None


def _several(clip: Driving, model: ModelAdapter, options: AnimateOptions) -> bool:
    """Whether several characters may be moved.

    Raises:
        BunrakuError: the model cannot, and the options ask for it.
    """
    if options.pairs and model.people == 1:
        raise BunrakuError(
            f"{options.model} moves one character: choose it and its driver with --reference-person and --person; --pairs is for "
            "puppet-warp and models of recipe multi-character"
        )
    if options.references and model.people == 1:
        raise BunrakuError(
            f"{options.model} moves one character: leave --reference out (--view gives further pictures of the same), or take puppet-warp or a "
            "model of recipe multi-character"
        )
    placed = model.reference_pose == "needed" or options.retargeting != "off"
    return model.people > 1 and clip.has_keypoints and placed


def _own_pose(character: Reference, clip: Driving, model: ModelAdapter, options: AnimateOptions) -> PoseTrack | None:
    """The reference's pose; where neither retargeting nor the model needs it, nobody found is no error."""
    if model.reference_pose == "needed" or (clip.has_keypoints and options.retargeting != "off"):
        return character.pose(options)
    if model.reference_pose == "unused":
        return character.known_pose(options)
    try:
        return character.pose(options)
    except BunrakuError as error:
        logger.warning("%s; the model goes on without it", error)
        return None


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 2)
