"""Middleware of Ray Serve's HTTP proxy: before the application is asked, and when the application is lost.

The proxy loads `middlewares` where RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it (see `VARIABLE`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from p2i_ray.serve.edge.errors import LOADING_S, busy

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

VARIABLE = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{__name__}:middlewares"}
# Serve's own, for a load balancer of its kind: a client could let work go on that nobody waits for.
INTERNAL = (b"x-request-timeout-seconds", b"x-request-disconnect-disabled")
LOST = (404, 500, 502, 503)  # with which the proxy says that no application or replica runs, or that one is lost


def middlewares() -> list[Middleware]:
    """The proxy's middlewares."""
    from starlette.middleware import Middleware

    return [Middleware(ProxyEdge)]


class ProxyEdge:
    """Drops headers that are Serve's own; a lost or missing application is answered with JSON and Retry-After."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in INTERNAL]
        started = lost = False

        async def forward(message: Message) -> None:
            nonlocal started, lost
            if message["type"] == "http.response.start":
                lost = not started and _is_the_proxys_own(message)
                started = True
            if not lost:
                await send(message)

        try:
            await self._app({**scope, "headers": headers}, receive, forward)
        except Exception as error:
            if started:
                raise
            logging.getLogger("ray.serve").warning("no answer from the application: %s", type(error).__name__)
        if lost or not started:
            text = f"the server is being started or stopped; send the request again in {LOADING_S} s"
            await busy(LOADING_S, text, "not_ready", 503).response()(scope, receive, send)


def _is_the_proxys_own(message: Message) -> bool:
    """Whether a response's start is the proxy's error, which is plain text; an application's are JSON."""
    headers = {name.lower(): value for name, value in message.get("headers", ())}
    return message["status"] in LOST and headers.get(b"content-type", b"text/plain").startswith(b"text/plain")
