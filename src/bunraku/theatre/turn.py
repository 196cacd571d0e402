"""Turn: a motion whose body also turns round its vertical axis, as far as seen from behind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bunraku.theatre.camera import Sway
from bunraku.theatre.motion import Motion, Posture


@dataclass(frozen=True)
class Turn:
    """A motion seen from an angle of `start` plus `sways`, in radians: 0 from the front, pi from behind, positive to image right.

    Widths and the sideways part of every limb shrink with the cosine; the head looks where the body does. A flat puppet has no
    depth, so a limb stretched sideways points at the camera in side view and is short.
    """

    motion: Motion
    start: float
    sways: Sequence[Sway] = ()

    @property
    def behind(self) -> tuple[bool, bool]:
        return self.motion.behind

    def angle(self, time: np.ndarray) -> np.ndarray:
        """(F,) at `time` (F,) in seconds."""
        return self.start + sum((sway(time) for sway in self.sways), np.zeros(len(time)))

    def posture(self, time: np.ndarray) -> Posture:
        front, angle = self.motion.posture(time), self.angle(time)
        cos = np.cos(angle)
        wide = np.where(np.abs(cos) < _NARROWEST, np.where(cos < 0, -_NARROWEST, _NARROWEST), cos)
        sideways = np.sin(front.limbs) * cos[:, None]
        down = np.cos(front.limbs)
        return replace(
            front,
            shoulders=front.shoulders * cos,
            hips=front.hips * cos,
            trunk=front.trunk * cos,
            head=front.head * cos,
            shoulder_width=front.shoulder_width * wide,
            hip_width=front.hip_width * wide,
            yaw=np.clip(front.yaw * np.abs(cos) + np.sin(angle), -1, 1),
            limbs=np.arctan2(sideways, down),
            stretch=front.stretch * np.maximum(np.hypot(sideways, down), _SHORTEST),
        )


_NARROWEST = 0.15  # the trunk's width in side view, as a part of the front's
_SHORTEST = 0.25


def sample_turn(rng: np.random.Generator, motion: Motion) -> Turn:
    """Of a motion: a body that mostly faces the camera, sometimes turns to the side, and one time in five turns its back."""
    kind = rng.random()
    start = rng.normal(0, 0.35) if kind < 0.8 else np.pi + rng.normal(0, 0.35)
    amount = rng.uniform(0.3, 1.4) if kind > 0.4 else 0.0
    sway = Sway(float(amount * rng.choice([-1, 1])), float(rng.uniform(0.08, 0.3)), float(rng.random()))
    return Turn(motion, float(start), (sway,))
