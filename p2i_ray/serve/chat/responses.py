"""The engine's response as the client gets it: whole or streamed, its errors as OpenAI's error objects."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from p2i_ray.serve.chat.protocol import ResponseChunk
from p2i_ray.serve.edge.errors import APIError, as_api_error, busy, internal
from p2i_ray.serve.edge.metrics import HTTPMetrics

BUSY_S = 2  # Retry-After of an engine at its capacity
LATE_S = 5  # Retry-After of a chunk that was late
MAX_MESSAGE_CHARS = 300  # of an engine's error
DONE = "data: [DONE]\n\n"
_OBJECT = re.compile(r"<[^<>]* at 0x[0-9A-Fa-f]+>")
_PATH = re.compile(r"(?:~|\.{1,2})?/(?:[\w.@+-]+/)*[\w.@+-]+")


@dataclass(frozen=True)
class RequestLog:
    """The log of one request, with details that the client doesn't get.

    Attributes:
        metrics: whose log is written.
        request_id: the request's.
    """

    metrics: HTTPMetrics
    request_id: str

    def engine_error(self, status: int, kind: str) -> None:
        """Log an engine's error."""
        self.metrics.log("engine error", request_id=self.request_id, status=status, error=kind)

    def failure(self, error: Exception) -> None:
        """Log an internal error."""
        self.metrics.failure(error, request_id=self.request_id)


async def respond(
    chunks: AsyncGenerator[ResponseChunk, None], *, streamed: bool, chunk_timeout_s: float, log: RequestLog
) -> Response:
    """The response to a request. Its status waits for the first chunk, so that a stream can also fail with a status.

    Args:
        chunks: the engine's.
        streamed: as server-sent events.
        chunk_timeout_s: longest wait between two chunks, seconds.
        log: of the request.

    Raises:
        APIError: the engine refuses the request, or fails.
        Overloaded, NotReady: there is no engine for it.
    """
    try:
        first = await anext(chunks)
        error = first.get("error") if isinstance(first, dict) else _error_of(first.partition("\n\n")[0])
        if error is not None:
            raise engine_error(error, log)
    except BaseException:
        await chunks.aclose()
        raise
    if streamed:
        return StreamingResponse(_events(first, chunks, chunk_timeout_s, log), media_type="text/event-stream")
    await chunks.aclose()
    return JSONResponse(first)


async def _events(
    first: ResponseChunk, chunks: AsyncGenerator[ResponseChunk, None], chunk_timeout_s: float, log: RequestLog
) -> AsyncGenerator[str, None]:
    """The stream; an error on the way is its last event."""
    chunk: ResponseChunk | None = first
    try:
        while chunk is not None:
            if isinstance(chunk, dict):
                raise engine_error(chunk["error"], log)
            yield _with_api_errors(chunk, log)
            async with asyncio.timeout(chunk_timeout_s):
                chunk = await anext(chunks, None)
    except TimeoutError:
        yield _last_event(busy(LATE_S, f"the next word took more than {chunk_timeout_s:g} s", "timeout", 503))
    except Exception as error:
        known = as_api_error(error)
        if known is None:
            log.failure(error)
        yield _last_event(known or internal(log.request_id))
    finally:
        await chunks.aclose()


def engine_error(error: dict[str, Any], log: RequestLog) -> APIError:
    """The error that a client gets for an engine's {"message", "type", "param", "code": status}."""
    status = error.get("code")
    status = status if isinstance(status, int) and 400 <= status <= 599 else 500
    if status in (429, 503):
        return busy(BUSY_S, "the engine is busy; send the request again later", "busy", status)
    if status >= 500:
        log.engine_error(status, str(error.get("type"))[:80])
        return internal(log.request_id)
    return APIError(400 if status == 422 else status, plain(str(error.get("message", ""))), error.get("param"))


def plain(message: str) -> str:
    """An engine's error message in one line, without paths and addresses."""
    line = _PATH.sub("…", _OBJECT.sub("…", " ".join(message.split())))
    return line if len(line) <= MAX_MESSAGE_CHARS else f"{line[:MAX_MESSAGE_CHARS]}…"


def _with_api_errors(events: str, log: RequestLog) -> str:
    """Events as they are, but the engine's error events as OpenAI's error objects."""
    if '"error"' not in events:
        return events
    found = []
    for event in events.split("\n\n"):
        error = _error_of(event)
        found.append(event if error is None else _event(engine_error(error, log)))
    return "\n\n".join(found)


def _error_of(event: str) -> dict[str, Any] | None:
    try:
        content = json.loads(event.removeprefix("data: "))
    except json.JSONDecodeError:
        return None
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else None


def _event(error: APIError) -> str:
    return f"data: {bytes(error.response().body).decode('utf-8')}"


def _last_event(error: APIError) -> str:
    return f"{_event(error)}\n\n{DONE}"
