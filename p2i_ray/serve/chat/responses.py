"""An engine's answer, as the client gets it: whole, or streamed; its errors in OpenAI's words."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from p2i_ray.serve.chat.protocol import ResponseChunk
from p2i_ray.serve.edge.errors import APIError, as_api_error, busy, internal
from p2i_ray.serve.edge.metrics import HTTPMetrics

FULL_S = 2  # when to ask again after a refusal for load
LATE_S = 5
LONGEST = 300  # characters of an engine's complaint
DONE = "data: [DONE]\n\n"
_OBJECT = re.compile(r"<[^<>]* at 0x[0-9A-Fa-f]+>")
_PATH = re.compile(r"(?:~|\.{1,2})?/(?:[\w.@+-]+/)*[\w.@+-]+")


async def answered(
    pieces: AsyncGenerator[ResponseChunk, None], streamed: bool, wait_s: float, watch: HTTPMetrics, by: str
) -> Response:
    """The response to a request. Its status waits for the first piece, so that an error is an error in a stream, too.

    Args:
        pieces: the engine's.
        streamed: as server-sent events.
        wait_s: longest wait between two pieces, seconds.
        watch: is told what the client isn't.
        by: the request's id.

    Raises:
        Refusal: the engine refuses the request, or fails.
        Overloaded, NotReady: there is no engine for it.
    """
    try:
        first = await anext(pieces)
        if isinstance(first, dict) and "error" in first:
            raise refused(first["error"], watch, by)
    except BaseException:
        await pieces.aclose()
        raise
    if streamed:
        return StreamingResponse(_events(first, pieces, wait_s, watch, by), media_type="text/event-stream")
    await pieces.aclose()
    return JSONResponse(first)


async def _events(
    first: ResponseChunk, pieces: AsyncGenerator[ResponseChunk, None], wait_s: float, watch: HTTPMetrics, by: str
) -> AsyncGenerator[str, None]:
    """The stream; what goes wrong on the way is its last event."""
    piece: ResponseChunk | None = first
    try:
        while piece is not None:
            if isinstance(piece, dict):
                raise refused(piece["error"], watch, by)
            yield _own_errors(piece, watch, by)
            async with asyncio.timeout(wait_s):
                piece = await anext(pieces, None)
    except TimeoutError:
        yield _last_words(busy(LATE_S, f"the next word took more than {wait_s:g} s", "timeout", 503))
    except Exception as error:
        refusal = as_api_error(error)
        if refusal is None:
            watch.failure(error, request_id=by)
        yield _last_words(refusal or internal(by))
    finally:
        await pieces.aclose()


def refused(error: dict[str, Any], watch: HTTPMetrics, by: str) -> APIError:
    """What the client is told of an engine's error {"message", "type", "param", "code": status}."""
    status = error.get("code")
    status = status if isinstance(status, int) and 400 <= status <= 599 else 500
    if status in (429, 503):
        return busy(FULL_S, "the engine is busy; send the request again later", "busy", status)
    if status >= 500:
        watch.log("engine error", request_id=by, status=status, error=str(error.get("type"))[:80])
        return internal(by)
    return APIError(400 if status == 422 else status, plain(str(error.get("message", ""))), error.get("param"))


def plain(message: str) -> str:
    """An engine's complaint in one line, without paths and addresses."""
    line = _PATH.sub("…", _OBJECT.sub("…", " ".join(message.split())))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _own_errors(events: str, watch: HTTPMetrics, by: str) -> str:
    """Events as they are, an engine's error event in our words."""
    if '"error"' not in events:
        return events
    said = []
    for event in events.split("\n\n"):
        found = _error_of(event)
        said.append(event if found is None else _event(refused(found, watch, by)))
    return "\n\n".join(said)


def _error_of(event: str) -> dict[str, Any] | None:
    try:
        content = json.loads(event.removeprefix("data: "))
    except json.JSONDecodeError:
        return None
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else None


def _event(refusal: APIError) -> str:
    return f"data: {bytes(refusal.response().body).decode('utf-8')}"


def _last_words(refusal: APIError) -> str:
    return f"{_event(refusal)}\n\n{DONE}"
