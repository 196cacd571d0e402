"""The studio's server: whose request it is, what may be asked for, files in and out, and the page itself."""

import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from bunraku.apps.studio import views
from bunraku.apps.studio.gallery import piece, thumbnail
from bunraku.apps.studio.session import COOKIE, Rules, Session, Sessions
from bunraku.errors import BunrakuError

PREFIX = "bunraku-studio-"
WEB = Path(__file__).parent / "web"

OPEN = re.compile(
    r"/|/config/?|/theme\.css|/manifest\.json|/favicon\.ico|/robots\.txt|/(static|assets|svelte|studio)/.*"
    r"|/gradio_api/(startup-events|heartbeat/\w+|queue/(join|data)|run/[\w-]+/?|cancel|reset/?|info/?)|/gradio_api/app_id/?|/pwa_icon.*"
)
"""What may be asked for. Gradio's own ways for files in and out are none of it: files come and go by ours."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "object-src 'none'; base-uri 'self'"
)
"""Nothing is fetched from elsewhere, whatever a page's part asks for."""


def create_app(sessions: Sessions) -> FastAPI:
    """The studio as an application of its own, at /."""
    import gradio as gr

    from bunraku.apps.studio.page import build, style

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/studio/web", StaticFiles(directory=WEB))
    _add_files(app, sessions)
    page = build(sessions)
    app = gr.mount_gradio_app(
        app, page, "/", footer_links=[], run_history=False, enable_monitoring=False, pwa=False, mcp_server=False,
        ssr_mode=False, show_error=False, max_file_size=1, **style(),
    )  # fmt: skip

    @app.middleware("http")
    async def visited(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if not OPEN.fullmatch(request.url.path):
            return Response(status_code=404)
        session = sessions.of(request.cookies.get(COOKIE))
        new = session is None and request.url.path == "/" and request.method == "GET"
        if new:
            session = sessions.new()
        response = await answer(request)
        if new and session is not None:
            response.set_cookie(COOKIE, session.token, httponly=True, samesite="strict")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app


def _add_files(app: FastAPI, sessions: Sessions) -> None:
    def visitor(request: Request) -> Session | None:
        return sessions.of(request.cookies.get(COOKIE))

    @app.get("/studio/files/{key}/{name}")
    def file(request: Request, key: str, name: str) -> Response:
        session = visitor(request)
        if session is None or not re.fullmatch(r"[0-9a-f]{16}", key) or not re.fullmatch(r"[\w-]+\.\w+", name):
            return Response(status_code=404)
        path = session.folder / key / name
        return (
            FileResponse(path, headers={"Cache-Control": "private, max-age=3600"})
            if path.is_file()
            else Response(status_code=404)
        )

    @app.get("/studio/early/{key}/{number}.jpg")
    def early(request: Request, key: str, number: int) -> Response:
        session = visitor(request)
        run = session.run(key) if session else None
        picture = run.early.get(number) if run else None
        # a run may be over by the time that its frames are asked for
        return Response(picture, media_type="image/jpeg") if picture else Response(status_code=204)

    @app.get("/studio/poses/{what}/{mark}")
    def poses(request: Request, what: str, mark: str) -> Response:
        session = visitor(request)
        if session is None:
            return Response(status_code=404)
        if what == "preview":
            return JSONResponse(views.preview(session))
        clip = session.clip
        if clip is None or clip.people is None:
            return Response(status_code=404)
        return JSONResponse(views.poses(clip.people, float(clip.driving.source.fps)))

    @app.get("/studio/gallery/{key}.jpg")
    def small(key: str) -> Response:
        if piece(key) is None:
            return Response(status_code=404)
        return Response(thumbnail(key), media_type="image/jpeg", headers={"Cache-Control": "max-age=86400"})

    @app.post("/studio/upload/{slot}")
    async def upload(request: Request, slot: str, name: str = "file") -> Response:
        session = sessions.of(request.cookies.get(COOKIE), sign=True)
        if session is None or slot not in ("still", "clip", "backdrop"):
            return Response(status_code=404)
        most = sessions.rules.limits.bytes
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            return _too_large(most)
        try:
            with session.receiving() as path:
                taken = 0
                with path.open("wb") as file:
                    async for chunk in request.stream():
                        taken += len(chunk)
                        if taken > most:
                            return _too_large(most)
                        await run_in_threadpool(file.write, chunk)
                session.put(slot, path, name)  # type: ignore[arg-type]
        except BunrakuError as error:
            return JSONResponse({"error": str(error)}, 413)
        return JSONResponse({})


def _too_large(most: int) -> Response:
    return JSONResponse({"error": f"This file is too large: at most {most / 2**20:.0f} MB are taken."}, 413)


def free_port(host: str, first: int, tries: int = 100) -> int:
    """The first port from `first` on that nobody listens at.

    Raises:
        BunrakuError: there is none.
    """
    for port in range(first, first + tries):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise BunrakuError(f"no port from {first} to {first + tries - 1} is free on {host}; give another (--port)")


def serve(
    host: str, port: int, rules: Rules, at_once: int = 1, ready: Callable[[str], None] = lambda url: None
) -> None:
    """Run the studio until it is interrupted; everybody's files are gone afterwards. Files of a studio that was killed go at the start.

    Args:
        host, port: where it listens.
        rules, at_once: as of `Sessions`.
        ready: called with its address once it answers.
    """
    import uvicorn

    with _own_folder() as root:
        sessions = Sessions(root, rules, at_once)
        app = create_app(sessions)
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        app.router.lifespan_context = _telling(app.router.lifespan_context, lambda: ready(f"http://{shown}:{port}"))
        try:
            uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
        finally:
            sessions.close()


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for this studio's files; others' whose studio is not alive are deleted."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # Windows, which does not say who is alive
        with tempfile.TemporaryDirectory(prefix=PREFIX) as own:
            yield Path(own)
        return
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with suppress(OSError), lock.open("a") as file:
            flock(file, LOCK_EX | LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / "lock").open("w") as file:
        flock(file, LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def share(host: str, port: int) -> str:
    """Let anybody in who has the address that is returned, through a tunnel of Gradio's servers; needs a network.

    Raises:
        BunrakuError: there is none.
    """
    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel(host, port, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        raise BunrakuError(
            f"the studio cannot be shared ({error}); leave --share out, or connect to a network"
        ) from error


def _telling(lifespan: Any, tell: Callable[[], None]) -> Any:
    @asynccontextmanager
    async def told(app: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(app) as state:
            tell()
            yield state

    return told
