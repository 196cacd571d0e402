"""The benchmark `theatre-1`: clips with exact truth, rendered on demand; the same pixels on every machine.

Characters, motions and backgrounds come from the test split of the theatre. Every clip drives 24 to 48 frames at 12 per second.

    solo          self-reenactment: frame 0 is the still, the following frames are driven
    bizarre       a character of odd proportions takes over the dance of a human one; truth: it dances it
    noisy         solo, with the driving poses corrupted in one of three levels (`corrupt`)
    crowd         self-reenactment of two or three people who cross
    stage         a character takes the place of another in its scene, with the prop in its hand, before and behind set pieces
    camera        self-reenactment before a moving camera, every other clip with set pieces
    camera-still  the scenes of camera, the camera at rest; same stills
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import cv2
import numpy as np

from bunraku.errors import BunrakuError, listed
from bunraku.evaluation.clip import BenchmarkClip, DrivingScene
from bunraku.perception.pose import PoseTrack
from bunraku.theatre.camera import Camera, Placement
from bunraku.theatre.character import ODDITIES, sample_human, sample_odd_character
from bunraku.theatre.detector import LEVELS, corrupt
from bunraku.theatre.flow import background_flow
from bunraku.theatre.puppet import skeleton
from bunraku.theatre.scene import SPLITS as SCENE_SPLITS
from bunraku.theatre.scene import Actor, Rendering, Scene, poses, render, sample_scene

VERSION = "theatre-1"
SPLITS = ("solo", "bizarre", "noisy", "crowd", "stage", "camera", "camera-still")
SIZES = (128, 256, 512)
"""Heights and widths that hashes are recorded for."""
CLIPS = 64
"""Clips of every split."""


@dataclass(frozen=True, eq=False)
class BenchmarkScenes:
    """What is rendered for a clip.

    Attributes:
        reference: scene and frame of the still.
        driver: the driving clip; its first driven frame is `start`.
        truth: the same motion by the character of the still; the same scene as the driver in self-reenactment.
        frames: how many are driven.
    """

    reference: tuple[Scene, int]
    driver: Scene
    truth: Scene
    start: int
    frames: int
    tags: Mapping[str, str] = field(default_factory=dict)


def benchmark_scenes(split: str, index: int) -> BenchmarkScenes:
    """The scenes of a clip; arguments and errors as of `benchmark_clip`."""
    if split not in SPLITS:
        raise BunrakuError(f"{VERSION} has no split {split!r}; choose one of {', '.join(SPLITS)}")
    if not 0 <= index < CLIPS:
        raise BunrakuError(f"{VERSION}/{split} has clips 0 to {CLIPS - 1}; got {index}")
    source = split.removesuffix("-still")
    seed = 1_000_000 * (1 + SPLITS.index(source)) + index
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed])))
    frames = int(rng.integers(24, 49))
    tags: dict[str, str] = {}
    if source == "bizarre":
        tags["oddity"] = list(ODDITIES)[index % len(ODDITIES)]
        odd = sample_odd_character(rng, tags["oddity"], SCENE_SPLITS["test"])
        height = rng.uniform(0.6, 0.68) * (0.85 if tags["oddity"] in ("long arms", "short legs") else 1)
        place = Placement(float(rng.uniform(-0.03, 0.03)), float(rng.uniform(0.9, 0.95)), float(height))
        driver = sample_scene(seed, "test").recast(character=sample_human(rng, SCENE_SPLITS["test"]))
        own = sample_scene(seed + 500_000, "test").recast(character=odd, placement=place)
        truth = own.recast(motion=driver.actors[0].motion)
        return BenchmarkScenes(_standing_like(own, truth, frames), driver, truth, 0, frames, tags)
    if source == "stage":
        driver = sample_scene(seed, "test", props=True, objects=True)
        own = sample_scene(seed + 500_000, "test").recast(placement=driver.actors[0].placement)
        truth = driver.recast(character=own.actors[0].character)
        return BenchmarkScenes(_standing_like(own, truth, frames), driver, truth, 0, frames, tags)
    scene = sample_scene(
        seed, "test", people=2 + index % 2 if source == "crowd" else 1, objects=source == "camera" and index % 2 == 1,
        moving_camera=source == "camera", frames=frames,
    )  # fmt: skip
    if split == "camera-still":
        scene = replace(scene, camera=Camera())
    if split == "noisy":
        tags["level"] = str(1 + index % len(LEVELS))
    if split == "crowd":
        order = sorted(range(len(scene.actors)), key=lambda i: -scene.actors[i].placement.depth)
        tags |= {"people": str(len(order)), "order": " ".join(map(str, order))}
    return BenchmarkScenes((scene, 0), scene, scene, 1, frames, tags)


def _standing_like(own: Scene, truth: Scene, frames: int) -> tuple[Scene, int]:
    """Scene and frame of the still, chosen so that the character stands in it where it will stand in the truth.

    Of twenty seconds of its own dance it is the frame in which the neck is nearest to its median place in the truth, moved sideways to
    be exactly there: a still and a driving clip do not say where in the picture the character is to stand, so all three agree.
    """

    def neck(actor: Actor, count: int) -> np.ndarray:
        posture = actor.motion.posture(np.arange(count) / float(own.fps))
        return skeleton(actor.character, posture).joints[:, 1]  # in standing heights from the actor's place

    still, goal = neck(own.actors[0], 240), np.median(neck(truth.actors[0], frames), 0)
    frame = int(np.square(still - goal).sum(-1).argmin())
    place = truth.actors[0].placement
    return own.recast(placement=replace(place, x=place.x + float(goal[0] - still[frame, 0]) * place.height)), frame


def benchmark_clip(split: str, index: int, size: int = 128) -> BenchmarkClip:
    """Clip `index` of a split, rendered.

    Args:
        split: one of SPLITS.
        index: 0 to CLIPS - 1.
        size: height and width in pixels; the scene is the same.

    Raises:
        BunrakuError: no such split or clip.
    """
    scenes = benchmark_scenes(split, index)
    indices = range(scenes.start, scenes.start + scenes.frames)
    scene, frame = scenes.reference
    still, truth = render(scene, [frame], size), render(scenes.truth, indices, size)
    driver = None
    if split == "stage":
        driver = _driving_scene(scenes.driver, render(scenes.driver, indices, size), indices)
    elif split == "camera":
        driver = _driving_scene(scenes.driver, truth, indices)
    return BenchmarkClip(
        name=f"{split}/{index:03d}",
        fps=scenes.truth.fps,
        reference=still.frames[0],
        reference_pose=still.pose,
        reference_instances=still.instances[0],
        driving=_driving(scenes, truth.pose, index),
        retarget=scenes.driver is not scenes.truth,
        truth=truth.frames,
        truth_pose=truth.pose,
        instances=truth.instances,
        static=_static(scenes.truth, truth),
        driver=driver,
        tags=scenes.tags,
    )


def benchmark_poses(split: str, index: int, size: int = 128) -> tuple[PoseTrack, PoseTrack, PoseTrack]:
    """The poses of `benchmark_clip`, without its pictures: of the still, of the driver, and the true ones."""
    scenes = benchmark_scenes(split, index)
    (scene, frame), pixels = scenes.reference, (size, size)
    time = np.arange(scenes.start, scenes.start + scenes.frames) / float(scenes.truth.fps)
    truth = poses(scenes.truth, time, pixels)
    return poses(scene, np.array([frame]) / float(scene.fps), pixels), _driving(scenes, truth, index), truth


def _driving(scenes: BenchmarkScenes, truth: PoseTrack, index: int) -> PoseTrack:
    """What the driver's poses are said to be, where the true ones are `truth`."""
    driving = truth
    if scenes.driver is not scenes.truth:
        time = np.arange(scenes.start, scenes.start + scenes.frames) / float(scenes.driver.fps)
        driving = poses(scenes.driver, time, truth.size)
    if "level" in scenes.tags:
        driving = corrupt(driving, int(scenes.tags["level"]), np.random.Generator(np.random.PCG64(index)))
    return driving


def _driving_scene(scene: Scene, shown: Rendering, indices: range) -> DrivingScene:
    nearest = min(actor.placement.depth for actor in scene.actors)
    pieces = shown.labels > 2 * len(scene.actors)
    return DrivingScene(
        frames=shown.frames,
        instances=shown.instances,
        objects=shown.object_mask,
        held=shown.object_mask & ~pieces,
        occluders=pieces & (shown.depth < np.float32(nearest)),
        depth=shown.depth,
        background_flow=background_flow(scene, indices, shown.pose.size),
    )


def _static(scene: Scene, shown: Rendering) -> np.ndarray:
    """Pixels that show exactly the same in this frame and in the one before, and that no actor or prop touches in either. Looking at the
    masks alone would not do: at the soft edge of a set piece, who moves behind it shows through a little."""
    static = np.zeros(shown.labels.shape, bool)
    if scene.camera.moves:
        return static
    moving = ((shown.labels > 0) & (shown.labels <= 2 * len(scene.actors))).astype(np.uint8)
    touched = np.stack([cv2.dilate(mask, np.ones((3, 3), np.uint8)) for mask in moving]) > 0
    same = (shown.frames[1:] == shown.frames[:-1]).all(-1)
    static[1:] = same & ~touched[1:] & ~touched[:-1]
    return static


@dataclass(frozen=True)
class TheatreBenchmark:
    """One split of the puppet theatre's benchmark, rendered on demand.

    Args:
        split: one of SPLITS.
        side: of the square frames, one of SIZES.
        clips: how many, from the first; None: all.
    """

    split: str
    side: int = 128
    clips: int | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise BunrakuError(f"there is no benchmark theatre/{self.split}; there are {', '.join(theatre_names())}")
        if self.side not in SIZES:
            raise BunrakuError(f"{VERSION} is defined at {listed(SIZES)} pixels; got {self.side}")
        if self.clips is not None and not 1 <= self.clips <= CLIPS:
            raise BunrakuError(f"{VERSION}/{self.split} has {CLIPS} clips; got {self.clips}")

    @property
    def name(self) -> str:
        return f"{VERSION}/{self.split}"

    @property
    def names(self) -> list[str]:
        return [f"{self.split}/{index:03d}" for index in range(self.clips or CLIPS)]

    @property
    def size(self) -> tuple[int, int]:
        return self.side, self.side

    @property
    def in_scene(self) -> bool:
        return self.split == "stage"

    @property
    def protocol(self) -> dict[str, Any]:
        return {"source": "the clip's still; all driven frames are scored"}

    def clip(self, index: int) -> BenchmarkClip:
        return benchmark_clip(self.split, index, self.side)


def theatre_names() -> list[str]:
    """The splits as `bunraku evaluate --benchmark` takes them: theatre/SPLIT."""
    return [f"theatre/{split}" for split in SPLITS]


# --- hashes ----------------------------------------------------------------------------------------------------------------------


def clip_hash(clip: BenchmarkClip) -> str:
    """16 hexadecimal digits of the SHA-256 over all of a clip: pictures and masks as they are, keypoints and flow in 1/64 pixel."""
    digest = hashlib.sha256()
    arrays: list[Any] = [clip.reference, clip.reference_instances, clip.truth, clip.instances, clip.static]
    for pose in (clip.reference_pose, clip.driving, clip.truth_pose):
        seen = pose.scores > 0
        arrays += [seen, _sixty_fourths(np.where(seen[..., None], pose.keypoints, 0))]
    if clip.driver is not None:
        scene = clip.driver
        arrays += [scene.frames, scene.instances, scene.objects, scene.occluders, scene.depth]
        arrays += [_sixty_fourths(scene.background_flow)]
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _sixty_fourths(values: np.ndarray) -> np.ndarray:
    return np.rint(values.astype(float) * 64).astype("<i4")


def recorded_hashes(split: str, size: int) -> list[str]:
    """The hashes (`clip_hash`) that the clips of a split have on every machine, for a size of SIZES."""
    text = resources.files("bunraku.evaluation").joinpath(f"{VERSION}.json").read_text()
    return json.loads(text)[split][str(size)]
