"""What Serve's proxy does around the application: its own headers dropped, its own errors as JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from p2i_ray.serve.edge.proxy import ProxyEdge

TEXT = [(b"content-type", b"text/plain")]
JSON = [(b"content-type", b"application/json")]


def answer(*messages: dict[str, Any], fault: Exception | None = None, headers: Any = ()) -> tuple[list[Any], Any]:
    """What a client gets, and the headers that the application saw."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        for message in messages:
            await send(message)
        if fault:
            raise fault

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": list(headers)}
    asyncio.run(ProxyEdge(app)(scope, receive, send))
    return sent, seen


def start(status: int, headers: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


BODY = {"type": "http.response.body", "body": b"x", "more_body": False}


def test_the_headers_by_which_serve_is_steered_do_not_come_from_outside() -> None:
    given = [(b"x-request-timeout-seconds", b"0"), (b"X-Request-Disconnect-Disabled", b"?1"), (b"x-other", b"1")]
    sent, seen = answer(start(200, JSON), BODY, headers=given)
    assert seen == [(b"x-other", b"1")] and sent == [start(200, JSON), BODY]


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], None),  # how the proxy leaves a request whose replica died
        ([], ValueError("x")),
        ([start(500, TEXT), BODY], None),
        ([start(503, TEXT), BODY], None),
        ([start(404, TEXT), BODY], None),  # the application was deleted, or isn't there yet
    ],
)
def test_a_lost_application_is_answered_with_json_and_retry_after(messages: Any, fault: Exception | None) -> None:
    sent, _ = answer(*messages, fault=fault)
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 503 and headers[b"retry-after"] == b"5" and headers[b"content-type"] == JSON[0][1]
    error = json.loads(b"".join(message["body"] for message in sent[1:]))["error"]
    assert error["code"] == "not_ready" and error["type"] == "service_unavailable_error"


@pytest.mark.parametrize("first", [start(503, JSON), start(500, JSON), start(404, JSON), start(200, TEXT)])
def test_the_applications_own_answers_pass(first: dict[str, Any]) -> None:
    assert answer(first, BODY)[0] == [first, BODY]


def test_an_answer_that_breaks_off_stays_broken() -> None:
    with pytest.raises(ValueError, match="x"):
        answer(start(200, JSON), fault=ValueError("x"))
