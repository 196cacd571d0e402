"""What is typed for settings arrives as the type that the setting has."""

from dataclasses import dataclass

import pytest

from bunraku.cli.terminal import parsed_settings
from bunraku.errors import BunrakuError


@dataclass
class Settings:
    precision: str = ""
    steps: int = 0
    rate: float = 0.0
    parts: tuple[str, ...] = ()
    start: str | None = None


def test_types():
    pairs = ["precision=no", "steps=3", "rate=1", "parts=[a,b]", "start=runs/a=b"]
    found = parsed_settings(pairs, Settings)
    assert found == {"precision": "no", "steps": 3, "rate": 1.0, "parts": ("a", "b"), "start": "runs/a=b"}
    assert parsed_settings(["start=null"], Settings) == {"start": None}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("steps", "give KEY=VALUE"),
        ("width=1", "no setting 'width'; there are precision"),
        ("steps=many", "steps is 'many'"),
    ],
)
def test_what_cannot_be_read(pair, message):
    with pytest.raises(BunrakuError, match=message):
        parsed_settings([pair], Settings)
