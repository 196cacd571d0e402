"""The scene that the character is put into: the still's own, the driver's, another picture or video, or none at all."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from bunraku.animate.canvas import Mode, continued
from bunraku.animate.driving import Driving
from bunraku.animate.options import AnimateOptions
from bunraku.animate.still import is_still
from bunraku.cues.character_region import body_masks
from bunraku.cues.cues import Cues
from bunraku.cues.in_hand import Carried, InHand, carried, hands_apart, in_hand
from bunraku.cues.layers import COVERED, RIM, from_first, perceive_layers
from bunraku.cues.shape_mask import bridge_mattes, vanished
from bunraku.cues.structured_depth import carry_depth
from bunraku.errors import BunrakuError
from bunraku.media import Frames, FramesByNumber, fit, open_frames, placement, read_image, resize
from bunraku.media.frames import Pictures, Remembered
from bunraku.perception.camera import camera_motion
from bunraku.perception.matte import create_footage_segmenter
from bunraku.perception.plate import fill, grown, laid
from bunraku.perception.pose import BODY, SEEN, PoseTrack
from bunraku.puppet_warp import TRANSPARENT

logger = logging.getLogger(__name__)

SceneKind = Literal["reference", "driving", "transparent", "pictures"]
SCENES = ("reference", "driving", "transparent")
"""Scenes that are words; any other is a picture or video."""
AREAS = ("mattes", "objects", "depth", "hole")
"""Maps that are pictures of a frame."""
LOST = 0.5  # seconds for which a matte that is lost is bridged
GLANCES, GLANCE = 6, 256  # frames in which a moving camera is looked for, and their longest side
PANNED = 0.03  # of the longest side, that a camera moves before it is worth a word
STILL = 0.005  # of the longest side: poses nearer than this are where the driver's are
RING, OTHER = (
    0.03,
    30,
)  # how far round the hole the plate must show what the frame does, and by how many levels it may differ
SOFT = 0.004  # of the longest side: sigma of the seam between plate and frame


@dataclass(frozen=True)
class Scene:
    """A scene that was opened and found usable; nothing slow has happened yet.

    Attributes:
        kind: "reference": the still's background; "driving": the driver's; "transparent": none; "pictures": others.
        pictures: the driver's frames, or the others: one, or one per driven frame.
        size: (height, width) of the driver's scene, which the character comes into; None: the scene comes to the character.
    """

    kind: SceneKind
    pictures: Pictures | None = None
    size: tuple[int, int] | None = None
    path: Path | None = None

    def backdrop(self, cues: Cues, poses: PoseTrack | np.ndarray, mode: Mode = "crop") -> "Backdrop | None":
        """What `ModelAdapter.stream` is given; None: the still's own background.

        Args:
            cues: from `of`.
            poses: what the character follows, on the canvas: things in hand go along with its hands.
            mode: how the driver's scene is brought onto the canvas.
        """
        if self.kind == "driving":
            assert cues.pixels is not None
            pixels, things = Remembered(cues.pixels), _held(cues, poses, mode)
            cues = replace(cues, pixels=pixels)
            ground = Remembered(Emptied(cues, things))
            behind = Carried(ground, pixels, things, whole=True) if things else ground
            return Backdrop(behind, carried(cues, things, ground), mode)
        if self.kind == "transparent":
            return Backdrop(TRANSPARENT)
        if self.pictures is None:
            return None
        return Backdrop(self.pictures[[0]][0] if len(self.pictures) == 1 else self.pictures)

    def of(self, cues: Cues, frames: Frames | None, on_frame: Callable[[int, int], None] | None = None) -> Cues:
        """The driver's cues with pixels and what the scene needs of mattes, camera and plate; perceived where they do not have them.

        Args:
            cues: of the one person to replace.
            frames: the same frames, to perceive them in.

        Raises:
            BunrakuError: the driver is cut out of no frame, or the frames are not those of the cues.
        """
        if self.kind != "driving":
            if self.kind != "transparent" and (self.pictures is None or len(self.pictures) == 1):
                _tell_camera(cues, frames)
            return cues
        if self.size != cues.size:
            raise BunrakuError(
                f"the cues are of frames of {cues.size[1]}x{cues.size[0]} px, and {cues.source} has {self.size[1]}x{self.size[0]} px now; make "  # type: ignore[index]
                "them again with `bunraku perceive`"
            )
        if frames is not None and not ("mattes" in cues.maps and cues.plate is not None):
            cues = perceive_layers(cues, frames, create_footage_segmenter(), on_frame=on_frame)
        longest = round(LOST * cues.fps)
        mattes = np.stack([bridge_mattes(one, longest) for one in cues.maps["mattes"].swapaxes(0, 1)], 1)
        cues = replace(cues, maps=cues.maps | {"mattes": mattes}, pixels=self.pictures)
        _tell_lost(cues)
        if cues.pose is None:
            return cues
        # limbs that a matte has lost would stay in the scene
        whole = np.maximum(mattes, np.uint8(255) * body_masks(cues.pose, mattes.shape[2:]))
        return replace(cues, maps=cues.maps | {"mattes": whole})


def open_scene(options: AnimateOptions, clip: Driving) -> Scene:
    """What `--scene` says, checked.

    Raises:
        BunrakuError: the driver has no pictures, or there is no such picture or video, or it is too short.
    """
    name = str(options.scene)
    if name in ("reference", "transparent"):
        return Scene(name)  # type: ignore[arg-type]
    if name == "driving":
        frames = clip.pictures
        if frames is None:
            raise BunrakuError(
                f"--scene driving needs the pictures of the driver, and {clip.path} has none; drive with the footage itself"
            )
        return Scene("driving", FramesByNumber(frames), (frames.size[0], frames.size[1]))
    path = Path(name)
    if not path.exists():
        raise BunrakuError(f"there is no {path} (--scene); give reference, driving, transparent, or a picture or video")
    if is_still(path):
        return Scene("pictures", read_image(path)[None], path=path)
    footage = FramesByNumber(open_frames(path, fps=options.fps))
    if len(footage) < len(clip):
        raise BunrakuError(
            f"the scene {path} has {len(footage)} frames, the motion {len(clip)}; give a longer one (--scene), or fewer frames of the "
            "motion (--start, --stop)"
        )
    return Scene("pictures", FirstFrames(footage, len(clip)), path=path)


def _tell_lost(cues: Cues) -> None:
    """Say in which frames driver or things are not found; raise BunrakuError where the driver never is."""
    there: np.ndarray = np.asarray((cues.maps["mattes"] >= 128).any((1, 2, 3)))
    posed = there if cues.pose is None else np.asarray((cues.pose.scores[..., BODY] >= SEEN).any((1, 2)))
    look = "look with `bunraku perceive --matte --debug`, or give masks (`bunraku perceive --mask`)"
    if not there.any():
        raise BunrakuError(f"nobody is cut out of any frame of {cues.source}, so that nobody can be replaced; {look}")
    _tell(
        posed & ~there, "no matte of the driver in frames %s of %s: whoever is there stays in the scene; " + look, cues
    )
    _tell(~posed & ~there, "the driver is out of the picture in frames %s of %s, and so is the character", cues)
    if (objects := cues.maps.get("objects")) is not None:
        lost = np.asarray(~(objects >= 128).any((1, 2)))
        _tell(
            lost, "the thing in hand is not found in frames %s of %s: nothing is in front of the character there", cues
        )


def _tell(frames: np.ndarray, message: str, cues: Cues) -> None:
    """Warn of some frames, bool (F,), if there are any."""
    if frames.any():
        ranges = (str(a) if b - a == 1 else f"{a}-{b - 1}" for a, b in vanished(~frames[:, None, None]))
        logger.warning(message, ", ".join(ranges), cues.source)


def _tell_camera(cues: Cues, frames: Frames | None) -> None:
    """Warn where the driver's camera moves and the background does not."""
    camera = cues.maps.get("camera")
    steps = list(camera[:-1]) if camera is not None else _glances(cues, frames)
    corners = np.array([(0, 0, 1), (cues.size[1], 0, 1), (0, cues.size[0], 1), (cues.size[1], cues.size[0], 1)], float)
    way, farthest = np.eye(3), 0.0
    for step in steps:
        if np.isfinite(step).all():
            way = step @ way
        seen = corners @ way.T
        farthest = max(farthest, float(np.linalg.norm(seen[:, :2] / seen[:, 2:] - corners[:, :2], axis=1).max()))
    if farthest > PANNED * max(cues.size):
        logger.warning(
            "the camera of %s moves, and the background of the still does not: the character will slide over it; --scene driving keeps them "
            "together", cues.source,
        )  # fmt: skip


def _glances(cues: Cues, frames: Frames | None) -> list[np.ndarray]:
    """How the camera moves between some frames of footage, in pixels of the clip; nothing where there is no footage."""
    if frames is None or cues.pose is None or len(cues) < 2:
        return []
    numbers = np.unique(np.linspace(0, len(cues) - 1, GLANCES).round().astype(int)).tolist()
    size = (round(frames.size[0] * GLANCE / max(frames.size)), round(frames.size[1] * GLANCE / max(frames.size)))
    seen = [resize(image, size) for image in FramesByNumber(frames)[numbers]]  # type: ignore[arg-type]
    hidden: np.ndarray = np.asarray(body_masks(cues.pose[numbers], size).any(1))
    scale = np.diag([cues.size[1] / size[1], cues.size[0] / size[0], 1])
    found = [camera_motion(a, b, p | q) for a, b, p, q in zip(seen, seen[1:], hidden, hidden[1:])]
    return [scale @ motion @ np.linalg.inv(scale) for motion in found if motion is not None]


def _held(cues: Cues, poses: PoseTrack | np.ndarray, mode: Mode) -> list[InHand]:
    """The driver's things that go along with the character's hands, whose poses are given on a canvas."""
    objects = cues.maps.get("objects")
    if objects is None or cues.pose is None or not isinstance(poses, PoseTrack):
        return []
    figures = cues.maps["mattes"].max(1) > COVERED
    figures = np.stack([cv2.resize(one.astype(np.uint8), objects.shape[:0:-1]) > 0 for one in figures])
    there = placement(cues.size, poses.size, mode)
    points = (poses.keypoints - np.array(there.offset, np.float32)) / np.array(there.scale, np.float32)
    own = PoseTrack(points, poses.scores, cues.size)
    things = in_hand(objects, figures, cues.pose, own, float(cues.fps))
    if not things and hands_apart(cues.pose, own, float(cues.fps)):
        logger.warning(
            "no hand holds what is named of %s through most of the clip: it stays where the driver has it, and the character's hands may miss it; "
            "--retarget off gives the character the driver's proportions", cues.source,
        )  # fmt: skip
    return things


@dataclass(frozen=True)
class FirstFrames:
    """The first frames of longer footage."""

    pictures: Pictures
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        return self.pictures[frames]


class Emptied:
    """The driver's frames without the driver, drawn when they are asked for: its place shows the plate, moved as the camera moved.

    Everything else stays as it is in each frame: others who move, shadows, light.

    Args:
        cues: with pixels, mattes and plate.
        things: what goes as well.
    """

    def __init__(self, cues: Cues, things: Sequence[InHand] = ()) -> None:
        assert cues.pixels is not None and cues.plate is not None  # noqa: PT018
        self._pixels, self._plate, self._cues, self._things = cues.pixels, cues.plate, cues, things
        camera, placed = cues.maps.get("camera"), cues.maps.get("from_plate")
        self._ways: Sequence[np.ndarray | None] = [np.eye(3)] * len(cues)
        if placed is not None:
            self._ways = [way if np.isfinite(way).all() else None for way in placed]
        elif camera is not None:
            self._ways = from_first([None if np.isnan(step).any() else step for step in camera[:-1]])

    def __len__(self) -> int:
        return len(self._cues)

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        return np.stack([self._emptied(i, image) for i, image in zip(frames, self._pixels[list(frames)])])

    def _emptied(self, number: int, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        gone = [self._cues.maps["mattes"][number].max(0), *(thing.seen[number] for thing in self._things)]
        hidden = [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) > COVERED for one in gone]
        hole = grown(np.logical_or.reduce(hidden), RIM)
        filled, way = fill(image, hole, near=True), self._ways[number]
        if way is not None:
            shown, known = self._seen_plate(way, (height, width))
            round_it = grown(hole, RING) & ~hole & known
            if round_it.any() and np.abs(shown[round_it].astype(int) - image[round_it]).mean() < OTHER:
                filled = laid(image, hole, np.where(known[..., None], shown, filled))
        # the seam lies outside of the hole's rim, where plate and frame show the same
        share = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), SOFT * max(height, width))[..., None]
        share = np.maximum(share, hole[..., None])
        return np.rint(share * filled + (1 - share) * image).astype(np.uint8)

    def _seen_plate(self, way: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The plate as the camera sees it then, uint8 (H, W, 3), and where it shows anything, bool (H, W)."""
        full = self._cues.size
        to_clip = np.diag([full[1] / self._plate.shape[1], full[0] / self._plate.shape[0], 1])
        to_image = np.diag([size[1] / full[1], size[0] / full[0], 1])
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        matrix = np.linalg.inv(half) @ to_image @ way @ to_clip @ half  # pixel centres, as OpenCV counts
        shown = cv2.warpPerspective(self._plate, matrix, size[::-1], borderMode=cv2.BORDER_REPLICATE)
        known = cv2.warpPerspective(np.ones(self._plate.shape[:2], np.float32), matrix, size[::-1])
        return shown, known > 0.5


@dataclass(frozen=True)
class Backdrop:
    """What is behind and before the character, frame by frame.

    Attributes:
        behind: as of `PuppetWarp.stream`.
        cues: of the driver, with pixels, in the driver's scene.
        mode: how that scene is brought onto the canvas.
    """

    behind: Pictures
    cues: Cues | None = None
    mode: Mode = "crop"

    def in_front(self, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Consecutive frames, uint8 (f, H, W, C), behind the things that the driver has in hand, where they are known."""
        done = 0
        for chunk in chunks:
            numbers = range(done, done + len(chunk))
            done = numbers.stop
            yield (
                chunk
                if self.cues is None or "objects" not in self.cues.maps
                else _with_objects(chunk, self.cues, numbers)
            )


def _with_objects(frames: np.ndarray, cues: Cues, numbers: Sequence[int]) -> np.ndarray:
    size = (frames.shape[1], frames.shape[2])
    pixels = np.asarray(cues.pixels[list(numbers)])  # type: ignore[index]
    masks = resize(cues.maps["objects"][list(numbers)][..., None], (pixels.shape[1], pixels.shape[2]))
    things = fit(pixels, size, "crop")[0].astype(np.float32)
    share = fit(np.repeat(masks, 3, -1), size, "crop")[0].astype(np.float32) / 255
    return np.rint(share * things + (1 - share) * frames).astype(np.uint8)


@dataclass(frozen=True)
class Fitted:
    """Pictures brought to `size` (height, width), their edges continued where they leave some of it free."""

    pictures: Pictures
    size: tuple[int, int]
    mode: Mode

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        return continued(np.asarray(self.pictures[list(frames)]), self.size, self.mode)


def on_canvas(cues: Cues, poses: PoseTrack, size: tuple[int, int], mode: Mode = "crop") -> Cues:
    """The driver's cues as a canvas of `size` shows its scene, with other poses (F, P, K) there, which take depth along."""
    factor = (max if mode == "crop" else min)(size[0] / cues.size[0], size[1] / cues.size[1])
    # how much of a side is cut off at either end, or, below 0, is added
    margins = [(1 - side / (factor * whole)) / 2 for side, whole in zip(size, cues.size)]

    def placed(name: str, values: np.ndarray) -> np.ndarray:
        height, width = values.shape[-2:]
        y, x = round(margins[0] * height), round(margins[1] * width)
        inner = values[..., max(y, 0) : height - max(y, 0), max(x, 0) : width - max(x, 0)]
        added = [(0, 0)] * (values.ndim - 2) + [(max(-y, 0),) * 2, (max(-x, 0),) * 2]
        return np.pad(inner, added, constant_values=np.nan if name == "depth" else 0)

    maps = {name: placed(name, values) for name, values in cues.maps.items() if name in AREAS}
    if cues.pose is not None and "depth" in maps:
        own = PoseTrack(placement(cues.size, size, mode).points(cues.pose.keypoints), cues.pose.scores, size)
        if np.nanmax(np.abs(own.keypoints - poses.keypoints), initial=0) > STILL * max(size):
            maps["depth"] = carry_depth(own, maps["depth"], poses)
    pixels = None if cues.pixels is None else Fitted(cues.pixels, size, mode)
    return replace(cues, size=size, pose=poses, maps=maps, pixels=pixels, plate=None)
