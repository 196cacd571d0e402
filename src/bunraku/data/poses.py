"""Training samples for `PoseRefiner`: motions of the theatre, as detectors and retargeting make them, and as they are."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch.utils.data import Dataset

from bunraku.cues.pose_refiner import motion_of
from bunraku.cues.retarget import MIRROR, NECK, retarget_people
from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import Scene, sample_scene
from bunraku.theatre.character import ODDITIES, sample_human, sample_odd_character
from bunraku.theatre.detector import LEVELS, corrupt
from bunraku.theatre.scene import SPLITS, poses
from bunraku.theatre.turn import sample_turn

SIZE = (256, 256)
"""Of the pictures in whose pixels poses are, (height, width)."""
SECONDS = 20.0
"""Of a dance, somewhere in which a sample begins."""
LED = 0.45
"""Share of the samples that another body's motion drives; of the others `RETARGETED` are retargeted all the same, as `animate` does."""
RETARGETED = 0.3
CLEAN, CORRUPTED = 0.3, 0.35
"""Share of the samples whose poses no detector spoiled; and of the others the share that `corrupt` spoils."""
DEVIATIONS = (0.0005, 0.008)
"""Of joints as a tracking detector finds them, in heights of the picture."""
ODD, TURNED, CROWDED, MOVED = 0.4, 0.2, 0.25, 0.15
"""Shares of odd bodies, of bodies that turn, of walkers, and of moving cameras."""
USUAL_RATE = 0.5
"""Share of the samples at 12 frames a second, the others lie between 8 and 30."""
UNEVEN = 0.8
"""Share of the samples whose tempo changes within some frames: people stop, and start, and hit a pose, which no noise is."""
CHANGES, SPREAD, FASTEST = (2, 8), 1.0, 4.0
"""Frames between two tempi, deviation of their logarithms, and the most times the usual one."""
TRIES = 8


@dataclass(frozen=True)
class PoseSamples(Dataset):
    """Endless samples; sample i is a function of (seed, split, i) alone.

    Args:
        seed: of the whole data set.
        frames: of a sample.
        split: "train", "val" or "test" of the theatre's characters and motions.
        kind: "any", or one thing alone, for validation: "clean" poses of the character itself, "spoiled" ones, or "led" by another body.
    """

    seed: int
    frames: int = 48
    split: str = "train"
    kind: Literal["any", "clean", "spoiled", "led"] = "any"

    def __getitem__(self, index: int) -> list[np.ndarray]:
        """Of the sample and its mirror image, float32 (2, ...): points, seen and body of `Motion`, then the truth: points (F, 18, 2) in the same unit
        about the same origin, NaN where they are nowhere seen, and which of them can be seen (F, 18)."""
        for attempt in range(TRIES):
            with suppress(BunrakuError):
                tracks = self.tracks(np.random.default_rng([self.seed, index, attempt]))
                both = [_arrays(*tracks), _arrays(*map(_mirrored, tracks))]
                return [np.stack(pair) for pair in zip(*both, strict=True)]
        raise BunrakuError(f"sample {index} of seed {self.seed} has nobody to be seen")

    def tracks(self, rng: np.random.Generator) -> tuple[PoseTrack, PoseTrack, PoseTrack]:
        """Given poses (F, 1, 18) on the character, its pose in the still (1, 1, 18), and its true poses (F, 1, 18)."""
        scene, person = self._scene(rng)
        rate = 12.0 if rng.random() < USUAL_RATE else float(np.exp(rng.uniform(np.log(8), np.log(30))))
        span = SECONDS if len(scene.actors) == 1 else 3.0
        start = rng.uniform(0, max(0.1, span - self.frames / rate))
        tempo = _tempo(rng, self.frames) if self.kind == "any" and rng.random() < UNEVEN else np.ones(self.frames)
        time = start + (np.cumsum(tempo) - tempo[0]) / rate
        truth = poses(scene, time, SIZE).person(person)
        led = self.kind == "led" or (self.kind == "any" and rng.random() < LED)
        if not led:
            own = poses(scene, np.array([rng.uniform(0, span)]), SIZE).person(person)
            given, retargeted = truth, self.kind == "any" and rng.random() < RETARGETED
        else:
            # the still shows it where it will stand, as a still and a clip do not say where that is
            long = poses(scene, np.arange(0, SECONDS, 1 / 12), SIZE).person(person)
            goal = np.median(truth.keypoints[:, 0, NECK], 0)
            nearest = int(np.square(long.keypoints[:, 0, NECK] - goal).sum(-1).argmin())
            own = long[[nearest]]
            shift = np.array([goal[0] - own.keypoints[0, 0, NECK, 0], 0], np.float32)
            own = replace(own, keypoints=own.keypoints + shift)
            other = sample_scene(int(rng.integers(2**31)), self.split).actors[0].character
            body = sample_human(rng, SPLITS[self.split]) if rng.random() < 0.6 else other
            given, retargeted = poses(scene.recast(person, character=body), time, SIZE).person(person), True
        if self.kind in ("any", "spoiled"):
            given, own = self._spoiled(given, own, rng)
        return retarget_people(given, own) if retargeted else given, own, truth

    def _scene(self, rng: np.random.Generator) -> tuple[Scene, int]:
        seed, people = int(rng.integers(2**31)), 1
        if self.kind == "any" and rng.random() < CROWDED:
            people = int(rng.integers(2, 4))
        scene = sample_scene(seed, self.split, people=people, moving_camera=rng.random() < MOVED)
        person = int(rng.integers(people))
        if rng.random() < ODD:
            oddity = str(rng.choice(list(ODDITIES)))
            scene = scene.recast(person, character=sample_odd_character(rng, oddity, SPLITS[self.split]))
        if rng.random() < TURNED:
            scene = scene.recast(person, motion=sample_turn(rng, scene.actors[person].motion))
        return scene, person

    def _spoiled(self, given: PoseTrack, own: PoseTrack, rng: np.random.Generator) -> tuple[PoseTrack, PoseTrack]:
        if self.kind == "any" and rng.random() < CLEAN:
            return given, own
        if rng.random() < 0.5:
            own = _shaken(own, rng, 0.004)
        if self.kind == "spoiled" or rng.random() < CORRUPTED:
            return corrupt(given, int(rng.choice(list(LEVELS))), rng), own
        return _found(given, rng), own


def _tempo(rng: np.random.Generator, frames: int) -> np.ndarray:
    """How much faster than usual time goes in every frame, (F,), 1 on average."""
    knots = np.cumsum([0, *rng.integers(*CHANGES, frames)])
    tempi = np.exp(rng.normal(0, SPREAD, len(knots))).clip(max=FASTEST)
    tempo = np.interp(np.arange(frames), knots, tempi)
    return np.asarray(tempo / tempo.mean())


def _arrays(given: PoseTrack, own: PoseTrack, truth: PoseTrack) -> list[np.ndarray]:
    motion = motion_of(given, own)
    if motion is None:
        raise BunrakuError("nobody is to be seen")
    right = np.where(motion.known[:, None], (truth.keypoints[:, 0] - motion.origin) / motion.unit, np.nan)
    arrays = motion.points, motion.seen, motion.body, right, truth.scores[:, 0]
    return [np.asarray(array, np.float32) for array in arrays]


def _mirrored(track: PoseTrack) -> PoseTrack:
    keypoints = np.array([track.size[1], 0], np.float32) - track.keypoints[:, :, MIRROR] * np.array([1, -1], np.float32)
    return PoseTrack(keypoints, track.scores[:, :, MIRROR], track.size)


def _shaken(track: PoseTrack, rng: np.random.Generator, deviation: float) -> PoseTrack:
    noise = rng.normal(0, deviation * track.size[0], track.keypoints.shape)
    return replace(track, keypoints=(track.keypoints + noise).astype(np.float32))


def _found(track: PoseTrack, rng: np.random.Generator) -> PoseTrack:
    """What a tracking detector makes of poses: errors that last, worse in some joints; joints, and now and then everything, lost for a while."""
    frames = len(track)
    deviation = np.exp(rng.uniform(*np.log(DEVIATIONS))) * track.size[0]
    lasting = rng.choice([0.0, 0.5, 0.85])
    fresh = rng.normal(0, 1, (frames, 18, 2)) * np.exp(rng.normal(0, 0.4, (18, 1)))
    error = np.empty_like(fresh)
    error[0] = fresh[0]
    for t in range(1, frames):
        error[t] = lasting * error[t - 1] + np.sqrt(1 - lasting**2) * fresh[t]
    scores = track.scores.copy()
    for joint in range(18):
        for _ in range(int(rng.poisson(0.4))):
            begin = int(rng.integers(frames))
            scores[begin : begin + int(rng.integers(1, 9)), 0, joint] = 0
    if rng.random() < 0.2:
        begin = int(rng.integers(frames))
        scores[begin : begin + int(rng.integers(1, 5))] = 0
    for _ in range(int(rng.poisson(0.5))):
        error[rng.integers(frames), rng.integers(18)] += rng.normal(0, 0.06 * track.size[0], 2)
    keypoints = (track.keypoints[:, 0] + deviation * error)[:, None].astype(np.float32)
    return PoseTrack(np.where(scores[..., None] > 0, keypoints, 0), scores, track.size)
