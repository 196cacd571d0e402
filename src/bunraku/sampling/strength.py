"""How much a condition counts while a clip is denoised, and when."""

from dataclasses import dataclass

from bunraku.errors import BunrakuError

MOST = 10.0


@dataclass(frozen=True)
class Strength:
    """What a condition's effect is multiplied by, from `start` to `end` of the way from noise (0) to picture (1); outside it does not count.

    Raises:
        BunrakuError: numbers out of their ranges.
    """

    condition: str
    amount: float
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= MOST:
            raise BunrakuError(
                f"the strength of {self.condition} must be from 0 to {MOST:g}, not {self.amount:g} (--strength)"
            )
        if not 0 <= self.start < self.end <= 1:
            raise BunrakuError(
                f"{self.condition} counts from a start to a later end between 0 and 1, not from {self.start:g} to {self.end:g} (--strength)"
            )

    def at(self, progress: float) -> float:
        """The factor at a point of the way."""
        return self.amount if self.start <= progress < self.end or progress >= self.end == 1 else 0.0


def progress_at(timestep: float, training_timesteps: int) -> float:
    """How far a timestep is on the way from noise to picture.

    >>> progress_at(999, 1000), progress_at(499, 1000), progress_at(0, 1000)
    (0.0, 0.5, 0.999)
    """
    return 1 - (timestep + 1) / training_timesteps
