"""What the page says: words of people instead of names of options, paths and stages."""

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STAGES = {
    "look": "Opening",
    "prepare": "Preparing the clip",
    "people": "Looking for people",
    "outline": "Cutting the figure out",
    "perceive": "Looking for people",
    "matte": "Cutting the dancer out",
    "cut out": "Cutting the dancer out",
    "denoise": "Painting",
    "write": "Writing frames",
}
"""What is being done, by what `Progress` calls it."""

COMMAND = re.compile(r"`|--\w|\bbunraku \w+\b|_\w+=")


def stage(name: str) -> str:
    """Words for a stage of the work."""
    return STAGES.get(name, name.capitalize())


def plain(message: str, names: Mapping[Path, str]) -> str:
    """A message of the library without paths of this machine and without advice for the command line.

    Args:
        message: one or several clauses.
        names: what people call files.

    >>> plain("nobody was found in /tmp/x/still.png; use another, or mend it (`bunraku perceive`)", {Path("/tmp/x/still.png"): "elf.png"})
    'Nobody was found in elf.png; use another, or mend it.'
    """
    for path, name in sorted(names.items(), key=lambda item: -len(str(item[0]))):
        message = message.replace(str(path), name).replace(path.name, name)
    message = re.sub(
        r"\s*\([^()]*(?:--|`)[^()]*\)", lambda found: "" if COMMAND.search(found[0]) else found[0], message
    )
    kept = [clause for clause in re.split(r"(?<=[;,.:]) ", message) if not COMMAND.search(clause)]
    text = " ".join(kept or ["this cannot be used"]).strip(" ;,:.")
    text = re.sub(r"[;,:]? (and|or)$", "", text)
    begins_with_a_file = "." in text.split(" ")[0]
    return f"{text if begins_with_a_file else text[:1].upper() + text[1:]}."


def duration(seconds: float) -> str:
    """A time left, as people say it.

    >>> duration(3), duration(42), duration(200), duration(8000)
    ('a few seconds', '40 seconds', '3 minutes', '2 hours')
    """
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds / 10) * 10} seconds"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


class _Heard(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages, self._thread = messages, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread and (text := record.getMessage()) not in self._messages:
            self._messages.append(text)


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings that this thread's work gives meanwhile."""
    messages: list[str] = []
    handler, logger = _Heard(messages), logging.getLogger("bunraku")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
