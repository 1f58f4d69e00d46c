"""Graceful shutdown of an ASGI application behind Ray Serve's proxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class DrainableApp:
    """An ASGI middleware that can be closed: requests in flight are finished, new ones get 503."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_flight = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._closed:
            from p2i_ray.serve.edge.errors import busy

            error = busy(5, "the server is being stopped; send the request again in 5 s", "not_ready", 503)
            await error.response()(scope, receive, send)
            return
        self._in_flight += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, _without_own_request_id(scope, send))
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def close(self, timeout_s: float) -> int:
        """Refuse new requests and wait for those in flight; return how many are still unfinished."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        return self._in_flight


def _without_own_request_id(scope: Scope, send: Send) -> Send:
    """Drop the response's X-Request-ID where it repeats the request's: Serve's proxy adds it, too."""
    from starlette.datastructures import Headers, MutableHeaders

    request_id = Headers(scope=scope).get("x-request-id")

    async def forward(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("x-request-id") == request_id:
                del headers["x-request-id"]
        await send(message)

    return forward
