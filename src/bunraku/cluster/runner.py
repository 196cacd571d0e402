"""The one who hands out work: whoever is free gets the next piece, what is lost with a worker is given to another one.

    tasks -> prepare (once for all tasks of equal needs) -> do (by one worker, or by several together) -> outcomes

Nothing of a run is kept here but names and counts: results are files that the workers put in place when they are complete, so a run that is
begun again does what is left.
"""

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from bunraku.cluster.worker import Ended, Place, Seat, Worker
from bunraku.errors import BunrakuError
from bunraku.progress import Progress, silent
from bunraku.work import Outcome, Runner, Task, Work

logger = logging.getLogger(__name__)

AHEAD = 2
"""So many pieces for each worker are looked at at a time; what is prepared for them lies in memory."""

PAUSE = 0.2
"""Seconds until a worker that is being started again is asked once more."""

PATIENCE = 60.0
"""Seconds that a worker may take to be there, before others go on without it; where there is none at all, a word is said so often."""


@dataclass(frozen=True)
class ClusterOptions:
    """Where work is done, and by how many.

    Attributes:
        address: of a running Ray cluster; None: one is started on this machine, and ended with the run.
        workers: how many; None: one per accelerator, or, where there is none, one per so many `cpus`.
        cpus: that each worker takes.
        gpu: whether each worker takes an accelerator; None: if there are any.
        tries: how often a piece of work is begun that is lost with its worker.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpu: bool | None = None
    tries: int = 3

    def __post_init__(self) -> None:
        for name in ("workers", "cpus", "tries"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise BunrakuError(f"--{name} must be at least 1, not {value}")


def cluster_runner(options: ClusterOptions = ClusterOptions()) -> Runner:
    """A `Runner` on the workers of a cluster.

    Raises:
        BunrakuError: Ray is not installed, or there is no such cluster.
    """
    _ray()

    def run(work: Work, tasks: Sequence[Task], report: Progress = silent) -> Iterator[Outcome]:
        # Ray writes of lost workers to stdout, which is for results
        with redirect_stdout(sys.stderr), _connected(options) as ray:
            yield from _Run(ray, work, tasks, options).outcomes(report)

    return run


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise BunrakuError(
            "Ray is not installed; pip install 'bunraku[cluster]' on every machine of the cluster"
        ) from None
    return ray


@contextmanager
def _connected(options: ClusterOptions) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    ray = _ray()
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if (inside := ray.is_initialized()) is False:
        try:
            if options.address:
                ray.init(options.address, **settings)
            else:
                cpus = options.workers * options.cpus if options.workers else None
                ray.init("local", num_cpus=cpus, include_dashboard=False, **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise BunrakuError(
                f"no Ray cluster answers at {options.address or 'this machine'} (--address): {error}"
            ) from error
    try:
        yield ray
    finally:
        if not inside:
            ray.shutdown()


@dataclass(eq=False)
class _Member:
    """A worker as it is seen from here.

    Attributes:
        place: None: it has not said yet where it is, or it is lost and will say so when it is there again.
        asked: when it was asked for that.
        needs: of what it did last.
    """

    handle: Any
    place: Place | None = None
    asked: float = 0.0
    needs: Hashable = None

    @property
    def host(self) -> str:
        return self.place.host if self.place else "a machine that never answered"


@dataclass(eq=False)
class _Piece:
    """A task on its way.

    Attributes:
        lost: a sentence for each worker that was lost with it.
        avoid: nodes where it did not come to an end.
    """

    task: Task
    lost: list[str] = field(default_factory=list)
    avoid: set[str] = field(default_factory=set)


@dataclass(eq=False)
class _Shared:
    """What tasks of equal needs share. `value` is a reference to what a worker has prepared; None: not yet."""

    value: Any = None
    error: str | None = None
    asked: bool = False
    lost: int = 0


@dataclass(eq=False)
class _Call:
    """What was asked of some workers: `answers` are to come, one of each.

    Attributes:
        piece: to be done; or None.
        shared: to be prepared, with the `value` that it will have; or None. Neither: the worker says where it is.
    """

    members: list[_Member]
    answers: list[Any]
    piece: _Piece | None = None
    shared: _Shared | None = None
    value: Any = None
    ended: dict[int, Ended] = field(default_factory=dict)


class _Run:
    """One run over one list of tasks."""

    def __init__(self, ray: Any, work: Work, tasks: Sequence[Task], options: ClusterOptions) -> None:
        self._ray, self._options, self._total = ray, options, len(tasks)
        # what several do together goes first: at the end the others would have nothing to do beside it
        self._queue = deque(_Piece(task) for task in sorted(tasks, key=lambda task: -task.workers))
        self._shared: dict[Hashable, _Shared] = {}
        self._calls: list[_Call] = []
        self._later: list[_Member] = []
        self._idle: list[_Member] = []
        self._full: set[str] = set()
        self._members = [self._hired(work) for _ in range(self._wanted())]

    def _wanted(self) -> int:
        resources = self._ray.cluster_resources()
        self._gpu = resources.get("GPU", 0) > 0 if self._options.gpu is None else self._options.gpu
        slots = int(resources.get("GPU", 0)) if self._gpu else int(resources.get("CPU", 0)) // self._options.cpus
        return min(self._options.workers or max(1, slots), sum(piece.task.workers for piece in self._queue))

    def _hired(self, work: Work) -> _Member:
        # a worker that has died is started again, on another machine where its own is gone
        actor = self._ray.remote(max_restarts=-1, num_cpus=self._options.cpus, num_gpus=int(self._gpu))(Worker)
        member = _Member(actor.remote(work))
        self._greet(member)
        return member

    def _greet(self, member: _Member) -> None:
        """Ask a worker where it is, which it says as soon as it is there (again)."""
        member.place, member.asked = None, time.monotonic()
        patient = member.handle.place.options(
            max_task_retries=-1
        )  # else it fails at once while the worker is started again
        self._calls.append(_Call([member], [patient.remote()]))

    def outcomes(self, report: Progress) -> Iterator[Outcome]:
        """All of them, in the order in which they end."""
        done = 0
        report("clips", done, self._total)
        try:
            while done < self._total:
                for outcome in chain(self._hand_out(), self._given_up(), self._answers()):
                    done += 1
                    report("clips", done, self._total)
                    yield outcome
        finally:
            for member in self._members:
                self._ray.kill(member.handle)

    def _hand_out(self) -> Iterator[Outcome]:
        """Give free workers something to do: what is ready first, then what has to be prepared."""
        front = [self._queue.popleft() for _ in range(min(len(self._queue), AHEAD * len(self._members)))]
        left, reserved = [], False
        for piece in front:
            shared = self._shared_by(piece)
            if shared.error is not None:
                yield Outcome(piece.task, error=shared.error)
            elif reserved or shared.value is None or not self._begin(piece, shared):
                left.append(piece)
                reserved |= shared.value is not None and piece.task.workers > 1  # free ones are kept for it
        for piece in left:
            shared = self._shared_by(piece)
            if not (reserved or shared.value or shared.asked) and (members := self._free(piece, 1)):
                ended, value = members[0].handle.prepare.options(num_returns=2).remote(piece.task.needs)
                self._ask(_Call(members, [ended], shared=shared, value=value), piece)
                shared.asked = True
        self._queue.extendleft(reversed(left))
        wanted = {piece.task.needs for piece in left} | {call.piece.task.needs for call in self._calls if call.piece}
        self._shared = {needs: shared for needs, shared in self._shared.items() if needs in wanted}

    def _shared_by(self, piece: _Piece) -> _Shared:
        needs = piece.task.needs
        return NOTHING if needs is None else self._shared.setdefault(needs, _Shared())

    def _begin(self, piece: _Piece, shared: _Shared) -> bool:
        """Whether there are free workers for it, which then begin."""
        members = self._free(piece, piece.task.workers)
        if not members:
            return False
        seats: list[Seat | None] = [None]
        if len(members) > 1:
            try:
                address = self._ray.get(members[0].handle.meeting.remote())
            except self._ray.exceptions.RayError:
                self._idle.remove(members[0])
                self._greet(members[0])
                return False
            seats = [Seat(rank, len(members), address) for rank in range(len(members))]
        value = None if shared is NOTHING else shared.value
        answers = [m.handle.do.remote(piece.task.item, value, seat) for m, seat in zip(members, seats)]
        self._ask(_Call(members, answers, piece=piece), piece)
        return True

    def _free(self, piece: _Piece, count: int) -> list[_Member]:
        """So many free workers, or as many as there are at all; none while they are not free, or on their way. Not where the piece has failed
        before, unless there is no other place."""
        if not self._idle:
            return []
        usable = [member for member in self._members if member.place and member.place.node not in self._full]
        usable = [member for member in usable if member.place.node not in piece.avoid] or usable  # type: ignore[union-attr]
        free = [member for member in usable if member in self._idle]
        coming = [member for member in self._members if not member.place and time.monotonic() - member.asked < PATIENCE]
        if len(free) < (count := min(count, len(usable) + len(coming))):
            return []
        # who has the clip in memory first
        return sorted(free, key=lambda member: member.needs != piece.task.needs)[:count]

    def _ask(self, call: _Call, piece: _Piece) -> None:
        self._calls.append(call)
        for member in call.members:
            self._idle.remove(member)
            member.needs = piece.task.needs

    def _answers(self) -> Iterator[Outcome]:
        """Wait until a worker answers, and see what it says."""
        if self._later:
            time.sleep(PAUSE)
            while self._later:
                self._greet(self._later.pop())
        answers = {
            answer: (call, rank)
            for call in self._calls
            for rank, answer in enumerate(call.answers)
            if rank not in call.ended
        }
        ready, _ = self._ray.wait(list(answers), timeout=PATIENCE) if answers else ([], [])
        if answers and not ready and not self._idle and not any(call.piece or call.shared for call in self._calls):
            logger.warning("no worker is there: %d are waited for", len(self._members))
        for answer in ready:
            call, rank = answers[answer]
            try:
                call.ended[rank] = self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                yield from self._lost(call, call.members[rank], error)
            else:
                if len(call.ended) == len(call.answers):
                    self._calls.remove(call)
                    yield from self._ended(call)

    def _ended(self, call: _Call) -> Iterator[Outcome]:
        if not (call.piece or call.shared):
            call.members[0].place = call.ended[0]  # type: ignore[assignment]
            self._rest(call.members)
            return
        ended = next((each for each in call.ended.values() if each.error and not each.partner_lost), call.ended[0])
        full = {call.members[rank].place.node for rank, each in call.ended.items() if each.full}  # type: ignore[union-attr]
        self._full |= full
        self._rest(call.members)
        if call.shared:
            call.shared.asked = False
            call.shared.value, call.shared.error = (None, ended.error) if ended.error else (call.value, None)
        elif call.piece and full:
            logger.warning("%s; nothing more is given to %s", ended.error, call.members[0].host)
            call.piece.avoid |= full
            self._queue.appendleft(call.piece)
        elif call.piece:
            name, host = call.piece.task.name, call.members[0].host
            for sentence in ended.warnings:
                logger.warning("%s: %s", name, sentence)
            yield Outcome(call.piece.task, ended.result, ended.error, ended.seconds, host)

    def _lost(self, call: _Call, member: _Member, error: Exception) -> Iterator[Outcome]:
        """A worker is gone. Those who worked with it begin anew too: they may wait for it."""
        self._calls.remove(call)
        if not (call.piece or call.shared):
            if isinstance(error, self._ray.exceptions.ActorUnavailableError):
                self._later.append(member)  # it is being started again
            else:
                self._dismiss(member, error)
            return
        sentence = f"its worker on {member.host} was lost ({type(error).__name__})"
        if call.piece and member.place and len(call.members) == 1:
            call.piece.avoid.add(member.place.node)
        for other in call.members:
            if other is not member:
                self._ray.kill(other.handle, no_restart=False)
            self._greet(other)
        if call.shared:
            call.shared.asked, call.shared.lost = False, call.shared.lost + 1
            if call.shared.lost >= self._options.tries:
                call.shared.error = f"given up after {call.shared.lost} tries: {sentence}"
        if call.piece:
            logger.warning("%s: %s", call.piece.task.name, sentence)
            logger.debug("%s", error)
            self._shared.pop(call.piece.task.needs, None)  # it may be lost with the machine
            call.piece.lost.append(sentence)
            if len(call.piece.lost) >= self._options.tries:
                yield Outcome(call.piece.task, error=f"given up after {len(call.piece.lost)} tries: {sentence}")
            else:
                self._queue.appendleft(call.piece)

    def _dismiss(self, member: _Member, error: Exception) -> None:
        """A worker that cannot be started is not waited for.

        Raises:
            BunrakuError: it was the last one.
        """
        self._members.remove(member)
        logger.warning("a worker could not be started: %s", error)
        if not self._members:
            raise BunrakuError(f"no worker could be started: {error}")

    def _rest(self, members: list[_Member]) -> None:
        self._idle += [member for member in members if member.place and member.place.node not in self._full]

    def _given_up(self) -> Iterator[Outcome]:
        """What nobody is left to do, because the disks of all machines are full."""
        self._idle = [member for member in self._idle if member.place and member.place.node not in self._full]
        if not (self._calls or self._later or self._idle):
            while self._queue:
                piece = self._queue.popleft()
                yield Outcome(piece.task, error="not done: the disk of every machine is full")


NOTHING = _Shared(value=True)
"""What tasks without needs share."""
