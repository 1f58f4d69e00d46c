"""Graceful shutdown behind Serve's proxy, and the request's id."""

from __future__ import annotations

import asyncio
from typing import Any

from p2i_ray.serve.edge.draining import DrainableApp


async def send_request(app: DrainableApp, request_id: str | None = None) -> list[dict[str, Any]]:
    """The start of the application's response to a request of this id."""
    seen: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        seen.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"x-request-id", request_id.encode())] if request_id else []
    await app({"type": "http", "headers": headers, "path": "/", "method": "GET"}, receive, send)
    return [message for message in seen if message["type"] == "http.response.start"]


def test_a_closed_application_refuses_new_requests_and_waits_for_those_in_flight() -> None:
    async def go() -> None:
        finish, started = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            started.set()
            await finish.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        app = DrainableApp(slow)
        first = asyncio.create_task(send_request(app))
        await started.wait()
        assert await app.close(0.05) == 1
        assert [answer["status"] for answer in await send_request(app)] == [503]
        closing = asyncio.create_task(app.close(30))
        finish.set()
        assert await closing == 0
        assert [answer["status"] for answer in await first] == [200]

    asyncio.run(go())


def test_the_request_id_that_the_proxy_repeats_is_sent_once() -> None:
    async def named(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"ours")]})

    def headers(request_id: str | None) -> list[tuple[bytes, bytes]]:
        return list(asyncio.run(send_request(DrainableApp(named), request_id))[0]["headers"])

    assert headers("ours") == []
    assert headers("a name that was refused") == headers(None) == [(b"x-request-id", b"ours")]
