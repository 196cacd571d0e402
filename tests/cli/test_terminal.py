"""What is typed arrives as what is meant, and what goes on is shown as it can be seen."""

import inspect
import logging
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from bunraku.cli.options import grouped
from bunraku.cli.terminal import Log, parsed_settings, progress
from bunraku.errors import BunrakuError
from bunraku.values import parsed_size


@dataclass
class Settings:
    precision: str = ""
    steps: int = 0
    rate: float = 0.0
    parts: tuple[str, ...] = ()
    start: str | None = None


def test_types():
    pairs = ["precision=float32", "steps=3", "rate=1", "parts=[a,b]", "start=runs/a=b"]
    found = parsed_settings(pairs, Settings)
    assert found == {"precision": "float32", "steps": 3, "rate": 1.0, "parts": ("a", "b"), "start": "runs/a=b"}
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


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch):
    """The clock, to be set."""
    now = [100.0]
    monkeypatch.setattr("bunraku.progress.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def level():
    logger = logging.getLogger("bunraku")
    before = logger.level
    yield logger.setLevel
    logger.setLevel(before)


def test_piped_progress_is_a_line_now_and_then_with_the_time_left(capsys, seconds, level):
    level(logging.INFO)
    with progress() as advance:
        for done in range(1, 31):
            seconds[0] += 2
            advance("denoise", done, 30)
        advance("write", 8, 8)
    # 29 steps of 2 s are counted from the first
    expected = [f"denoise {done}/30, {2 * (30 - done)} s left" for done in (5, 10, 15, 20, 25)]
    assert capsys.readouterr().err.splitlines() == [*expected, "denoise 30/30", "write 8/8"]


def test_quiet_shows_no_progress(capsys, seconds, level):
    level(logging.WARNING)
    with progress() as advance:
        seconds[0] += 100
        advance("denoise", 1, 2)
        advance("denoise", 2, 2)
    assert capsys.readouterr() == ("", "")


def test_the_same_sentence_is_said_once(capsys):
    log = Log()
    for text in ("pose detector: x", "pose detector: x", "another"):
        log.emit(logging.LogRecord("bunraku", logging.INFO, "", 0, text, None, None))
    assert capsys.readouterr().err.splitlines() == ["pose detector: x", "another"]


def test_one_number_is_a_square_and_said(caplog):
    with caplog.at_level(logging.INFO):
        assert parsed_size("64x32") == (64, 32)
        assert not caplog.records
        assert parsed_size("1024") == (1024, 1024)
    assert "1024 is a square, 1024x1024" in caplog.text


def test_a_group_stands_for_its_fields():
    @dataclass
    class Group:
        one: Annotated[int, "first"] = 1
        two: str = "b"

    given = []

    def command(*, name: str, group: Group, last: bool = False) -> None:
        given.append((name, group, last))

    made = grouped(command)
    assert [(p.name, p.default) for p in inspect.signature(made).parameters.values()] == [
        ("name", inspect.Parameter.empty), ("one", 1), ("two", "b"), ("last", False),
    ]  # fmt: skip
    assert made.__annotations__["one"] == Annotated[int, "first"]
    made(name="n", one=3, two="c", last=True)
    assert given == [("n", Group(3, "c"), True)]


@dataclass
class Typed:
    betas: tuple[float, float] = (0.9, 0.99)
    sizes: tuple[tuple[int, int], ...] = ()
    drop: dict[str, float] = field(default_factory=dict)
    kind: Literal["a", "b"] = "a"
    picture: int | tuple[int, int] = 8


@pytest.mark.parametrize(
    "pair",
    [
        "betas=1",
        "betas=[1]",
        "betas=[a,b]",
        "sizes=[[1]]",
        "sizes=[1,2]",
        "drop=3",
        "drop={pose: x}",
        "kind=c",
        "picture=[a,b]",
        "picture=x",
    ],
)
def test_settings_have_the_types_of_their_fields(pair):
    with pytest.raises(BunrakuError, match=f"{pair.split('=')[0]} is .*; expected "):
        parsed_settings([pair], Typed)


def test_settings_of_all_types():
    pairs = ["betas=[0,0.5]", "sizes=[[1,2],[3,4]]", "drop.pose=1", "kind=b", "picture=[8,16]"]
    assert parsed_settings(pairs, Typed) == {
        "betas": (0, 0.5), "sizes": ([1, 2], [3, 4]), "drop": {"pose": 1}, "kind": "b", "picture": (8, 16)
    }  # fmt: skip
