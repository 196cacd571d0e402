"""What people look at beside the result: skeletons before a long run, what goes on inside, and everything side by side."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from bunraku.animate.canvas import Canvas, choose_canvas
from bunraku.animate.cast import perceive_cast
from bunraku.animate.compose import composed
from bunraku.animate.driving import Driving, open_driving
from bunraku.animate.models import WindowTemperature
from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import Reference, open_reference
from bunraku.cues.cues import Cues
from bunraku.cues.drawn import DRAWN, Drawn
from bunraku.cues.perceive import SEEN
from bunraku.cues.retarget import Retarget
from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.temperature import draw_temperature
from bunraku.cues.tracking import MIN_JOINTS
from bunraku.errors import BunrakuError
from bunraku.media import (
    VideoWriter,
    check_output,
    check_video_output,
    contact_sheet,
    resize,
    side_by_side,
    write_image,
)
from bunraku.media.images import IMAGE_SUFFIXES
from bunraku.media.writer import VIDEO_SUFFIXES
from bunraku.perception.pose import BODY, PoseTrack
from bunraku.progress import Progress, silent

logger = logging.getLogger(__name__)

METHODS: tuple[Retarget, ...] = ("grounded", "align", "off")
"""Drawn unless others are asked for: what `animate` does, Animate Anyone's, and what would be without."""

STILLS = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in VIDEO_SUFFIXES)
CONDITIONS = tuple(name for name in DRAWN if name not in ("pose", "instances"))
"""What --debug draws beside the skeletons, where the model is shown it."""

DEBUG_PICTURES = ("skeletons", "temperature", *CONDITIONS)
MOMENTS = 5  # of a clip on a sheet of skeletons
SHEET_COLUMNS = 8
HEIGHT = 320  # of a panel with skeletons
PEOPLE_HEIGHT = 640  # of the picture that numbers the people
PANEL_HEIGHT = 256  # least height of the side-by-side video
DIMMED = 0.35  # of the reference's brightness under a pose that is not its own


@dataclass(frozen=True)
class Retargeting:
    """What `draw_retargeting` made: `frames` of the clip are drawn; `size` is (height, width) of the picture or video."""

    output: Path
    frames: int
    fps: Fraction
    size: tuple[int, int]
    methods: tuple[Retarget, ...]
    driving: str


def draw_retargeting(
    reference: str | Path,
    driving: str | Path,
    output: str | Path,
    methods: Sequence[Retarget] = METHODS,
    options: MotionOptions = MotionOptions(),
    on_progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Retargeting:
    """Draw the driver's pose, the reference's, and the driver's as each method brings it onto the reference.

    Args:
        reference: a picture of one character.
        driving: anything with keypoints that `open_driving` takes.
        output: a picture (.png .jpg .bmp .tif), which shows a few moments of the clip one above the other, or anything that
            `VideoWriter` takes, which shows all frames.
        methods: as `AnimateOptions.retarget`.
        on_progress: called with "perceive" or "draw", how many frames are done, and how many there are.
        overwrite: whether pictures that a folder for frames holds may be replaced.

    Raises:
        BunrakuError: input that cannot be used, a clip without keypoints, nobody in the reference or in any driving frame.
    """
    output, report = Path(output), on_progress or silent
    if unknown := [method for method in methods if method not in get_args(Retarget)]:
        raise BunrakuError(f"unknown retargeting {unknown[0]!r}; there are {', '.join(get_args(Retarget))}")
    still = _is_still(output)
    character = open_reference(reference, options)
    clip = open_driving(driving, options)
    inputs = [*character.files, *clip.files]
    if still:
        check_output(output, inputs)
    else:
        check_video_output(output, inputs, overwrite=overwrite)
    if not clip.has_keypoints:
        raise BunrakuError(
            f"the drawn skeletons of {driving} have no keypoints to retarget; give footage, OpenPose JSON, BVH or cues"
        )
    chosen = moments(len(clip)) if still else range(len(clip))
    cues, drawn = retargeted_frames(character, clip, chosen, methods, options, report)
    size = _write_sheet(output, drawn) if still else _write_video(output, drawn, cues.fps, overwrite)
    return Retargeting(output, len(chosen), cues.fps, size, tuple(methods), clip.kind)


def retargeted_frames(
    character: Reference,
    clip: Driving,
    frames: Sequence[int],
    methods: Sequence[Retarget] = METHODS,
    options: MotionOptions = MotionOptions(),
    report: Progress = silent,
) -> tuple[Cues, Iterator[np.ndarray]]:
    """The drivers' cues, and the pictures of `draw_retargeting` for the frames of these numbers, uint8 (H, W, 3)."""
    character = composed(character, options)
    cast = perceive_cast(character, clip, options, report)
    own, cues = cast.moved, cast.cues
    canvas = choose_canvas(character.size, character.size, any_size=False)  # the picture itself
    motions = {method: canvas.poses(cues, own, method) for method in methods}

    def drawn() -> Iterator[np.ndarray]:
        for done, frame in enumerate(skeleton_frames(clip, cues, character.image, own, motions, frames), 1):
            report("draw", done, len(frames))
            yield frame

    return cues, drawn()


def draw_people(clip: Driving, cues: Cues) -> np.ndarray:
    """The first of the frames in which most people are seen, with everybody's skeleton and number, uint8 (H, W, 3).

    The numbers are those of --person.

    Raises:
        BunrakuError: cues without keypoints.
    """
    if cues.pose is None:
        raise BunrakuError(f"{cues.source} is drawn already: it has no people to be numbered")
    seen = (cues.pose.scores[:, :, BODY] >= SEEN).sum(-1) >= MIN_JOINTS  # F P
    number = int(seen.sum(1).argmax())
    black = np.zeros((*_panel(cues.size, PEOPLE_HEIGHT), 3), np.uint8)
    picture = next(islice(clip.footage(PEOPLE_HEIGHT), number, None), black)
    return _stamped(numbered(picture, cues.pose[[number]]), f"frame {number}")


def numbered(picture: np.ndarray, poses: PoseTrack) -> np.ndarray:
    """A picture, uint8 (H, W, 3), with the skeletons of everybody, (1, P, K), and the number of each over the head."""
    result = _over(picture, poses)
    track = poses.scaled(picture.shape[:2])
    for person in range(track.people):
        seen = (track.scores[0, person, BODY] >= SEEN).nonzero()[0]
        if len(seen):
            points = track.keypoints[0, person, seen]
            x, y = points[points[:, 1].argmin()].round().astype(int).tolist()
            at = int(np.clip(x - 8, 2, picture.shape[1] - 20)), int(np.clip(y - 12, 24, picture.shape[0] - 4))
            for colour, thickness in ((0, 6), (255, 2)):
                cv2.putText(
                    result, str(person), at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (colour,) * 3, thickness, cv2.LINE_AA
                )
    return result


def moments(frames: int) -> list[int]:
    """A few frames, evenly spread from the first to the last."""
    return sorted({round(i * (frames - 1) / (MOMENTS - 1)) for i in range(MOMENTS)})


def skeleton_frames(
    clip: Driving,
    cues: Cues,
    picture: np.ndarray,
    own: PoseTrack | None,
    motions: Mapping[Retarget, PoseTrack | np.ndarray],
    frames: Sequence[int],
) -> Iterator[np.ndarray]:
    """The driver, the reference and its retargeted poses side by side, uint8 (H, W, 3), for each of the frames.

    Args:
        clip, cues: the driver or drivers, who where there are several have the number of their character; their skeleton lies over its picture, or over black where the clip has none.
        picture: the reference, uint8 (h, w, 3).
        own: the pose of the reference, (1, 1, K) in pixels of the picture.
        motions: by method, the poses (F, 1, K) or drawn skeletons uint8 (F, h, w, 3) in pixels of the picture.
        frames: numbers in ascending order.
    """
    picture = resize(picture, _panel(picture.shape[:2]))
    reference = picture if own is None else _over_all(picture, own)
    dimmed = (picture * DIMMED).astype(np.uint8)
    driver: PoseTrack | np.ndarray = cues.skeleton if cues.pose is None else cues.pose  # type: ignore[assignment]
    pictures = chain(clip.footage(HEIGHT), repeat(np.zeros((*_panel(cues.size), 3), np.uint8)))
    for number, shown in zip(range(frames[-1] + 1), pictures):
        if number in frames:
            panels = {"driver": _stamped(_over_all(shown, driver[[number]]), str(number)), "reference": reference}
            panels |= {f"retarget: {method}": _over(dimmed, poses[[number]]) for method, poses in motions.items()}
            yield side_by_side(panels)[0]


def write_debug_pictures(
    folder: Path,
    skeletons: Iterator[np.ndarray],
    temperatures: Sequence[WindowTemperature],
    conditions: Mapping[str, Drawn],
) -> None:
    """Write skeletons.png, temperature.png where there are maps, and a picture of each condition that the model is shown; an older picture
    that this run has not is warned of."""
    pictures = {"skeletons": np.concatenate(list(skeletons))}
    pictures |= {name: _moments_of(drawn) for name, drawn in conditions.items() if name in CONDITIONS}
    if temperatures:
        pictures["temperature"] = _temperature_sheet(temperatures)
    folder.mkdir(exist_ok=True)
    for name in DEBUG_PICTURES:
        if name in pictures:
            write_image(folder / f"{name}.png", pictures[name])
        elif (folder / f"{name}.png").exists():
            logger.warning("%s was there before and stays, though it shows nothing of this run", folder / f"{name}.png")


class Comparison:
    """Reference, driving frames, poses and results beside each other, chunk by chunk, and a few kept for a sheet.

    Args:
        image: the reference, uint8 (H, W, 3).
        clip: the driver.
        poses: that the model is given: keypoints (F, 1, K) or drawn skeletons uint8 (F, H, W, 3) on the canvas.
        skeleton: how keypoints are drawn: arguments of `draw_skeleton`.
        canvas: of poses and results.
    """

    def __init__(
        self,
        image: np.ndarray,
        clip: Driving,
        poses: PoseTrack | np.ndarray,
        skeleton: Mapping[str, Any],
        canvas: Canvas,
    ) -> None:
        self._image, self._poses, self._skeleton, self._canvas = image, poses, skeleton, canvas
        self._height = max(PANEL_HEIGHT, canvas.output_size[0])
        self._driving = clip.footage(self._height)
        self._columns = np.unique(np.linspace(0, len(poses) - 1, SHEET_COLUMNS).round().astype(int))
        self._kept: dict[str, list[np.ndarray]] = {}
        self._done = 0

    def add(self, results: np.ndarray) -> np.ndarray:
        """The next results, (f, H, W, 3), with what belongs to them at their side."""
        part = slice(self._done, self._done + len(results))
        driving = list(islice(self._driving, len(results)))
        poses = self._poses[part]
        drawn = draw_skeleton(poses, **self._skeleton) if isinstance(poses, PoseTrack) else poses
        rows = {"driving": np.stack(driving)} if driving else {}
        rows |= {"pose": self._canvas.cut(drawn), "result": results}
        for column in self._columns[(self._columns >= part.start) & (self._columns < part.stop)]:
            for label, frames in rows.items():
                self._kept.setdefault(label, []).append(frames[column - part.start])
        self._done = part.stop
        return side_by_side({"reference": self._image, **rows}, height=self._height)

    def sheet(self) -> np.ndarray:
        """The reference and a few moments of the clip, row by row."""
        rows = {"reference": self._image} | {label: np.stack(frames) for label, frames in self._kept.items()}
        return contact_sheet(rows, SHEET_COLUMNS)


def _moments_of(drawn: Drawn) -> np.ndarray:
    """A few frames of a condition side by side."""
    frames = moments(len(drawn))
    pictures = (_enlarged(drawn[[i]][0][..., :3]) for i in frames)
    return side_by_side({str(i): picture for i, picture in zip(frames, pictures)})[0]


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture enlarged in whole pixels to at least the height of a panel, so that the edges of regions stay sharp."""
    enlarged = -(-PANEL_HEIGHT // picture.shape[0])
    return picture.repeat(enlarged, 0).repeat(enlarged, 1)


def _is_still(output: Path) -> bool:
    suffix = output.suffix.lower()
    if suffix and suffix not in (*STILLS, *VIDEO_SUFFIXES):
        raise BunrakuError(
            f"cannot write {output}: neither a picture ({' '.join(STILLS)}) nor a video ({' '.join(VIDEO_SUFFIXES)}, or a folder)"
        )
    return suffix in STILLS and "%" not in output.name  # a pattern is for all frames


def _panel(size: tuple[int, int], height: int = HEIGHT) -> tuple[int, int]:
    return height, max(1, round(size[1] * height / size[0]))


def _over(picture: np.ndarray, pose: PoseTrack | np.ndarray) -> np.ndarray:
    """One pose, (1, P, K) or drawn (1, h, w, 3), on a picture of the same aspect ratio.

    Drawn at twice the size and reduced: fingers are smaller than a pixel's steps.
    """
    height, width = picture.shape[:2]
    fine = 2 * height, 2 * width
    drawn = (
        draw_skeleton(pose, fine, style="dwpose", line_width=3) if isinstance(pose, PoseTrack) else resize(pose, fine)
    )
    return resize(np.where(drawn[0].any(-1, keepdims=True), drawn[0], resize(picture, fine)), (height, width))


def _over_all(picture: np.ndarray, pose: PoseTrack | np.ndarray) -> np.ndarray:
    """As `_over`, with numbers where there are several people."""
    return numbered(picture, pose) if isinstance(pose, PoseTrack) and pose.people > 1 else _over(picture, pose)


def _stamped(picture: np.ndarray, text: str) -> np.ndarray:
    """White on black in the lower left corner, to be read on any picture."""
    stamped = picture.copy()
    for colour, thickness in ((0, 4), (255, 1)):
        at = (8, picture.shape[0] - 10)
        cv2.putText(stamped, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (colour,) * 3, thickness, cv2.LINE_AA)
    return stamped


def _temperature_sheet(maps: Sequence[WindowTemperature]) -> np.ndarray:
    """Window beside window in one scale of brightness."""
    from bunraku.pipeline import frame_ranges

    hottest = max(temperature.max() for _, _, temperature in maps)
    panels = {}
    for frames, drawn, temperature in maps:
        panel = _enlarged(draw_temperature(temperature, drawn, hottest))
        panels[f"frames {frame_ranges(frames)}, T up to {temperature.max():.2f}"] = panel
    return side_by_side(panels)[0]


def _write_sheet(output: Path, frames: Iterator[np.ndarray]) -> tuple[int, int]:
    sheet = np.concatenate(list(frames))
    write_image(output, sheet)
    return sheet.shape[:2]


def _write_video(output: Path, frames: Iterator[np.ndarray], fps: Fraction, overwrite: bool) -> tuple[int, int]:
    first = next(frames)
    with VideoWriter(output, fps=fps, size=first.shape[:2], overwrite=overwrite) as video:
        for frame in chain([first], frames):
            video.write(frame)
    return video.size
