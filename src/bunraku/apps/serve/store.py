"""Files and jobs, in SQLite beside their folders.

What the database says is true, whenever the process dies: a row is written when what it speaks of lies complete on the disk, and
removed before that is. What lies on the disk without a row is nobody's, and `sweep` removes it. A job has a new folder for
each attempt, so that what a dead attempt has left is never taken for a result.
"""

import json
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from bunraku.apps.uploads import Media
from bunraku.errors import BunrakuError

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL, media TEXT NOT NULL,
    created REAL NOT NULL, expires REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, key TEXT, request TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL, started REAL, finished REAL, expires REAL, error TEXT, remarks TEXT NOT NULL DEFAULT '[]', result TEXT,
    UNIQUE (owner, key)
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
"""


class Busy(Exception):
    """More jobs wait than may; says of whom."""


@dataclass(frozen=True)
class File:
    """An upload that was found usable; times in seconds since 1970."""

    id: str
    owner: str
    name: str
    bytes: int
    media: Media
    created: float
    expires: float


@dataclass(frozen=True)
class Job:
    """What somebody asked for, and what has become of it; times in seconds since 1970.

    Attributes:
        number: grows with every job.
        key: of the owner's own, so that asking twice makes one job.
        request: as `worker.perform` takes it.
        attempts: how often it was begun; the server may have been killed meanwhile.
        expires: when it will be deleted; None: it has not ended.
        remarks: what the owner should know of a run.
        result: what was made.
    """

    number: int
    id: str
    owner: str
    key: str | None
    request: dict[str, Any]
    state: State
    attempts: int
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    error: str | None
    remarks: list[str]
    result: dict[str, Any] | None


class Store:
    """One server's files and jobs. Not for several threads.

    Args:
        work: the folder; made where it is missing.
        keep: seconds after which files, and jobs that have ended, are deleted.

    Raises:
        BunrakuError: another server has the folder, or it cannot be written.
    """

    def __init__(self, work: Path, keep: float) -> None:
        self.work, self._keep = work, keep
        try:
            for folder in (work, work / "files", work / "jobs"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(work / "lock", timeout=0)  # released by the system when the process dies
            self._lock.acquire()
            self._db = sqlite3.connect(work / "store.sqlite", isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(SCHEMA)
        except Timeout:
            raise BunrakuError(f"another server works in {work}; give this one a folder of its own (--work)") from None
        except (OSError, sqlite3.Error) as error:
            raise BunrakuError(f"{work} cannot hold the server's files ({error}) (--work)") from error

    def close(self) -> None:
        self._db.close()
        self._lock.release()

    # files

    def file_path(self, file: File) -> Path:
        return self.work / "files" / f"{file.id}{file.media.suffix}"

    def add_file(self, owner: str, name: str, arrived: Path, media: Media) -> File:
        """Take over a file that lies in the store's folder."""
        now = time.time()
        file = File(new_id(), owner, name, arrived.stat().st_size, media, now, now + self._keep)
        arrived.rename(self.file_path(file))
        values = asdict(file) | {"media": json.dumps(asdict(media))}
        self._db.execute(f"INSERT INTO files VALUES ({', '.join(':' + name for name in values)})", values)
        return file

    def file(self, id: str, owner: str) -> File | None:
        return next(map(_file, self._db.execute("SELECT * FROM files WHERE id = ? AND owner = ?", (id, owner))), None)

    def files(self, owner: str) -> list[File]:
        return list(map(_file, self._db.execute("SELECT * FROM files WHERE owner = ? ORDER BY created", (owner,))))

    def remove_file(self, file: File) -> None:
        self._db.execute("DELETE FROM files WHERE id = ?", (file.id,))
        self.file_path(file).unlink(missing_ok=True)

    # jobs

    def folder(self, job: Job) -> Path:
        return self.work / "jobs" / job.id

    def attempt(self, job: Job) -> Path:
        """The folder of its last attempt."""
        return self.folder(job) / str(job.attempts)

    def add_job(
        self,
        owner: str,
        request: dict[str, Any],
        fill: Callable[[Path], None],
        key: str | None = None,
        *,
        most: int,
        most_each: int,
    ) -> Job:
        """A new job, or that which the owner has asked for with this key before.

        Args:
            fill: puts what the job needs into its new folder.
            most, most_each: how many jobs may wait, of all and of this owner.

        Raises:
            Busy: as many wait.
            BunrakuError: the key belongs to another request.
        """
        if key is not None and (job := self._job_of(owner, key)):
            if job.request != request:
                raise BunrakuError(f"the key {key!r} belongs to another request; take a new one for each job")
            return job
        waiting = [row[0] for row in self._db.execute("SELECT owner FROM jobs WHERE state = 'queued'")]
        if len(waiting) >= most:
            raise Busy(f"{len(waiting)} jobs wait; come back later")
        if waiting.count(owner) >= most_each:
            raise Busy(f"{waiting.count(owner)} of your jobs wait; come back when some have run")
        id = new_id()
        folder = self.work / "jobs" / id
        folder.mkdir(mode=0o700)
        try:
            fill(folder)
            self._db.execute(
                "INSERT INTO jobs (id, owner, key, request, state, created) VALUES (?, ?, ?, ?, 'queued', ?)",
                (id, owner, key, json.dumps(request), time.time()),
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self.job(id)  # type: ignore[return-value]

    def job(self, id: str, owner: str | None = None) -> Job | None:
        """The job, if it is this owner's; None: anybody's."""
        rows = self._db.execute("SELECT * FROM jobs WHERE id = ? AND (? IS NULL OR owner = ?)", (id, owner, owner))
        return next(map(_job, rows), None)

    def jobs(self, owner: str) -> list[Job]:
        return list(map(_job, self._db.execute("SELECT * FROM jobs WHERE owner = ? ORDER BY number", (owner,))))

    def ahead(self, job: Job) -> int:
        """How many jobs wait in front of one that waits."""
        rows = self._db.execute("SELECT count(*) FROM jobs WHERE state = 'queued' AND number < ?", (job.number,))
        return int(rows.fetchone()[0])

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return dict(tuple(row) for row in self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state"))

    def stored(self, owner: str | None = None) -> int:
        """Bytes of the files of an owner; None: of all."""
        rows = self._db.execute("SELECT total(bytes) FROM files WHERE ? IS NULL OR owner = ?", (owner, owner))
        return int(rows.fetchone()[0])

    def claim(self) -> Job | None:
        """The job that has waited longest: it runs from now on, in a new, empty folder for the attempt.

        Raises:
            OSError: the folder cannot be made; the job waits.
        """
        rows = self._db.execute(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? WHERE number = "
            "(SELECT min(number) FROM jobs WHERE state = 'queued') RETURNING *",
            (time.time(),),
        ).fetchall()
        if not rows:
            return None
        job = _job(rows[0])
        try:
            self.attempt(job).mkdir(parents=True)
        except OSError:
            self._db.execute("UPDATE jobs SET state = 'queued' WHERE id = ?", (job.id,))
            raise
        return job

    def end(
        self,
        job: Job,
        state: State,
        *,
        error: str | None = None,
        remarks: list[str] | None = None,
        result: dict[str, Any] | None = None,
    ) -> bool:
        """Say how a job that waits or runs has ended; False: it had ended before, and nothing is changed."""
        now = time.time()
        done = self._db.execute(
            "UPDATE jobs SET state = ?, error = ?, remarks = ?, result = ?, finished = ?, expires = ? "
            "WHERE id = ? AND state IN ('queued', 'running')",
            (
                state, error, json.dumps(remarks or []), None if result is None else json.dumps(result), now, now + self._keep, job.id,
            ),
        )  # fmt: skip
        return done.rowcount == 1

    def tidy(self, job: Job) -> None:
        """Remove what a job that has ended does not need: all but the result."""
        now = self.job(job.id)
        kept = self.attempt(now) if now is not None and now.state == "done" else None
        if kept is None:
            shutil.rmtree(self.folder(job), ignore_errors=True)
            return
        for path in self.folder(job).iterdir():
            if path != kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def recover(self) -> None:
        """After a start: jobs that were running wait again, at their old place."""
        self._db.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")

    def expire(self) -> None:
        """Delete what is to be deleted by now."""
        now = time.time()
        for file in map(_file, self._db.execute("SELECT * FROM files WHERE expires <= ?", (now,)).fetchall()):
            self.remove_file(file)
        for job in map(_job, self._db.execute("SELECT * FROM jobs WHERE expires <= ?", (now,)).fetchall()):
            self.remove_job(job)

    def remove_job(self, job: Job) -> None:
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def sweep(self) -> None:
        """After a start, before anything else: remove from the disk what the database does not speak of."""
        files = {self.file_path(file) for file in map(_file, self._db.execute("SELECT * FROM files"))}
        for path in (self.work / "files").iterdir():
            if path not in files:
                path.unlink()
        jobs = list(map(_job, self._db.execute("SELECT * FROM jobs")))
        for path in (self.work / "jobs").iterdir():
            if path.name not in {job.id for job in jobs}:
                shutil.rmtree(path)
        for job in jobs:
            if job.state in ENDED:
                self.tidy(job)

    def _job_of(self, owner: str, key: str) -> Job | None:
        return next(map(_job, self._db.execute("SELECT * FROM jobs WHERE owner = ? AND key = ?", (owner, key))), None)


def new_id() -> str:
    """A name that nobody can guess: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def _file(row: sqlite3.Row) -> File:
    values = dict(row)
    return File(**values | {"media": Media.read(json.loads(values["media"]))})


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    texts = {name: values[name] for name in ("request", "remarks", "result")}
    return Job(**values | {name: None if text is None else json.loads(text) for name, text in texts.items()})
