"""The process in which jobs run, one after the other: a line of JSON in for each job, lines of JSON out.

In: what `perform` takes. Out: {"progress": [what, done, total]}, {"remark": text}, and at the end {"done": facts} or {"failed": why}.
The process ends when its input does, whatever it is doing, so that it never outlives the server.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bunraku.apps.serve.requests import animate_options, in_fields
from bunraku.errors import BunrakuError

Tell = Callable[[dict[str, Any]], None]

SECONDS_BETWEEN = 0.1  # reports of the same thing
FAULT = "an error of the program, not of yours; whoever runs it finds it in the log"


def perform(work: dict[str, Any], tell: Tell) -> None:
    """Run one job and tell how it ended.

    Args:
        work: `folder` with the job's files, `attempt`, the empty folder for what is made, `device`, and `request`, as
            `requests.JobRequest.stored` makes it.
        tell: called with each message.
    """
    from bunraku.animate import animate

    folder, attempt, request = Path(work["folder"]), Path(work["attempt"]), work["request"]
    names = {str(folder / file): shown for file, shown in request["names"].items()}
    remarks = Remarks(lambda text: tell({"remark": in_names(text, names)}))
    logger = logging.getLogger("bunraku")
    logger.addHandler(remarks)
    try:
        output = attempt / f"result.{request['format']}"
        options = animate_options(request, folder, attempt, work["device"])
        made = animate(folder / request["reference"], folder / request["driving"], output, options, Reports(tell))
        for path in [path for path in (made.output, made.sheet) if path]:
            with path.open("rb") as file:
                os.fsync(file.fileno())  # the database will say that it is there
        facts = {
            "frames": made.frames,
            "fps": float(made.fps),
            "size": made.size,
            "model": made.model,
            "device": made.device,
        }
        tell(
            {
                "done": facts
                | {"seed": made.seed, "seconds": made.seconds, "files": sorted(p.name for p in attempt.iterdir())}
            }
        )
    except BunrakuError as error:
        tell({"failed": in_names(str(error), names)})
    finally:
        logger.removeHandler(remarks)


def in_names(text: str, names: dict[str, str]) -> str:
    """A message of the library as the owner of the files understands it: their names for ours, fields for command-line options."""
    for path, shown in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(path, shown).replace(Path(path).name, shown)
    return in_fields(text)


class Remarks(logging.Handler):
    """Warnings of the library, each once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell, self._told = tell, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


class Reports:
    """Progress, not more often than anybody can see."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._last = tell, ("", 0.0)

    def __call__(self, what: str, done: int, total: int) -> None:
        before, then = self._last
        now = time.monotonic()
        if what != before or done >= total or now - then >= SECONDS_BETWEEN:
            self._last = what, now
            self._tell({"progress": [what, done, total]})


def main() -> None:
    # libraries print; what they print goes to the log, and the messages have the pipe for themselves
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.WARNING)
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        messages.write(json.dumps(message) + "\n")
        messages.flush()

    import bunraku.animate.run  # before the first job asks for it  # noqa: F401

    while True:
        work = json.loads(lines.get())
        try:
            perform(work, tell)
        except BaseException:
            tell({"failed": FAULT})
            raise  # what it has left in this process is not to be trusted


def _read(lines: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
