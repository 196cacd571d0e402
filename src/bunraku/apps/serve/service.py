"""What the routes do: uploads are received and looked at, jobs are asked for and shown."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from bunraku.apps.serve.metrics import Metrics
from bunraku.apps.serve.requests import JobRequest, JobView
from bunraku.apps.serve.runner import Runner
from bunraku.apps.serve.settings import Settings
from bunraku.apps.serve.store import Busy, File, Job, Store, new_id
from bunraku.apps.uploads import examine, shown_name
from bunraku.errors import BunrakuError

UPLOAD_SECONDS = 600
RESERVE = 2**30  # bytes of the disk that uploads leave free
RETRY = 10  # seconds after which to come back
EXAMINED = 2  # uploads that are looked at at the same time; each may take `uploads.MEMORY`


class Service:
    """The server without its routes."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.store = Store(settings.work, 3600 * settings.keep_hours)
        self.store.sweep()
        self.store.recover()
        self.runner = Runner(self.store, settings, self.metrics)
        self._receiving = 0
        self._examining = asyncio.Semaphore(EXAMINED)

    async def upload(self, request: Request, owner: str, name: str) -> File:
        limit = self.settings.limits.bytes
        size = request.headers.get("content-length", "0")
        if size.isdigit() and int(size) > limit:
            raise too_large(limit)
        if self.store.stored(owner) + int(size) > self.settings.storage_each:
            raise _later(
                f"your files have {self.settings.storage_each / 2**30:.1f} GB; delete some, or wait until some expire",
                600,
            )
        if shutil.disk_usage(self.settings.work).free < limit + RESERVE:
            raise HTTPException(507, "the disk of the server is full")
        arrived = self.settings.work / "files" / f"{new_id()}.part"
        try:
            with self._place():
                await _received(request, arrived, limit)
            async with self._examining:
                media = await asyncio.to_thread(examine, arrived, self.settings.limits, name)
            file = self.store.add_file(owner, shown_name(name), arrived, media)
        except BunrakuError:
            self.metrics.uploaded("refused")
            raise
        finally:
            arrived.unlink(missing_ok=True)
        self.metrics.uploaded("taken")
        return file

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the uploads that are received at the same time."""
        if self._receiving >= self.settings.uploads:
            raise _later(f"{self._receiving} files are being sent at this moment")
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1

    def ask(self, asked: JobRequest, owner: str, key: str | None) -> Job:
        files = {name: self.file(id, owner) for name, id in asked.files().items()}
        asked.checked(files, self.settings)
        request = asked.stored(files)

        def fill(folder: Path) -> None:
            for name, file in files.items():
                _linked(self.store.file_path(file), folder / request["files"][name])

        try:
            job = self.store.add_job(
                owner, request, fill, key, most=self.settings.queue, most_each=self.settings.queue_each
            )
        except Busy as error:
            raise _later(str(error)) from None
        self.runner.notify()
        return job

    def file(self, id: str, owner: str) -> File:
        if (file := self.store.file(id, owner)) is None:
            raise HTTPException(404, f"there is no file {shown_name(id)!r} of yours; it may have expired")
        return file

    def job(self, id: str, owner: str) -> Job:
        if (job := self.store.job(id, owner)) is None:
            raise HTTPException(404, f"there is no job {shown_name(id)!r} of yours; it may have expired")
        return job

    def view(self, job: Job) -> JobView:
        return JobView.of(job, self.store.ahead(job) if job.state == "queued" else None, self.runner.progress(job))

    def made(self, job: Job, name: str) -> FileResponse:
        if job.state != "done":
            raise HTTPException(409, f"the job is {job.state}")
        if job.result is None or name not in job.result["files"]:
            raise HTTPException(404, "the job made nothing of that name")
        return FileResponse(self.store.attempt(job) / name, filename=name)


async def _received(request: Request, path: Path, limit: int) -> None:
    """The body of a request as a file."""
    size = 0
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            with path.open("xb") as file:
                async for chunk in request.stream():
                    if (size := size + len(chunk)) > limit:
                        raise too_large(limit)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
    except TimeoutError:
        raise HTTPException(408, f"the file has not arrived in {UPLOAD_SECONDS} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the file has not arrived") from None


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"at most {limit / 2**20:.0f} MB are taken", {"Connection": "close"})


def _later(why: str, seconds: int = RETRY) -> HTTPException:
    return HTTPException(429, why, {"Retry-After": str(seconds)})
