"""Motions of the gallery, danced by a puppet of the theatre: python examples/drawings/motions.py"""

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from bunraku.cues.cues import Cues
from bunraku.theatre import Actor, Motion, Placement, Walk, sample_background, sample_character
from bunraku.theatre.motion import Posture
from bunraku.theatre.scene import Scene, stage

FPS, SIZE = 24, (720, 720)
GALLERY = Path(__file__).resolve().parents[2] / "src/bunraku/assets/gallery"


@dataclass(frozen=True)
class Key:
    """A moment of a dance, angles in degrees: limbs (upper, lower) as they point, 0 down, positive to image right; tilts clockwise;
    `x` and `jump` in hundredths of the standing height."""

    right_arm: tuple[float, float] = (-14, -10)
    left_arm: tuple[float, float] = (14, 10)
    right_leg: tuple[float, float] = (-5, -3)
    left_leg: tuple[float, float] = (5, 3)
    x: float = 0
    jump: float = 0
    trunk: float = 0
    hips: float = 0
    head: float = 0
    yaw: float = 0

    @property
    def mirrored(self) -> "Key":
        """The same, left for right."""

        def other(limb: tuple[float, float]) -> tuple[float, float]:
            return -limb[0], -limb[1]

        return Key(
            other(self.left_arm), other(self.right_arm), other(self.left_leg), other(self.right_leg),
            -self.x, self.jump, -self.trunk, -self.hips, -self.head, -self.yaw,
        )  # fmt: skip

    @property
    def numbers(self) -> list[float]:
        limbs = (*self.right_arm, *self.left_arm, *self.right_leg, *self.left_leg)
        return [*limbs, self.x, self.jump, self.trunk, self.hips, self.head, self.yaw]


@dataclass(frozen=True, eq=False)
class Choreography:
    """Keys at even distances, round and round."""

    keys: tuple[Key, ...]
    seconds: float
    behind: tuple[bool, bool] = (False, False)

    def posture(self, time: np.ndarray) -> Posture:
        """As of a `Motion`."""
        numbers = np.array([key.numbers for key in (*self.keys, self.keys[0])])
        spline = CubicSpline(np.linspace(0, self.seconds, len(numbers)), numbers, bc_type="periodic")
        values = spline(np.asarray(time, float) % self.seconds)
        limbs, (x, jump, trunk, hips, head, yaw) = np.radians(values[:, :8]), values[:, 8:].T
        trunk, one = np.radians(trunk), np.ones(len(values))
        return Posture(
            x=x / 100, jump=np.maximum(jump, 0) / 100, trunk=trunk, shoulders=1.2 * trunk, hips=np.radians(hips),
            head=np.radians(head), shoulder_width=one, hip_width=one, yaw=np.sin(np.radians(yaw)), nod=0 * one,
            limbs=limbs, trunk_stretch=one, stretch=np.ones((len(values), 8)),
        )  # fmt: skip


def dance() -> Choreography:
    """Eight beats: down, to the side, arms crossed, a leap; then the other way round."""
    down = Key((-38, -66), (38, 66), (-22, 8), (22, -8))
    side = Key((-62, -128), (118, 158), (-25, -19), (16, -7), x=7, trunk=7, hips=-5, head=9, yaw=25)
    crossed = Key((-34, 52), (34, -52), (-12, 2), (12, -2), x=2, trunk=-2, head=-6, yaw=-10)
    leap = Key((-152, -172), (152, 172), (-10, -4), (10, 4), jump=5, head=-2)
    keys = (down, side, crossed, leap)
    return Choreography((*keys, *(key.mirrored for key in keys)), 4)


def wave() -> Choreography:
    """A hand goes up, waves three times, and comes down."""
    rest = Key()
    out, inwards = (Key((-122, angle), x=-1, trunk=-3, hips=2, head=-7, yaw=-12) for angle in (-142, -196))
    lifted = Key((-80, -118), (15, 12), trunk=-2, head=-4, yaw=-6)
    return Choreography((rest, lifted, out, inwards, out, inwards, out, inwards, out, lifted, rest, rest), 4)


def written(motion: Motion, name: str, seconds: float, folder: Path) -> None:
    """NAME.cues: the poses of a puppet in that motion."""
    character = sample_character(np.random.default_rng(4))
    actor = Actor(character, motion, Placement(0, 0.92, 0.7))
    scene = Scene((actor,), sample_background(np.random.default_rng(0)), fps=Fraction(FPS))
    pose = stage(scene, np.arange(round(seconds * FPS)) / FPS, SIZE).pose
    Cues(Fraction(FPS), SIZE, f"{name}, a motion of the gallery", pose).save(folder / f"{name}.cues")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=GALLERY)
    folder = parser.parse_args().output
    written(dance(), "dance", 4, folder)
    written(wave(), "wave", 4, folder)
    written(Walk(-0.22, 0.22, 2), "walk", 4, folder)


if __name__ == "__main__":
    main()
