"""Walk: a motion that carries a body across the stage, to and fro."""

from dataclasses import dataclass, replace

import numpy as np

from bunraku.theatre.motion import Motion, Posture

_STRIDE = 0.66  # standing heights covered by two steps


@dataclass(frozen=True, eq=False)
class Walk:
    """Walking from one place to another and back for ever, slowing down before each turn.

    Attributes:
        start, end: the two places, in standing heights from the actor's own.
        seconds: duration of one way.
        phase: of the first step, in radians.
        arms: a motion that the arms and the head perform meanwhile; None: they swing with the legs.
    """

    start: float
    end: float
    seconds: float
    phase: float = 0.0
    arms: Motion | None = None

    @property
    def behind(self) -> tuple[bool, bool]:
        if self.arms is not None:
            return self.arms.behind
        return self.end < self.start, self.end >= self.start  # the far arm, on the way out

    def posture(self, time: np.ndarray) -> Posture:
        turns = np.asarray(time, float) / self.seconds
        whole = np.floor(turns)
        part = (1 - np.cos(np.pi * (turns - whole))) / 2  # of the way that is under way
        way = np.where(whole % 2 == 0, part, 1 - part)
        walked = (whole + part) * abs(self.end - self.start)
        # Speed as a part of the highest, positive to image right.
        speed = np.sin(np.pi * turns) * np.sign(self.end - self.start)

        step = 2 * np.pi * walked / _STRIDE + self.phase
        limbs = []
        for swing, side in ((step + np.pi, -1), (step, 1)):  # an arm swings with the other side's leg
            upper = 0.5 * speed * np.sin(swing) + side * 0.14
            limbs += [upper, upper + speed * (0.45 + 0.2 * np.sin(swing))]
        for swing, side in ((step, -1), (step + np.pi, 1)):
            thigh = 0.42 * speed * np.sin(swing) + side * 0.05
            # The knee bends while its leg swings forward.
            limbs += [thigh, thigh - speed * (0.08 + 0.75 * (0.5 + 0.5 * np.cos(swing)) ** 2)]
        still, one = np.zeros_like(speed), np.ones_like(speed)
        posture = Posture(
            x=self.start + (self.end - self.start) * way,
            jump=still,
            trunk=0.07 * speed,
            shoulders=0.03 * np.sin(step),
            hips=-0.03 * np.sin(step),
            head=0.04 * speed + 0.03 * np.sin(2 * step),
            shoulder_width=np.cos(0.85 * speed),
            hip_width=np.cos(0.7 * speed),
            yaw=0.9 * speed,
            nod=0.1 * np.sin(2 * step),
            limbs=np.stack(limbs, -1),
            trunk_stretch=one,
            stretch=np.ones((len(one), 8)),
        )
        if self.arms is None:
            return posture
        other = self.arms.posture(time)
        return replace(
            posture,
            limbs=np.concatenate([other.limbs[:, :4], posture.limbs[:, 4:]], 1),
            stretch=np.concatenate([other.stretch[:, :4], posture.stretch[:, 4:]], 1),
            head=posture.head + 0.5 * other.head,
            nod=other.nod,
        )
