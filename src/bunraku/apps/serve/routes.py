"""The routes."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent

from bunraku import __version__
from bunraku.apps.serve.requests import LONGEST_KEY, FileView, JobRequest, JobView
from bunraku.apps.serve.service import Service
from bunraku.apps.serve.store import ENDED, File, Job

UPLOADS = "/v1/files"

bearer = HTTPBearer(description="The token that whoever runs the server has given you.", auto_error=False)
BODY = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No token, or one that is not known"},
    404: {"description": "There is no such thing of yours"},
    429: {"description": "Too much at once; come back after `Retry-After` seconds"},
}

router = APIRouter(responses=ERRORS)


async def service_of(request: Request) -> Service:
    """The service that the application was made with."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]


async def owner_of(here: Here, token: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """Who asks."""
    name = here.settings.owner(token.credentials) if token else None
    if name is None:
        raise HTTPException(401, "a token is needed that this server knows", {"WWW-Authenticate": "Bearer"})
    return name


Owner = Annotated[str, Depends(owner_of)]


async def file_of(id: str, owner: Owner, here: Here) -> File:
    """The file of the path, of whom asks."""
    return here.file(id, owner)


async def job_of(id: str, owner: Owner, here: Here) -> Job:
    """The job of the path, of whom asks."""
    return here.job(id, owner)


OwnFile = Annotated[File, Depends(file_of)]
OwnJob = Annotated[Job, Depends(job_of)]


@router.post(UPLOADS, status_code=201, tags=["files"], openapi_extra={"requestBody": BODY})
async def upload(
    request: Request,
    owner: Owner,
    here: Here,
    name: Annotated[str, Query(description="What you call it; what it is, is told by its contents.")] = "file",
) -> FileView:
    """Send a picture, a video, BVH, OpenPose JSON or cues as the body of the request."""
    return FileView.of(await here.upload(request, owner, name))


@router.get(UPLOADS, tags=["files"])
async def list_files(owner: Owner, here: Here) -> list[FileView]:
    """Your uploads."""
    return list(map(FileView.of, here.store.files(owner)))


@router.get(UPLOADS + "/{id}", tags=["files"])
async def show_file(file: OwnFile) -> FileView:
    """What an upload is."""
    return FileView.of(file)


@router.delete(UPLOADS + "/{id}", status_code=204, tags=["files"])
async def delete_file(file: OwnFile, here: Here) -> None:
    """Delete an upload now. Jobs that were asked for have what they need."""
    here.store.remove_file(file)


@router.post("/v1/jobs", status_code=202, tags=["jobs"])
async def ask(
    job: JobRequest,
    owner: Owner,
    here: Here,
    response: Response,
    idempotency_key: Annotated[
        str | None, Header(max_length=LONGEST_KEY, description="Asking twice with the same key makes one job.")
    ] = None,
) -> JobView:
    """Ask for an animation, a preview of one, or cues."""
    made = here.ask(job, owner, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{made.id}"
    return here.view(made)


@router.get("/v1/jobs", tags=["jobs"])
async def list_jobs(owner: Owner, here: Here) -> list[JobView]:
    """Your jobs, the oldest first."""
    return list(map(here.view, here.store.jobs(owner)))


@router.get("/v1/jobs/{id}", tags=["jobs"])
async def show_job(job: OwnJob, here: Here) -> JobView:
    """How a job is."""
    return here.view(job)


@router.get("/v1/jobs/{id}/events", response_class=EventSourceResponse, tags=["jobs"])
async def events(job: OwnJob, here: Here) -> AsyncIterator[ServerSentEvent]:
    """The job, each time that anything about it changes, until it has ended: server-sent events named `job`."""
    last = None
    while True:
        changed = here.runner.changed()
        if (now := here.store.job(job.id)) is None:
            return
        if (view := here.view(now)) != last:
            last = view
            yield ServerSentEvent(event="job", data=view)
        if view.state in ENDED:
            return
        await changed.wait()


@router.post("/v1/jobs/{id}/cancel", tags=["jobs"])
async def cancel(job: OwnJob, here: Here) -> JobView:
    """End a job that waits or runs; nothing of it is left. 409: it has ended."""
    if not here.runner.cancel(job):
        raise HTTPException(409, f"the job is {job.state} already")
    return here.view(here.job(job.id, job.owner))


@router.delete("/v1/jobs/{id}", status_code=204, tags=["jobs"])
async def delete_job(job: OwnJob, here: Here) -> None:
    """Delete a job that has ended, and its result, now. 409: it has not."""
    if job.state not in ENDED:
        raise HTTPException(409, "the job has not ended; cancel it first")
    here.store.remove_job(job)


@router.get("/v1/jobs/{id}/result", response_class=Response, tags=["jobs"])
async def result(job: OwnJob, here: Here) -> Response:
    """What was asked for. 409: the job is not done."""
    return here.made(job, f"result.{job.request['format']}")


@router.get("/v1/jobs/{id}/files/{name}", response_class=Response, tags=["jobs"])
async def made_file(job: OwnJob, here: Here, name: str) -> Response:
    """Something that was made beside it, such as `sheet.png`. 409: the job is not done."""
    return here.made(job, name)


@router.get("/v1/models", tags=["server"])
async def models(owner: Owner, here: Here) -> list[str]:
    """What `model` of the options may be."""
    return list(here.settings.models)


@router.get("/metrics", response_class=Response, tags=["server"])
async def metrics(owner: Owner, here: Here) -> Response:
    """Counts and sizes, as Prometheus reads them."""
    return Response(here.metrics.text(here.store), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/health", tags=["server"])
async def health() -> dict[str, str]:
    """Whether the server answers; needs no token."""
    return {"version": __version__}
