"""Work of many pieces, each done for itself, whatever becomes of the others: here one after the other; `cluster` does it on many machines."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bunraku.errors import BunrakuError
from bunraku.media.files import is_disk_full
from bunraku.progress import Progress, silent
from bunraku.sampling.share import ALONE, Share

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        name: what messages call it.
        item: what `Work.do` is given.
        needs: what `Work.prepare` is given, once for all tasks whose needs are equal; None: nothing has to be prepared. Tasks of equal needs
            stand together.
        workers: how many do it together, where there are so many.
    """

    name: str
    item: Any
    needs: Hashable = None
    workers: int = 1


class Work(ABC):
    """How a piece of work is done. An instance is light until it is used, because it travels to the machines; what it opens it keeps."""

    def prepare(self, needs: Any, report: Progress) -> Any:
        """What tasks of these needs share. It may be made in another process than the one that uses it."""
        return None

    @abstractmethod
    def do(self, item: Any, prepared: Any, report: Progress, share: Share = ALONE) -> Any:
        """Do one piece; returns what is to be known of it.

        Args:
            share: of this process, where several do the piece together.

        Raises:
            BunrakuError: it cannot be done.
        """


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its result, or the sentence that says why there is none.

    Attributes:
        seconds: that it took.
        where: the machine that did it; empty: this one.
    """

    task: Task
    result: Any = None
    error: str | None = None
    seconds: float = 0.0
    where: str = ""


Runner = Callable[[Work, Sequence[Task], Progress], Iterator[Outcome]]
"""Does tasks and yields what became of each, in the order in which they end."""


def run_here(work: Work, tasks: Sequence[Task], report: Progress = silent) -> Iterator[Outcome]:
    """Do tasks in this process, one after the other. A full disk ends it: the others would only find it full again."""
    needs, prepared, unprepared = None, None, None
    for number, task in enumerate(tasks):
        report("clips", number, len(tasks))
        started = time.perf_counter()
        if task.needs != needs:
            needs, (prepared, unprepared) = task.needs, attempt(partial(prepare, work, task.needs, report))
        result, fault = (None, unprepared) if unprepared else attempt(partial(work.do, task.item, prepared, report))
        yield Outcome(task, result, in_words(fault) if fault else None, time.perf_counter() - started)
        if fault and is_disk_full(fault):
            for left in tasks[number + 1 :]:
                yield Outcome(left, error=f"not begun: the disk was full before it ({task.name})")
            break
    report("clips", len(tasks), len(tasks))


def in_order(tasks: Sequence[Task], outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Outcomes in the order of their tasks, each as soon as all before it are there."""
    ended: dict[int, Outcome] = {}
    numbers = {id(task): number for number, task in enumerate(tasks)}
    following = 0
    for outcome in outcomes:
        ended[numbers[id(outcome.task)]] = outcome
        while following in ended:
            yield ended.pop(following)
            following += 1


def prepare(work: Work, needs: Any, report: Progress) -> Any:
    """What tasks of these needs share; None where they need nothing."""
    return None if needs is None else work.prepare(needs, report)


def attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call returns, or what it raises."""
    try:
        return call(), None
    except Exception as fault:
        return None, fault


def in_words(fault: Exception) -> str:
    """What a user is told of an exception; one that no user can cause is logged with its traceback."""
    if isinstance(fault, BunrakuError):
        return str(fault)
    logger.debug("unexpected", exc_info=fault)
    return f"{type(fault).__name__}: {fault}"
