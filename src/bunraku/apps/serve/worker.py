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
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bunraku.animate.jobs import Job
from bunraku.animate.options import AnimateOptions
from bunraku.apps.serve.requests import animate_options, in_fields
from bunraku.errors import BunrakuError
from bunraku.progress import Progress

Tell = Callable[[dict[str, Any]], None]
Files = Mapping[str, Path]

SECONDS_BETWEEN = 0.1  # reports of the same thing
FAULT = "an error of the program, not of yours; whoever runs it finds it in the log"


class Tasks:
    """What can be done, by the name that `JobRequest.task` has; a model stays open as long as jobs ask for the same.

    Each takes the place of the result, the stored request, the folder with its files, options, and a progress, and returns what is to
    be known of the result.
    """

    def __init__(self) -> None:
        from bunraku.animate.batch import AnimateWork

        self._animations = AnimateWork()

    def animate(self, output: Path, files: Files, options: AnimateOptions, report: Progress) -> dict[str, Any]:
        made = self._animations.do(Job("job", files["reference"], files["driving"], output, options), None, report)
        facts = {"model": made.model, "device": made.device, "seed": made.seed, "seconds": made.seconds}
        return facts | {"frames": made.frames, "fps": float(made.fps), "size": made.size}

    def preview(self, output: Path, files: Files, options: AnimateOptions, report: Progress) -> dict[str, Any]:
        from bunraku.animate.preview import METHODS, draw_retargeting

        methods = METHODS if options.retarget is None else (options.retarget,)
        drawn = draw_retargeting(files["reference"], files["driving"], output, methods, options, report)
        return {"frames": drawn.frames, "fps": float(drawn.fps), "size": drawn.size}

    def perceive(self, output: Path, files: Files, options: AnimateOptions, report: Progress) -> dict[str, Any]:
        from bunraku.animate.driving import perceive

        cues = perceive(files["driving"], options, on_frame=lambda done, total: report("perceive", done, total))
        replace(cues, media=None).save(output)  # it would be a path of this machine
        return {"frames": len(cues), "fps": float(cues.fps), "size": cues.size}


def perform(work: dict[str, Any], tasks: Tasks, tell: Tell) -> None:
    """Run one job and tell how it ended.

    Args:
        work: `folder` with the job's files, `attempt`, the empty folder for what is made, `device`, and `request`, as
            `requests.JobRequest.stored` makes it.
        tell: called with each message.
    """
    folder, attempt, request = Path(work["folder"]), Path(work["attempt"]), work["request"]
    names = {str(folder / file): shown for file, shown in request["names"].items()}
    remarks = Remarks(lambda text: tell({"remark": in_names(text, names)}))
    logger = logging.getLogger("bunraku")
    logger.addHandler(remarks)
    try:
        options = animate_options(request, folder, attempt, work["device"])
        files = {name: folder / file for name, file in request["files"].items()}
        do = {"animate": tasks.animate, "preview": tasks.preview, "perceive": tasks.perceive}[request["task"]]
        facts = do(attempt / f"result.{request['format']}", files, options, Reports(tell))
        made = sorted(attempt.iterdir())
        for path in made:
            with path.open("rb") as file:
                os.fsync(file.fileno())  # the database will say that it is there
        tell({"done": facts | {"files": [path.name for path in made]}})
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

    tasks = Tasks()
    while True:
        work = json.loads(lines.get())
        try:
            perform(work, tasks, tell)
        except BaseException:
            tell({"failed": FAULT})
            raise  # what it has left in this process is not to be trusted


def _read(lines: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
