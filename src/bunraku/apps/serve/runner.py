"""Gives jobs to worker processes, one at a time each, and kills a worker to stop its job: nothing else stops any job at any point."""

import asyncio
import json
import logging
import os
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from bunraku.apps.serve.metrics import Metrics
from bunraku.apps.serve.requests import ProgressView
from bunraku.apps.serve.settings import Settings
from bunraku.apps.serve.store import Job, State, Store

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 2**20  # bytes
SECONDS_BETWEEN_LOOKS = 0.5  # at a worker's memory and time
SECONDS_BETWEEN_TRIES = 5  # to write to a full disk
SECONDS_BETWEEN_DELETIONS = 60


@dataclass
class Run:
    """A job that a worker has: how far it is, what was remarked, and why it was stopped, if it was."""

    job: Job
    process: Process
    began: float = field(default_factory=time.monotonic)
    progress: ProgressView | None = None
    remarks: list[str] = field(default_factory=list)
    stopped: str | None = None

    def stop(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        with suppress(ProcessLookupError):
            self.process.kill()


@dataclass(frozen=True)
class End:
    """How a run ended."""

    state: State
    error: str | None = None
    result: dict[str, Any] | None = None


class Runner:
    """Everything that happens without being asked for: jobs run, and what is old is deleted."""

    def __init__(self, store: Store, settings: Settings, metrics: Metrics) -> None:
        self._store, self._settings, self._metrics = store, settings, metrics
        self._runs: dict[str, Run] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for device in self._settings.devices:
                tasks.create_task(self._serve(device))
            tasks.create_task(self._delete())

    def changed(self) -> asyncio.Event:
        """Set at the next change of anything; take it before looking, then wait for it."""
        return self._changed

    def notify(self) -> None:
        """Something has changed, such as a new job."""
        self._changed.set()
        self._changed = asyncio.Event()

    def progress(self, job: Job) -> ProgressView | None:
        """How far a job is that runs."""
        return self._runs[job.id].progress if job.id in self._runs else None

    def cancel(self, job: Job) -> bool:
        """End a job that waits or runs, for good; False: it had ended before."""
        if not self._store.end(job, "cancelled"):
            return False
        if run := self._runs.get(job.id):
            run.stop("cancelled")
        else:
            self._store.tidy(job)
        self._metrics.ended("cancelled", None)
        self.notify()
        return True

    async def _serve(self, device: str | None) -> None:
        """One worker: jobs one after the other, in one process as long as nothing goes wrong."""
        process: Process | None = None
        try:
            while True:
                process = await _alive(process)
                changed = self.changed()
                try:
                    job = self._store.claim()
                except (sqlite3.Error, OSError) as error:
                    logger.error("no job can be begun: %s", error)
                    await asyncio.sleep(SECONDS_BETWEEN_TRIES)
                    continue
                if job is None:
                    await changed.wait()
                    continue
                process = await _alive(process)
                await self._perform(Run(job, process), device)
        finally:
            if process is not None and process.returncode is None:
                process.kill()

    async def _perform(self, run: Run, device: str | None) -> None:
        """Run a job to its end and write that down."""
        job = run.job
        self._runs[job.id] = run
        self.notify()
        watch = asyncio.create_task(self._watch(run))
        try:
            end = await self._listen(run, device)
        finally:
            watch.cancel()
            del self._runs[job.id]
        ended = await self._written(job, end, run.remarks)
        self._store.tidy(job)
        if ended:
            self._metrics.ended(end.state, time.monotonic() - run.began)
        self.notify()

    async def _listen(self, run: Run, device: str | None) -> End:
        assert run.process.stdin is not None and run.process.stdout is not None  # noqa: PT018
        work = {
            "folder": str(self._store.folder(run.job)), "attempt": str(self._store.attempt(run.job)), "device": device,
            "request": run.job.request,
        }  # fmt: skip
        with suppress(ConnectionError):
            run.process.stdin.write(json.dumps(work).encode() + b"\n")
            await run.process.stdin.drain()
        async for line in run.process.stdout:
            message = json.loads(line)
            if "progress" in message:
                what, done, total = message["progress"]
                run.progress = ProgressView(what=what, done=done, total=total)
            elif "remark" in message:
                run.remarks.append(message["remark"])
            elif "done" in message:
                return End("done", result=message["done"])
            else:
                return End("failed", message["failed"])
            self.notify()
        code = await run.process.wait()
        return End(
            "failed", run.stopped or f"the process that worked on it died ({_how(code)}), perhaps for lack of memory"
        )

    async def _watch(self, run: Run) -> None:
        """Stop a run that takes more than is granted."""
        minutes, memory = self._settings.minutes, self._settings.memory
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            with suppress(psutil.Error):
                occupied = psutil.Process(run.process.pid).memory_info().rss
                self._metrics.occupied(occupied)
                if occupied > memory:
                    run.stop(f"it needs more than the {memory / 2**30:.1f} GB of memory that a job may have")
            if time.monotonic() - run.began > 60 * minutes:
                run.stop(f"it takes longer than the {minutes:g} minutes that a job may have")

    async def _written(self, job: Job, end: End, remarks: list[str]) -> bool:
        while True:
            try:
                return self._store.end(job, end.state, error=end.error, remarks=remarks, result=end.result)
            except sqlite3.Error as error:
                logger.error("the end of job %s cannot be written: %s", job.id, error)
                await asyncio.sleep(SECONDS_BETWEEN_TRIES)

    async def _delete(self) -> None:
        while True:
            try:
                self._store.expire()
            except (sqlite3.Error, OSError) as error:
                logger.error("what is old cannot be deleted: %s", error)
            await asyncio.sleep(min(SECONDS_BETWEEN_DELETIONS, 3600 * self._settings.keep_hours))


async def _alive(process: Process | None) -> Process:
    """The process, or a new one in its place."""
    if process is not None and process.returncode is None:
        return process
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bunraku.apps.serve.worker", stdin=PIPE, stdout=PIPE, limit=LONGEST_MESSAGE,
        start_new_session=True,  # Ctrl-C is for the server
    )  # fmt: skip


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 and os.name == "posix" else f"exit code {code}"
