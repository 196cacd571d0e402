"""Options out of their range: refused, all at once, by the names that the command line has for them."""

from fractions import Fraction

import pytest

from bunraku.animate.options import AnimateOptions, MotionOptions
from bunraku.errors import BunrakuError


def test_values_out_of_range_are_all_named() -> None:
    MotionOptions()
    with pytest.raises(BunrakuError, match=r"^--person -1 must be at least 0; --max-people 0 must .* 8; --fps 0 must"):
        MotionOptions(person=-1, max_people=0, fps=Fraction(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps 0 must be from 1"),
        ({"guidance": float("nan")}, "guidance nan"),
        ({"window": 4, "overlap": 4}, "overlap 4 must be smaller than --window 4"),
        ({"overlap": -1}, "overlap -1"),
        ({"temperature": -0.1}, "--temperature -0.1 must be from 0 to 1000"),
        ({"temperature": 1001}, "temperature 1001 must"),
        ({"temperature": float("nan")}, "temperature nan must"),
        ({"fps": Fraction(-1)}, "--fps -1 must be from 0.001 to 1000"),
        ({"size": (16, 64)}, "--size 16x64 must be from 32 to 4096"),
        ({"person": -1}, "person -1"),
        ({"seed": -1}, "seed -1"),
        ({"scheduler": "magic"}, "unknown --scheduler 'magic'; there are ddim"),
        ({"retarget": "some"}, "unknown --retarget 'some'; there are grounded, full, align, fit, off"),
        ({"driving_kind": "film"}, "unknown --driving-kind 'film'; there are auto, rgb"),
        ({"max_people": 0}, "--max-people 0 must be from 1 to 8"),
        ({"steps": 0, "person": -1}, "person -1 must be at least 0; --steps 0 must be from 1 to 1000"),
    ],
)
def test_options_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(BunrakuError, match=message):
        AnimateOptions(**settings)
