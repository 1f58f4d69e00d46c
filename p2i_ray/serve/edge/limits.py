"""Limits around every request: size and time of its body, time of the response, a request id, security headers.

A pure ASGI middleware. The application runs in a task of its own, which is cancelled when the client disconnects or the
response is late; the application needs no code for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.serve.edge.errors import APIError, as_api_error, busy, internal
from p2i_ray.serve.edge.hosts import check_host
from p2i_ray.serve.edge.metrics import HTTPMetrics

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
DRAIN_S = 3.0  # how long the rest of a refused body is read, so that the client can read the error
STALL_S = 30.0  # how long a client may read nothing of its response
CANCEL_S = 2.0  # how long a cancelled request is waited for
CLOSED = 499  # status in the log when the client disconnected, as nginx calls it
LATE_S = 5  # Retry-After of a response that was late
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLimits:
    """The middleware.

    Args:
        app: the application.
        limits: of bytes and seconds.
        metrics: count each request.
        hosts: names of this server, see `hosts.check_host`.
        large: paths whose body may have limits.max_job_bytes, and proportionally longer to arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: LimitsConfig,
        metrics: HTTPMetrics,
        large: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
    ) -> None:
        self._app, self._limits, self._metrics, self._large, self._hosts = app, limits, metrics, large, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other ASGI scopes are passed on as they are."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limits = self._limits
        max_bytes = limits.max_job_bytes if scope["path"] in self._large else limits.max_bytes
        upload_s = limits.upload_s * max(1.0, max_bytes / limits.max_bytes)
        exchange = _Exchange(scope, receive, send, max_bytes=max_bytes, upload_s=upload_s)
        begin = time.perf_counter()
        try:
            with self._metrics.in_flight():
                await self._answer(exchange)
        finally:
            route = scope.get("route")
            self._metrics.request(
                scope["method"] if route else "-",
                getattr(route, "path", "unknown"),
                exchange.status,
                time.perf_counter() - begin,
                request_id=exchange.id,
                received=exchange.received,
                client=exchange.client,
            )

    async def _answer(self, exchange: _Exchange) -> None:
        work = asyncio.create_task(self._run(exchange))
        gone = asyncio.create_task(exchange.wait_until_gone())
        late = asyncio.create_task(exchange.wait_until_late(self._limits.answer_s))
        try:
            await asyncio.wait({work, gone, late}, return_when=asyncio.FIRST_COMPLETED)
            await _cancel(work)
            if gone.done() or exchange.gone:
                exchange.status = exchange.status or CLOSED
            elif not exchange.started:
                await exchange.refuse(self._error(work, exchange))
            elif not work.cancelled() and (error := work.exception()):
                self._metrics.failure(error, request_id=exchange.id)
        finally:
            for task in (work, gone, late):
                await _cancel(task)

    async def _run(self, exchange: _Exchange) -> None:
        check_host(exchange.scope, self._hosts)
        await self._app(exchange.scope, exchange.receive, exchange.send)

    def _error(self, work: asyncio.Task[None], exchange: _Exchange) -> APIError:
        """The error response for an application that gave none."""
        if work.cancelled() or not work.done():
            text = f"no answer within {self._limits.answer_s:g} s; ask for fewer pictures or steps, or a smaller size"
            return busy(LATE_S, text, "timeout", 503)
        error = work.exception()
        known = as_api_error(error) if isinstance(error, Exception) else None
        if known is None:
            self._metrics.failure(error or RuntimeError("no answer"), request_id=exchange.id)
        return known or internal(exchange.id)


class _Exchange:
    """One request and its response, as the application sees them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, max_bytes: int, upload_s: float) -> None:
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope["state"] = {**scope.get("state", {}), "request_id": self.id, "exchange": self}  # this request's own
        self.scope = scope
        self.client: str | None = None  # set once authenticated
        self.status = 0
        self.started = False
        self.received = 0
        self._receive, self._send = receive, send
        self._max_bytes, self._upload_s = max_bytes, upload_s
        self._deadline = asyncio.get_running_loop().time() + upload_s
        self._declared = int(length) if (length := headers.get("content-length", "0")).isdigit() else 0
        self._empty = not self._declared and "transfer-encoding" not in headers
        self._drainable = "expect" not in headers  # a client that waits for 100-continue has sent no body
        self._body_over = asyncio.Event()  # it is complete, or nothing more will arrive
        self._gone = asyncio.Event()
        if self._empty:
            self._body_over.set()

    @property
    def gone(self) -> bool:
        """Whether the client disconnected."""
        return self._gone.is_set()

    async def receive(self) -> Message:
        """The next chunk of the body, or the client's disconnect.

        Raises:
            APIError: the body is too large or too slow.
        """
        if self._empty:
            self._empty = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._body_over.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        self._check_bytes(self._declared)
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise APIError(
                408, f"the body took more than {self._upload_s:g} s to arrive; send it faster", None, "upload_timeout"
            ) from None
        if message["type"] == "http.disconnect":
            self._disconnected()
            return message
        self.received += len(message.get("body", b""))
        self._check_bytes(self.received)
        if not message.get("more_body", False):
            self._body_over.set()
        return message

    async def send(self, message: Message) -> None:
        """Pass on a chunk of the response; the unread rest of the body is drained before the last one."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["X-Request-ID"] = self.id
            for name, value in {**SAFE, "Content-Security-Policy": API_POLICY, "Cache-Control": "no-store"}.items():
                headers.setdefault(name, value)
            if not self._body_over.is_set():
                headers["Connection"] = "close"
        elif not message.get("more_body", False) and not self._body_over.is_set() and self._drainable:
            await self._pass_on({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._pass_on(message)

    async def refuse(self, error: APIError) -> None:
        """Answer with an error."""
        await error.response()(self.scope, self.receive, self.send)

    async def wait_until_gone(self) -> None:
        """Return when the client disconnected; checked once its body is complete."""
        await self._body_over.wait()
        while not self.gone:
            if (await self._receive())["type"] == "http.disconnect":
                self._disconnected()

    async def wait_until_late(self, answer_s: float) -> None:
        """Return when no response began in time; the time for the body doesn't count."""
        await self._body_over.wait()
        await asyncio.sleep(answer_s)
        if self.started:
            await asyncio.Event().wait()

    def _disconnected(self) -> None:
        self._gone.set()
        self._body_over.set()

    def _check_bytes(self, count: int) -> None:
        if count > self._max_bytes:
            raise APIError(
                413, f"the body has more than {self._max_bytes} bytes; send a smaller image", None, "too_large"
            )

    async def _pass_on(self, message: Message) -> None:
        async with asyncio.timeout(STALL_S):
            await self._send(message)

    async def _drain(self) -> None:
        """Read the rest of the body for a while: a client that is cut off while writing never reads the response."""
        left = 2 * self._max_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task, and give it a moment to clean up."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_S)
    if task.done() and not task.cancelled():
        task.exception()  # retrieved: asyncio warns of an exception that never is
