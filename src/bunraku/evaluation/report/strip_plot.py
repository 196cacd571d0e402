"""Strip plots as SVG: a row per system, a dot per clip, the mean with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bunraku.evaluation.bootstrap import Estimate
from bunraku.evaluation.report.figures import Scale
from bunraku.evaluation.report.html import Html, element

WIDTH, LEFT, RIGHT, ROW, AXIS = 330, 92, 12, 30, 24  # units of the picture


@dataclass(frozen=True)
class Strip:
    """One row.

    Attributes:
        label: on the left.
        colour: of the dots, in CSS.
        hollow: circles instead of dots.
        values: number of the clip -> value.
        mean: None draws none.
    """

    label: str
    colour: str
    hollow: bool
    values: Mapping[int, float]
    mean: Estimate | None


def strip_plot(strips: Sequence[Strip], name: str, alternative: str, power: int = 0) -> Html:
    """The picture.

    Args:
        strips: rows from top to bottom, each with a value at least.
        power: the numbers on the axis are values divided by 10 to this power.
        name: goes into the attribute data-metric.
        alternative: text for those who do not see it.
    """
    everything = [value for strip in strips for value in strip.values.values()]
    low, high, ticks = axis(min(everything), max(everything))
    look = _tick_scale(ticks, power)
    height = len(strips) * ROW + AXIS

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts: list[str] = []
    for tick in ticks:
        parts.append(element("line", class_="grid", x1=x(tick), x2=x(tick), y1=2, y2=height - AXIS + 2))
        parts.append(element("text", look.text(tick), x=x(tick), y=height - 6, text_anchor="middle"))
    for row, strip in enumerate(strips):
        middle = row * ROW + ROW / 2 + 2
        radius = 2.8 if len(strip.values) <= 80 else 2.0 if len(strip.values) <= 300 else 1.3
        across = [x(value) for value in strip.values.values()]
        dots = [
            element("circle", data_c=clip, cx=cx, cy=middle + dy, r=radius)
            for clip, cx, dy in zip(strip.values, across, swarm(across, radius, ROW / 2 - 4), strict=True)
        ]
        label = strip.label if len(strip.label) <= 13 else f"{strip.label[:12]}…"
        parts.append(element("text", element("title", strip.label), label, class_="name", x=0, y=middle + 4))
        parts.append(element("g", *dots, class_="ceiling" if strip.hollow else None, style=f"color:{strip.colour}"))
        if strip.mean is not None:
            if strip.mean.low is not None and strip.mean.high is not None:
                ends = {"x1": x(strip.mean.low), "x2": x(strip.mean.high)}
                parts.append(element("line", class_="ci", y1=middle, y2=middle, **ends))
            at = x(strip.mean.mean)
            parts.append(element("line", class_="mean", x1=at, x2=at, y1=middle - 9, y2=middle + 9))
    return element(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {height}", data_metric=name, role="img", aria_label=alternative
    )  # fmt: skip


def swarm(across: Sequence[float], radius: float, room: float) -> list[float]:
    """How far off the middle each dot lies so that dots do not overlap, as long as there is room.

    Args:
        across: where dots lie along the axis.
        radius: of a dot.
        room: largest distance from the middle.
    """
    steps = [0.0] + [sign * half / 2 for half in range(1, int(2 * room) + 1) for sign in (1, -1)]
    offsets = [0.0] * len(across)
    placed: list[tuple[float, float]] = []
    for index in sorted(range(len(across)), key=across.__getitem__):
        near = [(cx, cy) for cx, cy in placed[-64:] if across[index] - cx < 2 * radius]
        free = (
            step for step in steps
            if all(math.hypot(across[index] - cx, step - cy) >= 2 * radius for cx, cy in near)
        )  # fmt: skip
        offsets[index] = next(free, steps[(index * 7919) % len(steps)])
        placed.append((across[index], offsets[index]))
    return offsets


def axis(low: float, high: float, most: int = 5) -> tuple[float, float, list[float]]:
    """Ends of an axis that holds the values, and two to `most` round numbers on it."""
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = low - max(abs(low) / 2, 1e-9), high + max(abs(high) / 2, 1e-9)
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10):
        step = power * factor
        ticks = [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
        if len(ticks) <= most:
            break
    return low, high, ticks


def _tick_scale(ticks: Sequence[float], power: int) -> Scale:
    """As few decimals as tell the ticks apart."""
    step = (ticks[1] - ticks[0]) / 10.0**power
    return Scale(power, max(0, -math.floor(math.log10(step * 1.0001))))
