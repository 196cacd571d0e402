"""Numbers as tables show them: one scale and one number of decimals for a column."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SMALLEST = 1e-2
"""Below it, a column is shown in powers of ten."""


@dataclass(frozen=True)
class Scale:
    """How a column of numbers is written.

    Attributes:
        power: shown are the numbers divided by 10 to this power, which `unit` says.
        decimals: behind the point.
    """

    power: int = 0
    decimals: int = 3

    def text(self, value: float, *, sign: bool = False) -> str:
        """The number with a true minus sign; `sign` shows a plus as well."""
        rounded = f"{value / 10.0**self.power:{'+' if sign else ''}.{self.decimals}f}"
        return rounded.replace("-", "−")

    def unit(self, unit: str = "") -> str:
        """What stands behind the numbers: the power of ten they are to be multiplied with, and the unit."""
        power = f"×10{superscript(self.power)}" if self.power else ""
        return " ".join(part for part in (power, unit) if part)


def scale(values: Iterable[float], unit: str = "") -> Scale:
    """Three digits of the largest number or more; decibels have two decimals.

    >>> scale([21.337, 9.5], "dB"), scale([0.8312]), scale([8.81e-5, 3.78e-4]), scale([341.07])
    (Scale(power=0, decimals=2), Scale(power=0, decimals=3), Scale(power=-4, decimals=2), Scale(power=0, decimals=1))
    """
    largest = max((abs(value) for value in values), default=0.0)
    if unit == "dB":
        return Scale(0, 2)
    if largest >= 100:
        return Scale(0, 1)
    if largest >= 1:
        return Scale(0, 2)
    if largest == 0 or largest >= 0.1:
        return Scale(0, 3)
    if largest >= _SMALLEST:
        return Scale(0, 2 - math.floor(math.log10(largest)))
    return Scale(math.floor(math.log10(largest)), 2)


def superscript(number: int) -> str:
    """The number in raised digits."""
    return str(number).translate(_SUPERSCRIPTS)
