"""Training samples from the procedural theatre: sample i is a function of (seed, split, i) alone."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import cv2
import numpy as np
from torch.utils.data import Dataset

from bunraku.cues.cues import Cues
from bunraku.cues.retarget import NECK, retarget_people
from bunraku.cues.shape_mask import Law
from bunraku.data.samples import STAYING, ReferenceFrame, Sample, draw_sample
from bunraku.data.self_supervised import self_supervised, staying
from bunraku.errors import BunrakuError
from bunraku.perception.matte import still_mattes
from bunraku.perception.pose import PoseTrack
from bunraku.recipes import REFERENCE_AND_POSE, Reads
from bunraku.theatre import (
    Scene,
    Style,
    photograph,
    render,
    sample_background,
    sample_scene,
    sample_scene_photograph,
    sample_studio,
)
from bunraku.theatre.character import ODDITIES, sample_human, sample_odd_character
from bunraku.theatre.detector import LEVELS, corrupt
from bunraku.theatre.flow import background_motion
from bunraku.theatre.scene import SPLITS, poses
from bunraku.theatre.textures import wear

FPS = Fraction(12)
CLIP_FRAMES = 64
"""Reference and frames of a sample are drawn from this many frames of a scene."""

EXACT = 0.5
"""Share of the samples whose reference comes with exact mattes; those of the others are found, with the mistakes that inference meets."""

CROWD = (0.2, 0.5, 0.3)
"""How often one, two and three people are on the stage of a crowd."""

MOVING = 0.7
"""How often the camera moves there."""

EVERYTHING: Mapping["Domain", float] = {"wide": 0.35, "photographs": 0.3, "crowds": 0.2, "stage": 0.15}
"""Shares of the domain "everything"."""

STUDIO = 0.4
"""Share of the samples of the domain "everything" before a plain ground, mostly a white one."""

JITTER = 0.004
"""Of a found reference pose: standard deviation of every joint, in frame heights."""

Domain = Literal["puppets", "wide", "humans", "photographs", "crowds", "stage", "mixed", "everything"]
"""What is on the stage. "puppets": proportions from chibi to human. "wide": these and odd ones, with props and set pieces, for a
base that is to be general. "humans": human proportions alone, for a narrow second training. "photographs": all of it photographed or
drawn, with cloth, light, shadows, turned bodies and moving cameras, from references that cameras and files have worn. "crowds": one to three puppets who walk past each other, most seen by a camera that moves.
"stage": puppets with something in hand, before and behind set pieces, cut out of the scene as Animate Anyone 2 learns from clips
(`data.self_supervised`); the reference is cut out too, on another background. "mixed": half of the
samples wide, half photographs. "everything": see `EVERYTHING`."""


@dataclass(frozen=True)
class TheatreSamples(Dataset):
    """Endless theatre samples.

    Args:
        seed: of the whole data set.
        split: "train", "val" or "test": disjoint characters, motions and backgrounds.
        frames: driven frames per sample.
        size: (height, width).
        sizes: of the samples, one after the other, instead of `size`; none: all have that.
        studio: share of the scenes that are before a plain ground (`theatre.sample_studio`).
        consecutive: frames in a row (motion modules) instead of any frames of the scene.
        permute_colours: permute the colour channels of a whole sample: six times the wardrobe.
        domain: see `Domain`.
        reads: the conditions that samples have.
        styles: how they are drawn, see `recipes.Size`.
        reference_frame: see `ReferenceFrame`.
        misled: share of the samples whose poses a failing detector has found: limbs dropped, sides swapped, jitter (`theatre.detector`).
        led: share of the samples of one puppet whose poses are another body's in the same dance, retargeted as `animate` does.
    """

    seed: int
    split: str = "train"
    frames: int = 1
    size: tuple[int, int] = (128, 128)
    consecutive: bool = False
    permute_colours: bool = False
    domain: Domain = "puppets"
    reads: Reads = REFERENCE_AND_POSE
    styles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reference_frame: ReferenceFrame = "random"
    misled: float = 0.0
    led: float = 0.0
    sizes: tuple[tuple[int, int], ...] = ()
    studio: float = 0.0

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        if self.sizes:
            return replace(self, size=self.sizes[index % len(self.sizes)], sizes=())[index]
        rng = np.random.default_rng([self.seed, index])
        seed = int(rng.integers(2**31))
        if self.consecutive:
            start = int(rng.integers(CLIP_FRAMES - self.frames + 1))
            driven = list(range(start, start + self.frames))
            reference = 0 if self.reference_frame == "first" else int(rng.integers(CLIP_FRAMES))
        else:
            reference, *driven = (int(i) for i in rng.choice(CLIP_FRAMES, self.frames + 1, replace=False))
        if self.domain == "mixed":
            return replace(self, domain="photographs" if rng.random() < 0.5 else "wide")[index]
        if self.domain == "everything":
            domain: Any = str(rng.choice(list(EVERYTHING), p=list(EVERYTHING.values())))
            return replace(self, domain=domain, studio=STUDIO)[index]
        scene, style = self._staged(seed)
        leading = None
        if self.led and style is None and len(scene.actors) == 1 and rng.random() < self.led:
            reference, leading = self._led(scene, reference, rng)
        numbers = [reference, *driven]
        rendering = render(scene, numbers, self.size) if style is None else photograph(scene, numbers, self.size, style)
        colours = rng.permutation(3) if self.permute_colours else np.arange(3)
        images = rendering.frames[..., colours]
        still = wear(rng, images[0]) if self.domain == "photographs" and rng.random() < 0.5 else images[0]
        people = np.arange(1, rendering.pose.people + 1)[:, None, None]
        maps: dict[str, np.ndarray] = {
            "mattes": np.uint8(255) * (rendering.labels[:, None] == people),
            "objects": np.uint8(255) * rendering.object_mask,
            "depth": rendering.depth,
            "camera": background_motion(scene, numbers, self.size),
            "nearness": np.tile(-rendering.distances[1 : 1 + rendering.pose.people].astype(float), (len(numbers), 1)),
        }
        known = [
            Cues(
                FPS, rendering.pose.size, "theatre", pose=rendering.pose[part],
                maps={name: values[part] for name, values in maps.items()}, pixels=images[part],
            )
            for part in (slice(1, None), slice(0, 1))
        ]  # fmt: skip
        instances, behind = rendering.instances[0], None
        if self.domain == "stage":
            still, instances = self._on_other_ground(scene, reference, colours, rng)
            rim = np.ones((3, 3), np.uint8)  # soft edges show some of the puppet
            hidden = [cv2.dilate(np.isin(labels, (1, 2)).astype(np.uint8), rim) > 0 for labels in rendering.labels[1:]]
            behind = np.where(np.stack(hidden)[..., None], rendering.background[1:, ..., colours], images[1:])
            if self.split == "train":
                law = self.styles.get("mask", {}).get("law", "clip")
                known[0] = _seen_again(known[0], rendering.background[1:, ..., colours], rendering.labels[1:], rng, law)
        mattes = _mattes(instances, rendering.pose.people) if rng.random() < EXACT else None
        if leading is not None:
            known[0] = replace(known[0], pose=leading[driven])
        elif self.misled and rng.random() < self.misled:
            known = [replace(cues, pose=pose) for cues, pose in zip(known, _misled(rendering.pose, rng))]
            if mattes is None and rng.random() < 0.5:
                with suppress(BunrakuError):  # nobody who could be found without the matte network
                    mattes = still_mattes(still, known[1].pose)  # type: ignore[arg-type]
        if self.domain != "stage" and "environment" in self.reads.frames and rng.random() < STAYING:
            known[0] = staying(known[0], still, known[1].pose, mattes)
        views = self._views(scene, style, colours, rng)
        return draw_sample(self.reads, images[1:], known[0], still, known[1], self.styles, mattes, views, behind)

    def _led(self, scene: Scene, reference: int, rng: np.random.Generator) -> tuple[int, PoseTrack | None]:
        """The frame in which the puppet stands where it mostly stands, and what retargeting makes of another's dance on the same spot,
        of all frames; the frame as it was and None where that cannot be done."""
        time = np.arange(CLIP_FRAMES) / float(scene.fps)
        own = poses(scene, time, self.size)
        neck = own.keypoints[:, 0, NECK]
        nearest = int(np.square(neck - np.median(neck, 0)).sum(-1).argmin())
        human = rng.random() < 0.5
        other = sample_scene(int(rng.integers(2**31)), self.split).actors[0].character
        body = sample_human(rng, SPLITS[self.split]) if human else other
        with suppress(BunrakuError):
            theirs = poses(scene.recast(character=body), time, self.size)
            return nearest, retarget_people(theirs, own[[nearest]], "grounded")
        return reference, None

    def _views(
        self, scene: Scene, style: Style | None, colours: np.ndarray, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, Cues]]:
        """Further pictures of the reference, with their cues."""
        return []

    def _on_other_ground(
        self, scene: Scene, frame: int, colours: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The character alone, cut out, on a background that says nothing of the scene, uint8 (H, W, 3), and where it is, uint8 (H, W)."""
        alone = render(replace(scene, objects=()).recast(prop=None), [frame], self.size)
        plain = bool(self.studio) and rng.random() < self.studio
        ground = (sample_studio if plain else sample_background)(rng).render(self.size)[0]
        shown = np.where(alone.character_mask[0][..., None], alone.frames[0][..., colours], ground)
        return shown, alone.instances[0]

    def scene(self, seed: int) -> Scene:
        """Scene number `seed` of the domain."""
        return self._staged(seed)[0]

    def _staged(self, seed: int) -> tuple[Scene, Style | None]:
        """The scene, and how it is photographed, if it is."""
        scene, style = (
            sample_scene_photograph(seed, self.split)
            if self.domain == "photographs"
            else (self._drawn_scene(seed), None)
        )
        rng = np.random.default_rng([seed, 2])
        if rng.random() >= self.studio:
            return scene, style
        return replace(scene, background=sample_studio(rng)), None if style is None else replace(style, place=None)

    def _drawn_scene(self, seed: int) -> Scene:
        if self.domain == "puppets":
            return sample_scene(seed, self.split)
        if self.domain == "stage":
            return sample_scene(seed, self.split, props=True, objects=True)
        rng = np.random.default_rng([seed, 1])
        if self.domain == "crowds":
            people, moving = int(rng.choice([1, 2, 3], p=CROWD)), bool(rng.random() < MOVING)
            return sample_scene(seed, self.split, people=people, moving_camera=moving, frames=CLIP_FRAMES)
        if self.domain == "humans":
            return sample_scene(seed, self.split).recast(character=sample_human(rng, SPLITS[self.split]))
        props, objects, odd = (bool(chance) for chance in rng.random(3) < (0.4, 0.4, 0.3))
        scene = sample_scene(seed, self.split, props=props, objects=objects)
        if not odd:
            return scene
        oddity = list(ODDITIES)[int(rng.integers(len(ODDITIES)))]
        return scene.recast(character=sample_odd_character(rng, oddity, SPLITS[self.split]))


@dataclass(frozen=True)
class TheatreViews(TheatreSamples):
    """Theatre samples whose references come in several pictures, other frames of the scene.

    Args:
        references: pictures of each reference.
    """

    references: int = 2

    def _views(
        self, scene: Scene, style: Style | None, colours: np.ndarray, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, Cues]]:
        numbers = [int(i) for i in rng.choice(CLIP_FRAMES, self.references - 1, replace=False)]
        shown = render(scene, numbers, self.size) if style is None else photograph(scene, numbers, self.size, style)
        people = np.arange(1, shown.pose.people + 1)[:, None, None]
        mattes = np.uint8(255) * (shown.labels[:, None] == people)
        made = []
        for i, number in enumerate(numbers):
            own_ground = self.domain != "stage"
            picture = (
                shown.frames[i][..., colours] if own_ground else self._on_other_ground(scene, number, colours, rng)[0]
            )
            maps = {"mattes": mattes[i : i + 1]}
            made.append((picture, Cues(FPS, shown.pose.size, "theatre", pose=shown.pose[i : i + 1], maps=maps)))
        return made


def _seen_again(cues: Cues, empty: np.ndarray, labels: np.ndarray, rng: np.random.Generator, law: Law) -> Cues:
    """`self_supervised` of one person's clip, with exact labels of `Rendering` and the stage without anything on it, uint8 (F, H, W, 3)."""
    held = labels == 2
    hidden = (labels == 1) | held
    return self_supervised(
        cues, lambda: np.where(hidden[..., None], empty, np.asarray(cues.pixels)), held, rng, law, pieces=labels > 2
    )


def _misled(pose: PoseTrack, rng: np.random.Generator) -> tuple[PoseTrack, PoseTrack]:
    """Driving poses (F, P, 18) and reference pose (1, P, 18) as a failing detector finds them, of exact ones (1 + F, P, 18)."""
    driven = corrupt(pose[1:], int(rng.choice(list(LEVELS))), rng)
    shaken = pose.keypoints[:1] + rng.normal(0, JITTER * pose.size[0], pose.keypoints[:1].shape).astype(np.float32)
    return driven, PoseTrack(shaken, pose.scores[:1], pose.size)


def _mattes(instances: np.ndarray, people: int) -> np.ndarray:
    """uint8 (P, H, W) of uint8 (H, W), p + 1 where person p is."""
    return np.stack([np.where(instances == p + 1, np.uint8(255), np.uint8(0)) for p in range(people)])
