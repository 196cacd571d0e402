"""Strip plots."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.evaluation.bootstrap import Estimate
from bunraku.evaluation.report.strip_plot import LEFT, RIGHT, ROW, WIDTH, Strip, axis, strip_plot, swarm

ends = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(ends)
def test_an_axis_has_two_to_five_round_numbers_within_it(found: tuple[float, float]) -> None:
    low, high, ticks = axis(*found)
    assert low <= found[0] < found[1] <= high
    assert 2 <= len(ticks) <= 5
    room = 1e-6 * (high - low) + 1e-9 * max(abs(low), abs(high))
    assert low - room <= ticks[0] < ticks[-1] <= high + room
    step = ticks[1] - ticks[0]
    mantissa = float(f"{step:e}".split("e")[0])
    assert mantissa == pytest.approx(1, rel=1e-3) or any(mantissa == pytest.approx(m, rel=1e-3) for m in (2, 5, 10))


@pytest.mark.parametrize("value", [0.0, 21.5, -3e-7])
def test_a_single_value_has_an_axis(value: float) -> None:
    low, high, ticks = axis(value, value)
    assert low < value < high
    assert len(ticks) >= 2


@given(st.lists(st.floats(0, 300), max_size=60), st.floats(1, 3))
def test_dots_stay_in_their_row_and_apart_where_there_is_room(across: list[float], radius: float) -> None:
    room = 11.0
    offsets = swarm(across, radius, room)
    assert len(offsets) == len(across)
    assert all(abs(offset) <= room for offset in offsets)
    if len(across) <= room / radius:  # so few fit above each other
        dots = list(zip(across, offsets, strict=True))
        gaps = [
            ((x - u) ** 2 + (y - v) ** 2) ** 0.5 for i, (x, y) in enumerate(dots) for u, v in dots[:i]
        ]  # fmt: skip
        assert all(gap >= 2 * radius - 1e-6 for gap in gaps)


def test_the_picture_puts_values_where_they_belong() -> None:
    strips = [
        Strip("a model with a long name", "red", False, {0: 10.0, 2: 20.0}, Estimate(15.0, 12.0, 18.0, 2)),
        Strip("<b>", "blue", True, {1: 15.0}, Estimate(15.0)),
    ]
    svg = strip_plot(strips, "psnr", 'told "so"')
    assert f'viewBox="0 0 {WIDTH} {2 * ROW + 24}"' in svg
    dots = {clip: float(x) for clip, x in re.findall(r'data-c="(\d)" cx="([\d.]+)"', svg)}
    assert dots == {"0": LEFT, "2": WIDTH - RIGHT, "1": (LEFT + WIDTH - RIGHT) / 2}
    assert svg.count('class="mean"') == 2
    assert svg.count('class="ci"') == 1
    assert "<title>a model with a long name</title>a model with…" in svg
    assert "&lt;b&gt;" in svg
    assert 'class="ceiling" style="color:blue"' in svg
    assert 'aria-label="told &quot;so&quot;"' in svg


def test_the_axis_is_written_in_the_power_of_the_table() -> None:
    strips = [Strip("mini", "red", False, {0: 0.002, 1: 0.012}, None)]
    texts = re.findall(r'text-anchor="middle">([^<]+)<', strip_plot(strips, "flicker", "", -3))
    assert texts == ["2", "4", "6", "8", "10", "12"] or texts == ["5", "10"]
