"""The server as an ASGI application: routes, what guards them, and what runs beside them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bunraku import __version__
from bunraku.apps.serve.metrics import Metrics
from bunraku.apps.serve.routes import UPLOADS, router
from bunraku.apps.serve.service import Service, too_large
from bunraku.apps.serve.settings import Settings
from bunraku.errors import BunrakuError

LARGEST_BODY = 2**20  # bytes of JSON

ABOUT = """Still pictures, animated with the motion of a video.

Send a picture and a video to `/v1/files`, ask for a job with their ids, follow its events, fetch its result. Everything is your own:
nobody with another token sees it. Everything is deleted at the time that `expires` says.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application; it works in the folder of the settings until it is shut down.

    Raises:
        BunrakuError: the folder cannot be used.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(service.runner.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        service.store.close()

    app = FastAPIOffline("/docs", None, title="bunraku", version=__version__, description=ABOUT, lifespan=lifespan)
    app.state.service = service
    app.include_router(router)
    app.add_exception_handler(BunrakuError, _refused)
    app.add_exception_handler(sqlite3.Error, _unable)
    app.add_middleware(Guard, metrics=service.metrics)
    return app


class Guard:
    """Before and behind all routes: bodies other than uploads are small, answers are counted, and browsers guess no types."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY and scope["path"] != UPLOADS:
                raise too_large(LARGEST_BODY)
            return message

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(message["status"])
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        await self._app(scope, bounded, counted)


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 422)


async def _unable(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "the server cannot write; its disk may be full"}, 503)
