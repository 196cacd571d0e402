"""Where things stand, and the camera that looks at them: a pinhole that slides, shakes, zooms and rolls, at rest at time 0."""

from dataclasses import dataclass

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.theatre.shapes import View

BACKDROP = 3.0
"""Distance of the painted background; the sliding camera moves it least."""


@dataclass(frozen=True)
class Placement:
    """Where a thing stands in the picture of the resting camera.

    Attributes:
        x: its middle, in frame heights from the frame's middle.
        floor: its foot, in frame heights from the top.
        height: its standing height, in frame heights (less in narrow frames).
        depth: its distance from the camera, above 0 and below BACKDROP. Nearer things cover farther ones and move more under a sliding
            camera; the size in the picture is `height` alone.

    Raises:
        BunrakuError: a depth outside the stage.
    """

    x: float = 0.0
    floor: float = 0.93
    height: float = 0.7
    depth: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.depth < BACKDROP:
            raise BunrakuError(f"a depth on the stage lies between 0 and {BACKDROP} (the background); got {self.depth}")

    def pixels(self, size: tuple[int, int]) -> tuple[float, tuple[float, float]]:
        """Pixels per standing height, and the foot's (x, y), in a picture of `size` (height, width)."""
        height, width = size
        # Narrow frames get smaller things, so that stretched arms still fit.
        return self.height * min(height, 1.2 * width), (width / 2 + self.x * height, self.floor * height)


@dataclass(frozen=True)
class Sway:
    """A smooth value over time that starts at 0: `amount` (sin(2 pi (cycles t + phase)) - sin(2 pi phase))."""

    amount: float
    cycles: float
    phase: float

    def __call__(self, time: np.ndarray) -> np.ndarray:
        return self.amount * (np.sin(2 * np.pi * (self.cycles * time + self.phase)) - np.sin(2 * np.pi * self.phase))


@dataclass(frozen=True)
class Camera:
    """Sums of sways; without any, the camera stands still.

    A thing at distance d that the resting camera shows at p (frame heights, as in `Placement`) is seen at

        p' = c + exp(zoom) R(roll) (p - c - slide / d - shake),        c = (0, 0.5), the middle of the frame.

    Attributes:
        slide_x, slide_y: travel parallel to the picture, in frame heights at distance 1: the parallax.
        shake_x, shake_y: turning of the camera, small enough to count as a shift of the whole picture, in frame heights.
        zoom: natural logarithm of the enlargement.
        roll: radians, positive turns the picture clockwise.
    """

    slide_x: tuple[Sway, ...] = ()
    slide_y: tuple[Sway, ...] = ()
    shake_x: tuple[Sway, ...] = ()
    shake_y: tuple[Sway, ...] = ()
    zoom: tuple[Sway, ...] = ()
    roll: tuple[Sway, ...] = ()

    @property
    def moves(self) -> bool:
        return self != Camera()

    def view(self, time: np.ndarray, depth: float, size: tuple[int, int]) -> View:
        """How pixels of a `size` (height, width) picture by the resting camera move, for things at distance `depth`.

        Args:
            time: (F,) in seconds.
        """
        height, width = size

        def total(sways: tuple[Sway, ...]) -> np.ndarray:
            return sum((sway(time) for sway in sways), np.zeros(len(time)))

        slide = np.stack([total(self.slide_x), total(self.slide_y)], -1) / depth
        shake = np.stack([total(self.shake_x), total(self.shake_y)], -1)
        scale, roll = np.exp(total(self.zoom)), total(self.roll)
        cos, sin = scale * np.cos(roll), scale * np.sin(roll)
        turn = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)
        middle = np.array([width / 2, height / 2])
        return View(turn, middle - (turn * (middle + (slide + shake) * height)[:, None]).sum(-1))


def sample_camera(rng: np.random.Generator) -> Camera:
    """A random hand-held or travelling camera that keeps the middle of the stage in the picture."""

    def sways(amount: float, slow: float, fast: float, count: int = 1) -> tuple[Sway, ...]:
        return tuple(
            Sway(float(rng.choice([-1, 1]) * amount * rng.uniform(0.6, 1) / count), float(rng.uniform(slow, fast)), float(rng.random()))
            for _ in range(count)
        )  # fmt: skip

    return Camera(
        slide_x=sways(0.1, 0.1, 0.22),
        slide_y=sways(0.015, 0.15, 0.3),
        shake_x=sways(0.012, 0.6, 1.6, 2),
        shake_y=sways(0.01, 0.6, 1.6, 2),
        zoom=sways(0.05, 0.1, 0.25),
        roll=sways(0.018, 0.2, 0.6),
    )
