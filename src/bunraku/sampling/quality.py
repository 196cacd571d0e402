"""Quality: a word for how many steps are made, and how many of them are guided."""

from typing import Literal

Quality = Literal["fast", "balanced", "best"]

SHARES: dict[Quality, tuple[float, float]] = {"fast": (0.3, 0.6), "balanced": (0.6, 0.8), "best": (1.0, 1.0)}
"""Share of a model's own steps that are made, and the share of these, from the first on, that are guided."""
