"""The application behind Serve's proxy: how it is closed, and whose name a request has."""

from __future__ import annotations

import asyncio
from typing import Any

from p2i_ray.serve.edge.draining import DrainableApp


async def ask(door: DrainableApp, asked: str | None = None) -> list[dict[str, Any]]:
    """How a door's answer begins, to a request of this id."""
    seen: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        seen.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"x-request-id", asked.encode())] if asked else []
    await door({"type": "http", "headers": headers, "path": "/", "method": "GET"}, receive, send)
    return [message for message in seen if message["type"] == "http.response.start"]


def test_a_closed_door_lets_nobody_in_and_waits_for_those_inside() -> None:
    async def go() -> None:
        finish, inside = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            inside.set()
            await finish.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        door = DrainableApp(slow)
        first = asyncio.create_task(ask(door))
        await inside.wait()
        assert await door.close(0.05) == 1
        assert [answer["status"] for answer in await ask(door)] == [503]
        closing = asyncio.create_task(door.close(30))
        finish.set()
        assert await closing == 0
        assert [answer["status"] for answer in await first] == [200]

    asyncio.run(go())


def test_the_name_that_the_proxy_repeats_is_not_said_twice() -> None:
    async def named(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"ours")]})

    def headers(asked: str | None) -> list[tuple[bytes, bytes]]:
        return list(asyncio.run(ask(DrainableApp(named), asked))[0]["headers"])

    assert headers("ours") == []
    assert headers("a name that was refused") == headers(None) == [(b"x-request-id", b"ours")]
