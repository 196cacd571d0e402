"""Motion: what a body does as a pure function of time, independent of the body that does it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Protocol

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack

LIMBS = ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13))
"""The eight limb bones as (parent, child) body joints: right arm, left arm, right leg, left leg, each upper then lower."""


@dataclass(frozen=True)
class Posture:
    """Body-independent poses over F frames; angles in radians, distances in standing body heights.

    Attributes:
        x, jump: (F,) offset of the body to image right, and height of the lowest sole above the floor.
        trunk, shoulders, hips, head: (F,) tilt against the upright front view, positive clockwise in the image.
        shoulder_width, hip_width: (F,) apparent width as a part of the full width; negative seen from behind.
        yaw, nod: (F,) head turned towards image right and upwards, each in [-1, 1].
        limbs: (F, 8) absolute direction of every bone of `LIMBS`; 0 points down, positive turns towards image right.
        trunk_stretch, stretch: (F,) and (F, 8) apparent length of trunk and limbs as a part of their full length.
    """

    x: np.ndarray
    jump: np.ndarray
    trunk: np.ndarray
    shoulders: np.ndarray
    hips: np.ndarray
    head: np.ndarray
    shoulder_width: np.ndarray
    hip_width: np.ndarray
    yaw: np.ndarray
    nod: np.ndarray
    limbs: np.ndarray
    trunk_stretch: np.ndarray
    stretch: np.ndarray


class Motion(Protocol):
    """Anything that knows the posture at any time."""

    @property
    def behind(self) -> tuple[bool, bool]:
        """Whether the right and the left arm pass behind the trunk."""
        ...

    def posture(self, time: np.ndarray) -> Posture:
        """The posture at `time` (F,) in seconds."""
        ...


# --- procedural dances -----------------------------------------------------------------------------------------------------------

_HARMONICS = (0.25, 0.5, 1.0)  # cycles per beat of the three sines behind every channel
# Channel: joint limits in degrees (travel and jump: hundredths of the body height; the *_short channels: percent of length lost).
# Abduction lifts a limb sideways from hanging down; a positive bend turns the lower bone further the same way.
_LIMITS: Mapping[str, tuple[float, float]] = {
    "travel": (-24, 24),
    "jump": (-60, 22),
    "trunk": (-22, 22),
    "shoulders": (-16, 16),
    "hips": (-12, 12),
    "head": (-22, 22),
    "yaw": (-60, 60),
    "nod": (-40, 40),
    "turn": (-55, 55),
    "arm_r": (-25, 178),
    "elbow_r": (-125, 135),
    "arm_l": (-25, 178),
    "elbow_l": (-125, 135),
    "leg_r": (-14, 85),
    "knee_r": (-110, 12),
    "leg_l": (-14, 85),
    "knee_l": (-110, 12),
    "arm_r_short": (0, 35),
    "elbow_r_short": (0, 35),
    "arm_l_short": (0, 35),
    "elbow_l_short": (0, 35),
    "leg_r_short": (0, 38),
    "knee_r_short": (0, 35),
    "leg_l_short": (0, 38),
    "knee_l_short": (0, 35),
}
_CHANNELS = tuple(_LIMITS)
_LOW, _HIGH = np.array(list(_LIMITS.values()), float).T

# A move: channel -> (mean, amplitude of each harmonic). "arm" and friends stand for both sides; how the sides relate in phase is
# drawn with the move's seed (mirrored, alternating or free).
_MOVES: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {
    "wave": {"arm": (140, 10, 25, 0), "elbow": (20, 0, 40, 15), "travel": (0, 14, 4, 0), "leg": (12, 0, 8, 0)},
    "jacks": {"arm": (95, 0, 75, 0), "elbow": (10, 0, 10, 0), "leg": (20, 0, 18, 0), "jump": (0, 0, 0, 9)},
    "swing": {"arm": (60, 25, 50, 0), "elbow": (30, 20, 30, 0), "trunk": (0, 5, 8, 0), "travel": (0, 16, 5, 0)},
    "disco": {"arm": (90, 20, 75, 0), "elbow": (0, 0, 15, 0), "hips": (0, 0, 9, 0), "leg": (16, 5, 5, 0)},
    "kick": {
        "leg": (22, 8, 38, 0),
        "knee": (-16, 0, 16, 0),
        "arm": (70, 20, 30, 0),
        "elbow": (30, 0, 35, 0),
        "jump": (-2, 0, 0, 6),
    },
    "twist": {
        "turn": (0, 10, 38, 0),
        "arm": (50, 0, 15, 0),
        "elbow": (70, 0, 30, 20),
        "leg": (18, 0, 12, 0),
        "knee": (-26, 0, 12, 0),
    },
    "march": {
        "leg": (6, 0, 6, 0),
        "leg_short": (16, 0, 22, 0),
        "knee": (-6, 0, 6, 0),
        "arm": (35, 0, 25, 0),
        "elbow": (50, 0, 60, 0),
    },
    "squat": {"leg": (34, 10, 22, 0), "knee": (-46, 10, 30, 0), "arm": (85, 20, 45, 0), "elbow": (15, 30, 40, 0)},
    "robot": {
        "arm": (88, 8, 10, 0),
        "elbow": (0, 30, 90, 0),
        "trunk": (0, 6, 5, 0),
        "turn": (0, 25, 0, 0),
        "leg": (12, 0, 6, 0),
    },
    "akimbo": {
        "arm": (48, 0, 8, 0),
        "elbow": (-95, 0, 14, 0),
        "hips": (0, 0, 11, 0),
        "travel": (0, 20, 5, 0),
        "leg": (16, 0, 12, 0),
    },
    "reach": {
        "arm": (80, 55, 45, 0),
        "elbow": (0, 15, 15, 0),
        "trunk": (0, 14, 6, 0),
        "leg": (22, 8, 10, 0),
        "travel": (0, 18, 0, 0),
    },
    "flap": {
        "arm": (85, 0, 30, 45),
        "elbow": (-15, 0, 20, 20),
        "jump": (0, 0, 0, 8),
        "leg": (14, 0, 10, 0),
        "travel": (0, 12, 0, 0),
    },
    "lunge": {
        "leg": (30, 18, 14, 0),
        "knee": (-26, 22, 14, 0),
        "trunk": (0, 13, 0, 0),
        "arm": (100, 40, 20, 0),
        "travel": (0, 20, 0, 0),
    },
}
_COMMON = {
    "travel": (0, 5, 3, 0),
    "trunk": (0, 3, 3, 0),
    "shoulders": (0, 3, 6, 0),
    "hips": (0, 3, 5, 0),
    "head": (0, 5, 7, 0),
    "yaw": (0, 25, 15, 0),
    "nod": (0, 5, 10, 5),
    "turn": (0, 10, 6, 0),
    "leg": (12, 2, 4, 0),
    "knee": (-10, 2, 8, 0),
    "jump": (-3, 0, 0, 3),
    "arm_short": (8, 6, 6, 0),
    "elbow_short": (10, 6, 10, 0),
    "leg_short": (3, 0, 3, 0),
    "knee_short": (3, 0, 3, 0),
}


@dataclass(frozen=True, eq=False)
class Dance:
    """A procedural dance: M moves, one after the other in a circle, each a sum of three sines per channel.

    Attributes:
        tempo: beats per minute.
        beats: how long each move lasts before it melts into the next.
        start: time of the first frame within the dance, in beats.
        mean, amplitude, phase: (M, C), (M, C, 3), (M, C, 3); degrees, degrees and radians.
        behind: whether the right and the left arm pass behind the trunk.
    """

    tempo: float
    beats: float
    start: float
    mean: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray
    behind: tuple[bool, bool]

    def posture(self, time: np.ndarray) -> Posture:
        beat = np.asarray(time, float) * self.tempo / 60 + self.start
        turn = 2 * np.pi * beat[:, None] * np.array(_HARMONICS)  # (F, 3)
        sines = np.sin(turn[:, None, None] + self.phase)  # (F, M, C, 3)
        moves = self.mean + (sines * self.amplitude).sum(-1)  # (F, M, C)
        raw = (moves * self._weights(beat)[..., None]).sum(1)
        middle, half = (_LOW + _HIGH) / 2, (_HIGH - _LOW) / 2
        # Joint limits: linear inside, flattening smoothly towards the stop.
        bounded = middle + half * np.tanh(np.abs((raw - middle) / half) ** 1.5) ** (1 / 1.5) * np.sign(raw - middle)
        return _posture(dict(zip(_CHANNELS, bounded.T)))

    def _weights(self, beat: np.ndarray) -> np.ndarray:
        """Share of each move at `beat`, (F, M), summing to one; neighbours cross-fade within a beat."""
        count = len(self.mean)
        if count == 1:
            return np.ones((len(beat), 1))
        distance = beat[:, None] / self.beats - np.arange(count)
        distance = np.abs((distance + count / 2) % count - count / 2)  # to the middle of each move, in moves
        ramp = np.clip((0.5 - distance) * self.beats + 0.5, 0, 1)
        weight = ramp * ramp * (3 - 2 * ramp)
        return weight / weight.sum(1, keepdims=True)


def sample_dance(rng: np.random.Generator) -> Dance:
    """A random energetic dance of two to four moves between 80 and 140 beats per minute."""
    names = rng.permutation(list(_MOVES))[: rng.integers(2, 5)]
    mean = np.zeros((len(names), len(_CHANNELS)))
    amplitude = np.zeros((*mean.shape, len(_HARMONICS)))
    phase = np.zeros_like(amplitude)
    for m, name in enumerate(names):
        relation = rng.choice([0.0, np.pi, rng.uniform(0, 2 * np.pi)])  # left side against right side
        for key, numbers in (_COMMON | dict(_MOVES[str(name)])).items():
            part, _, short = key.partition("_")
            paired = part in ("arm", "elbow", "leg", "knee")
            channels = [f"{part}_{side}{'_' + short if short else ''}" for side in "rl"] if paired else [key]
            shared = rng.uniform(0, 2 * np.pi, len(_HARMONICS))
            strength = rng.uniform(0.75, 1.25)
            for side, channel in enumerate(channels):
                c = _CHANNELS.index(channel)
                mean[m, c] = numbers[0] + rng.normal() * 0.1 * max(numbers[1:])
                amplitude[m, c] = np.array(numbers[1:]) * strength * rng.uniform(0.9, 1.1)
                phase[m, c] = shared + side * relation
    return Dance(
        tempo=float(rng.uniform(80, 140)),
        beats=float(rng.choice([4, 6, 8])),
        start=float(rng.uniform(0, 32)),
        mean=mean,
        amplitude=amplitude,
        phase=phase,
        behind=(bool(rng.random() < 0.2), bool(rng.random() < 0.2)),
    )


def _posture(channel: Mapping[str, np.ndarray]) -> Posture:
    """Turn anatomical channels (abduction, bend) into the absolute bone directions of a Posture."""
    a = {name: np.deg2rad(value) for name, value in channel.items()}
    limbs, stretch = [], []
    for upper, lower in (("arm", "elbow"), ("leg", "knee")):
        for side, sign in (("r", -1), ("l", 1)):
            root = a["trunk"] * (1 if upper == "arm" else 0.2)
            first = sign * a[f"{upper}_{side}"] - root
            limbs += [first, first + sign * a[f"{lower}_{side}"]]
            stretch += [1 - channel[f"{part}_{side}_short"] / 100 for part in (upper, lower)]
    return Posture(
        x=channel["travel"] / 100,
        jump=np.maximum(channel["jump"], 0) / 100,
        trunk=a["trunk"],
        shoulders=a["trunk"] * 0.8 + a["shoulders"],
        hips=a["trunk"] * 0.2 + a["hips"],
        head=a["trunk"] * 0.6 + a["head"],
        shoulder_width=np.cos(a["turn"]),
        hip_width=np.cos(a["turn"] * 0.7),
        yaw=np.sin(a["yaw"] * 0.7 + a["turn"] * 0.3),
        nod=np.sin(a["nod"]),
        limbs=np.stack(limbs, -1),
        trunk_stretch=np.ones_like(a["trunk"]),
        stretch=np.stack(stretch, -1),
    )


# --- recorded motion -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Recording:
    """Postures sampled at a fixed rate, interpolated in between and played back and forth for ever."""

    samples: Posture
    fps: float
    behind: tuple[bool, bool] = (False, False)

    def posture(self, time: np.ndarray) -> Posture:
        last = len(self.samples.x) - 1
        position = np.asarray(time, float) * self.fps
        if last:
            position = last - np.abs(position % (2 * last) - last)
        else:
            position = np.zeros_like(position)
        low = np.minimum(np.floor(position).astype(int), max(last - 1, 0))
        high, part = np.minimum(low + 1, last), position - low

        def between(value: np.ndarray) -> np.ndarray:
            weight = part.reshape(-1, *[1] * (value.ndim - 1))
            return value[low] * (1 - weight) + value[high] * weight

        return Posture(**{f.name: between(getattr(self.samples, f.name)) for f in fields(Posture)})


def motion_from_pose(track: PoseTrack, fps: float | Fraction) -> Recording:
    """The motion of one tracked person: directions and relative lengths of its bones, its path over the stage.

    Args:
        track: one person (P = 1), body joints 0-17; joints with score 0 are bridged from the frames in which they are seen.
        fps: frames per second of the track.

    Raises:
        BunrakuError: the track has no frame or more than one person, or neck, shoulders and hips are never seen.
    """
    if track.people != 1 or not len(track):
        raise BunrakuError(
            f"a motion is made from the track of one person; got {track.people} people in {len(track)} frames; use track.person(i)"
        )
    xy, seen = _bridge(track.keypoints[:, 0, :18].astype(float), track.scores[:, 0, :18] > 0)
    if not seen[[2, 5, 8, 11]].all():
        raise BunrakuError(
            "a motion needs both shoulders and both hips in at least one frame; give a clip that shows the whole trunk"
        )
    neck, pelvis = (xy[:, 2] + xy[:, 5]) / 2, (xy[:, 8] + xy[:, 11]) / 2
    trunk, shoulder, hip = neck - pelvis, xy[:, 5] - xy[:, 2], xy[:, 11] - xy[:, 8]
    bones = np.stack([xy[:, b] - xy[:, a] for a, b in LIMBS], 1)  # (F, 8, 2)
    angles = np.unwrap(np.arctan2(bones[..., 0], bones[..., 1]), axis=0)
    known = np.array([seen[a] and seen[b] for a, b in LIMBS])
    angles = np.where(known, angles, 0.0)
    stretch = np.where(known, _relative(np.linalg.norm(bones, axis=-1)), 1.0)

    # A standing body is about 3.3 trunks tall, whatever the clip shows of its legs.
    height = max(3.3 * float(np.quantile(np.linalg.norm(trunk, axis=-1), 0.95)), 1e-6)
    feet = [joint for joint in (10, 13) if seen[joint]]
    lowest = xy[:, feet, 1].max(1) if feet else np.zeros(len(track))
    eyes = xy[:, 15] - xy[:, 14] if seen[14] and seen[15] else shoulder
    ears = (xy[:, 16] + xy[:, 17]) / 2 if seen[16] and seen[17] else neck
    ear_distance = (
        np.linalg.norm(xy[:, 17] - xy[:, 16], axis=-1) if seen[16] and seen[17] else np.full(len(track), np.inf)
    )
    yaw = 2 * (xy[:, 0, 0] - ears[:, 0]) / np.maximum(ear_distance, 1e-6) if seen[0] else np.zeros(len(track))
    return Recording(
        Posture(
            x=(pelvis[:, 0] - np.median(pelvis[:, 0])) / height,
            jump=np.maximum(np.quantile(lowest, 0.9) - lowest, 0) / height,
            trunk=np.unwrap(np.arctan2(trunk[:, 0], -trunk[:, 1])),
            shoulders=_tilt(shoulder),
            hips=_tilt(hip),
            head=np.clip(_tilt(eyes), -0.7, 0.7),  # eyes seen from the side make no reliable line
            shoulder_width=_relative(np.linalg.norm(shoulder, axis=-1)) * _facing(shoulder),
            hip_width=_relative(np.linalg.norm(hip, axis=-1)) * _facing(hip),
            yaw=np.clip(yaw, -1, 1),
            nod=np.zeros(len(track)),
            limbs=angles,
            trunk_stretch=_relative(np.linalg.norm(trunk, axis=-1)),
            stretch=stretch,
        ),
        float(fps),
    )


def _bridge(xy: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill unseen joints linearly in time; also which joints (K,) are seen at all."""
    frames = np.arange(len(xy))
    filled = xy.copy()
    for joint in np.flatnonzero(seen.any(0)):
        good = seen[:, joint]
        for axis in range(2):
            filled[:, joint, axis] = np.interp(frames, frames[good], xy[good, joint, axis])
    return filled, np.asarray(seen.any(0))


def _relative(length: np.ndarray) -> np.ndarray:
    """Apparent lengths (F, ...) as a part of the full length, taken as their 95th percentile over time."""
    return np.clip(length / np.maximum(np.quantile(length, 0.95, axis=0), 1e-6), 0.05, 1.0)


def _facing(across: np.ndarray) -> np.ndarray:
    """+1 where the person's left is at image right (seen from the front), -1 where it is at image left."""
    return np.where(across[:, 0] < 0, -1.0, 1.0)


def _tilt(across: np.ndarray) -> np.ndarray:
    """Tilt (F,) of a right-to-left line against the horizontal, in (-pi/2, pi/2]; the side seen is left to `_facing`."""
    facing = _facing(across)
    return np.arctan2(across[:, 1] * facing, across[:, 0] * facing)
