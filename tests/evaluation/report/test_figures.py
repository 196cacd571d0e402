"""Numbers as tables show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.evaluation.report.figures import Scale, scale


@pytest.mark.parametrize(
    ("values", "unit", "texts", "head"),
    [
        ([22.512, 9.1], "dB", ["22.51", "9.10"], "dB"),
        ([0.8312, 0.7], "", ["0.831", "0.700"], ""),
        ([0.0312, 0.0271], "", ["0.0312", "0.0271"], ""),
        ([8.81e-5, 3.78e-4], "", ["0.88", "3.78"], "×10⁻⁴"),
        ([341.07, 42.4], "", ["341.1", "42.4"], ""),
        ([], "dB", [], "dB"),
        ([0.0], "px", ["0.000"], "px"),
        ([2e-5], "px", ["2.00"], "×10⁻⁵ px"),
    ],
)
def test_columns(values: list[float], unit: str, texts: list[str], head: str) -> None:
    found = scale(values, unit)
    assert [found.text(value) for value in values] == texts
    assert found.unit(unit) == head


def test_signs() -> None:
    assert Scale(0, 2).text(-1.234) == "−1.23"
    assert Scale(0, 2).text(1.236, sign=True) == "+1.24"


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=8))
def test_the_largest_keeps_three_digits(values: list[float]) -> None:
    found = scale(values)
    shown = float(found.text(max(values))) * 10.0**found.power
    assert shown == pytest.approx(max(values), rel=0.0051)
