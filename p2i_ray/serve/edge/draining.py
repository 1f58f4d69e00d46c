"""An ASGI application behind Ray Serve's proxy that can be closed without cutting off who is inside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class DrainableApp:
    """An ASGI middleware that can be closed: requests inside are finished, new ones sent away with 503."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside = 0
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._closed:
            from p2i_ray.serve.edge.errors import busy

            refusal = busy(5, "the server is being stopped; send the request again in 5 s", "not_ready", 503)
            await refusal.response()(scope, receive, send)
            return
        self._inside += 1
        self._empty.clear()
        try:
            await self._app(scope, receive, _without_the_asked_id(scope, send))
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def close(self, patience_s: float) -> int:
        """Let nobody in, and wait for those inside at most so long; returns how many there are still."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
        return self._inside


def _without_the_asked_id(scope: Scope, send: Send) -> Send:
    """Serve's proxy names each request, and names it again in the answer: there the same name once more is too much."""
    from starlette.datastructures import Headers, MutableHeaders

    asked = Headers(scope=scope).get("x-request-id")

    async def without(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("x-request-id") == asked:
                del headers["x-request-id"]
        await send(message)

    return without
