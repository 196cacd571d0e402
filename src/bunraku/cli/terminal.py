"""What commands say and how they read: the log, progress bars, results, values with a form of their own."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bunraku.errors import BunrakuError
from bunraku.progress import ProgressLines, silent
from bunraku.typed import is_of_type

err = Console(stderr=True)
logger = logging.getLogger("bunraku")


class Log(logging.Handler):
    """The library's log on stderr, above a running progress bar; the same sentence is said once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        serious = record.levelno >= logging.WARNING
        text = f"{'warning: ' if serious else ''}{record.getMessage()}"
        if text in self._said:
            return
        self._said.add(text)
        err.print(text, style="yellow" if serious else "dim", soft_wrap=True, markup=False, highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function (what, done, total) that shows how far everything is: bars with the time left in a terminal, a line now and
    then where the output is piped into a file, nothing with --quiet."""
    if not logging.getLogger("bunraku").isEnabledFor(logging.INFO):
        yield silent
    elif err.is_terminal:
        with _bars() as advance:
            yield advance
    else:
        yield ProgressLines(lambda line: err.print(line, style="dim", soft_wrap=True, markup=False, highlight=False))


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=err) as bar:

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            elif done < bar.tasks[tasks[what]].completed:
                bar.reset(tasks[what], total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield advance


def result(data: dict[str, Any], as_json: bool, *lines: str) -> None:
    for line in [json.dumps(data, default=str, indent=2)] if as_json else lines:
        typer.echo(line)


def parsed_settings(pairs: list[str], config: type) -> dict[str, Any]:
    """KEY=VALUE for the fields of a dataclass, with values as YAML types them; text is text, also where YAML reads "no" as false.

    KEY.NAME=VALUE is an entry of a field that is a mapping.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    types = get_type_hints(config)
    if wrong := [pair for pair in pairs if not re.match(r"[\w.]+=", pair)]:
        raise BunrakuError(f"{wrong[0]!r} is no setting; give KEY=VALUE, such as --set steps=2000")
    if unknown := [key for key in (re.split(r"[.=]", pair)[0] for pair in pairs) if key not in types]:
        raise BunrakuError(f"there is no setting {unknown[0]!r}; there are {', '.join(types)}")
    try:
        values: dict[str, Any] = OmegaConf.to_container(OmegaConf.from_dotlist(pairs))  # type: ignore[assignment]
    except (OmegaConfBaseException, YAMLError) as error:
        raise BunrakuError(f"the settings {', '.join(pairs)} cannot be read: {error}") from error
    values |= {key: text for key, text in (pair.split("=", 1) for pair in pairs) if types.get(key) is str}
    for key, value in values.items():
        expected = types[key]
        values[key] = value = (
            tuple(value)
            if isinstance(value, list)
            else float(value)
            if expected is float and type(value) is int
            else value
        )
        if not is_of_type(value, expected):
            raise BunrakuError(
                f"{key} is {value!r}; expected {expected.__name__ if isinstance(expected, type) else expected}"
            )
    return values
