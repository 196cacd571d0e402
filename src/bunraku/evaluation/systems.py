"""Systems: what is evaluated. Each turns the reference and the driving poses of a clip into frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.drawn import draw_sharp
from bunraku.cues.in_hand import InHand, in_hand, over
from bunraku.cues.retarget import Retarget, retarget_people
from bunraku.cues.still_scene import in_still
from bunraku.cues.structured_depth import carry_depth
from bunraku.errors import BunrakuError
from bunraku.evaluation.benchmarks import PairBenchmark
from bunraku.evaluation.clip import BenchmarkClip, DrivingScene
from bunraku.evaluation.results import Role
from bunraku.perception.cutout import cut_out
from bunraku.perception.pose import PoseTrack
from bunraku.puppet_warp import PUPPET_WARP

CHUNK = 16  # frames through the autoencoder at a time
GROUND = 128
"""The grey of `Composite`'s plain ground; the green of film studios shimmers through a model's soft edges."""


Masks = Literal["found", "exact"]
"""Of the reference, for systems that cut it out: found in it, as `animate` does, or the clip's own where it has them."""


class System(Protocol):
    """What is evaluated.

    Attributes:
        name: what reports call it.
        role: "model" is what the report is about, "baseline" what it is compared with; a "ceiling" is made from the truth itself, shows
            what is out of a model's reach, and is not ranked.
        description: one line.
    """

    name: str
    role: Role
    description: str

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        """The clip's frames, uint8 of the truth's shape (F, H, W, 3)."""
        ...


class Copy:
    """The reference, unmoved: what a model must beat to have done anything."""

    name = "copy"
    role: Role = "baseline"
    description = "the reference frame, repeated"

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        return np.broadcast_to(clip.reference, clip.truth.shape)


class Recorded:
    """Frames that some system has made before.

    Args:
        benchmark: the true clips beside which they lie.
        name: what reports call the system.
    """

    role: Role = "model"

    def __init__(self, benchmark: PairBenchmark, name: str) -> None:
        self.benchmark, self.name = benchmark, name
        self.description = "its frames as they were given"

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        return self.benchmark.made(clip.name)


class Codec:
    """The truth, encoded and decoded by a model's autoencoder: better no denoiser of its latents can be.

    Args:
        pipeline: an AnimationPipeline.
        of: name of the model whose autoencoder it is.
    """

    name = "codec"
    role: Role = "ceiling"

    def __init__(self, pipeline: Any, of: str) -> None:
        self.pipeline = pipeline
        self.description = f"the truth, encoded and decoded by the autoencoder of {of}"

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        import torch

        frames = []
        with torch.no_grad():
            for start in range(0, len(clip.truth), CHUNK):
                latents = [self.pipeline.encode(frame) for frame in clip.truth[start : start + CHUNK]]
                frames.append(self.pipeline.decode(torch.stack(latents, 2)))
        return np.concatenate(frames)


class PipelineSystem:
    """An AnimationPipeline that animates every clip with the same seed.

    Args:
        pipeline: the model.
        name: what reports call it.
        seed: of the initial noise.
        settings: fields of `Sampling` that differ from the model's own.
        retargeting: how driving poses of other proportions are brought onto the character, see `driving_poses`.
        masks: of models that cut the reference out, see `Masks`.
        refine: as of `EvaluateOptions`.
    """

    role: Role = "model"

    def __init__(
        self,
        pipeline: Any,
        name: str,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        retargeting: Retarget = "grounded",
        masks: Masks = "found",
        refine: bool | None = None,
    ) -> None:
        self.pipeline, self.name, self.seed, self.settings = pipeline, name, seed, dict(settings or {})
        self.retargeting: Retarget = retargeting
        self.masks: Masks = masks
        self.refine = refine
        self.description = f"recipe {pipeline.config.recipe}"

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        import torch

        height, width = clip.truth.shape[1:3]
        cues = driving_cues(clip, self.retargeting)
        poses = cues.pose
        if poses is not None and (self.pipeline.refines if self.refine is None else self.refine):
            from bunraku.weights.loading import mended

            poses = mended(poses, clip.reference_pose, getattr(self.pipeline, "pose_refiner", None))
            cues = replace(cues, pose=poses)
        stage = Stage.of(clip, poses) if self.pipeline.trusted else None
        if "environment" in self.pipeline.reads.frames and cues.pixels is None:
            cues = in_still(cues, clip.reference, clip.reference_pose, mattes_of(clip, self.masks))
        drawn = draw_sharp(
            self.pipeline,
            clip.reference,
            cues,
            clip.reference_pose,
            (height, width),
            mattes_of(clip, self.masks),
            None if stage is None else stage.behind,
            refine=False,  # they are mended already
        )
        chunks = self.pipeline.stream(
            drawn.stills, drawn.frames, self.pipeline.sampling.but(self.settings), detail=drawn.detail,
            generator=torch.Generator().manual_seed(self.seed),
        )  # fmt: skip
        made = np.concatenate(list(chunks))
        return made if stage is None else stage.in_front(made)


class Warp:
    """The classical puppet warp.

    Where the driving scene is part of the task, the figure is put into it: before the driver's background, whose hole is
    filled, and behind whatever stands in front of the driver; what this had in hand goes along with the figure's hand.

    Args:
        masks: see `Masks`.
        refine: whether the poses are mended by the shipped PoseRefiner; it is the one thing here that has learnt.
    """

    name = PUPPET_WARP
    role: Role = "baseline"
    description = "the reference cut out and moved limb by limb; no weights"

    def __init__(self, masks: Masks = "found", refine: bool = False) -> None:
        from bunraku.puppet_warp import PuppetWarp

        self.warp, self.masks, self.refine = PuppetWarp(), masks, refine

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        poses = driving_poses(clip)
        if self.refine:
            from bunraku.weights.loading import mended

            poses = mended(poses, clip.reference_pose)  # type: ignore[assignment]
        stage = Stage.of(clip, poses)
        chunks = self.warp.stream(
            clip.reference, poses, clip.reference_pose, size=clip.truth.shape[1:3],
            mask=mattes_of(clip, self.masks), background=None if stage is None else stage.behind,
        )  # fmt: skip
        frames = np.concatenate(list(chunks))
        return frames if stage is None else stage.in_front(frames)


class Composite:
    """What a system makes before a plain ground, cut out frame by frame and pasted over the driver's emptied scene.

    The baseline of Animate Anyone 2's Table 3. As there, the figure is pasted on top of everything: it knows neither what stands in
    front of it nor the light of the scene.

    Args:
        animator: animates the reference before the plain ground.
    """

    name = "composite"
    role: Role = "baseline"

    def __init__(self, animator: System) -> None:
        self.animator = animator
        self.description = f"{animator.name} before a plain ground, cut out and pasted over the driver's emptied scene"

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        if clip.driver is None:
            raise BunrakuError(f"{clip.name} has no driving scene to be pasted into")
        figure = (
            clip.reference_instances
            if clip.reference_instances is not None
            else cut_out(clip.reference, clip.reference_pose)
        )
        plain = np.where(figure[..., None] > 0, clip.reference, np.uint8(GROUND))
        frames = self.animator(replace(clip, reference=plain, driver=None))
        poses = driving_poses(clip)
        shares = np.stack([_share(frame, poses[t : t + 1]) for t, frame in enumerate(frames)])[..., None]
        return np.rint(shares * frames + (1 - shares) * emptied(clip.driver)).astype(np.uint8)


def _share(frame: np.ndarray, pose: PoseTrack) -> np.ndarray:
    """How much of each pixel is the figure, float32 (H, W); nothing where the pose lies outside the frame."""
    try:
        figure = cut_out(frame, pose) > 0
    except BunrakuError:
        return np.zeros(frame.shape[:2], np.float32)
    return cv2.GaussianBlur(figure.astype(np.float32), (3, 3), 0)


def mattes_of(clip: BenchmarkClip, masks: Masks) -> np.ndarray | None:
    """The mattes of the reference's people, uint8 (P, H, W), where the clip knows them and they are to be exact."""
    if masks == "found" or clip.reference_instances is None:
        return None
    people = np.arange(1, clip.reference_pose.people + 1, dtype=np.uint8)[:, None, None]
    return np.uint8(255) * (clip.reference_instances == people)


@dataclass(frozen=True, eq=False)
class Stage:
    """What is behind and before the character where the task is to stand in the driver's scene.

    Attributes:
        scene: the driver's.
        things: what goes along with the character's hands.
    """

    scene: DrivingScene
    things: list[InHand]

    @classmethod
    def of(cls, clip: BenchmarkClip, poses: PoseTrack | None) -> "Stage | None":
        """None where the character stays in the picture of the reference; `poses`: the character's."""
        if clip.driver is None or not clip.retarget or poses is None:
            return None
        scene, held = clip.driver, np.uint8(255) * clip.driver.held
        return cls(scene, in_hand(held, scene.instances > 0, clip.driving, poses, float(clip.fps)))

    @cached_property
    def behind(self) -> np.ndarray:
        """The driver's emptied scene; things that go along are where they go, with what the driver's hand hides of them."""
        frames, empty = self.scene.frames, emptied(self.scene, [thing.seen > 0 for thing in self.things])
        return np.stack([over(self.things, i, frames[i], ground, whole=True) for i, ground in enumerate(empty)])

    def in_front(self, frames: np.ndarray) -> np.ndarray:
        """Frames behind the things that go along, and behind whatever stands in front of the driver."""
        scene = self.scene
        shown = np.stack([over(self.things, i, scene.frames[i], frame) for i, frame in enumerate(frames)])
        return np.where(scene.occluders[..., None], scene.frames, shown)


def driving_poses(clip: BenchmarkClip, method: Retarget = "grounded") -> PoseTrack:
    """The driving poses in the picture of the reference: as they are, or retargeted person by person as `animate` does.

    Args:
        method: "grounded", "full", "align", "fit" or "off", see `AnimateOptions`; of no effect where poses are the character's own already.
    """
    if not clip.retarget or method == "off":
        return clip.driving
    try:
        return retarget_people(clip.driving, clip.reference_pose, method)
    except BunrakuError as error:
        raise BunrakuError(f"{clip.name}: {error}") from error


def driving_cues(clip: BenchmarkClip, method: Retarget = "grounded") -> Cues:
    """What is known of the driving clip in the picture of the reference: the poses (`driving_poses`), and where the clip tells it, who is
    before whom. In `stage` there is the driver's scene: its pictures, where the driver is, things, and depth that goes with the poses."""
    poses, maps = driving_poses(clip, method), dict[str, np.ndarray]()
    if "order" in clip.tags:
        far_to_near = [int(person) for person in clip.tags["order"].split()]
        maps["nearness"] = np.tile(np.argsort(far_to_near).astype(np.float64), (len(poses), 1))
    scene = clip.driver if clip.retarget else None
    if scene is None:
        return Cues(clip.fps, poses.size, clip.name, pose=poses, maps=maps)
    people = np.arange(1, poses.people + 1)[:, None, None]
    maps |= {
        "mattes": np.uint8(255) * (scene.instances[:, None] == people),
        "objects": np.uint8(255) * scene.objects,
        "depth": scene.depth if poses is clip.driving else carry_depth(clip.driving, scene.depth, poses),
    }
    return Cues(clip.fps, poses.size, clip.name, pose=poses, maps=maps, pixels=scene.frames)


def emptied(scene: DrivingScene, things: Sequence[np.ndarray] = ()) -> np.ndarray:
    """The driving scene without its characters and some things, bool (F, H, W) each, uint8 (F, H, W, 3): their place shows what is seen
    there in other frames (the median), and what is never seen is inpainted. Pixels at their rims show some of them and go as well."""
    gone = np.logical_or.reduce([scene.instances > 0, *things])
    rim = np.ones((3, 3), np.uint8)
    covered = np.stack([cv2.dilate(mask, rim) for mask in gone.astype(np.uint8)]) > 0
    covered &= gone | ~(scene.occluders | scene.held)
    shown = np.where(covered[..., None], np.nan, scene.frames.astype(np.float32))
    never = covered.all(0)
    shown[:, never] = 0
    behind: np.ndarray = np.nanmedian(shown, axis=0).round().astype(np.uint8)
    if never.any():
        hole: np.ndarray = cv2.dilate(np.asarray(never, np.uint8), np.ones((3, 3), np.uint8))
        behind = np.asarray(cv2.inpaint(behind, hole, 3, cv2.INPAINT_TELEA), np.uint8)
    return np.where(covered[..., None], behind, scene.frames)
