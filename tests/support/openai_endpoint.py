"""A real HTTP server in a thread that acts as an OpenAI-compatible endpoint, well-behaved or not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Behaviour = Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse]


class Server:
    """The recorded requests, and the behaviour towards the next ones."""

    def __init__(self, behaviours: Sequence[Behaviour], then: Behaviour, now: Callable[[], float]) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []  # of the requests, by the clock `now`
        self.most_at_once = 0
        self._behaviours = list(behaviours)
        self._then = then
        self._now = now
        self._at_once = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Record a request and answer it."""
        self.times.append(self._now())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        body = await request.json()
        self.bodies.append(body)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            response = (self._behaviours.pop(0) if self._behaviours else self._then)(body)
            if isinstance(response, web.StreamResponse):
                await asyncio.sleep(0)  # lets other requests arrive
                return await _sent(response, request)
            return await _sent(await response, request)
        finally:
            self._at_once -= 1


async def _sent(response: web.StreamResponse, request: web.Request) -> web.StreamResponse:
    if response.headers.get("x-hang-up"):  # less than the announced length
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b'{"choices": [')
        assert request.transport
        request.transport.close()
    if response.headers.get("x-drips"):
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)
    return response


@contextmanager
def serving(
    *behaviours: Behaviour, then: Behaviour | None = None, now: Callable[[], float] = lambda: 0.0
) -> Iterator[Server]:
    """Run a server at `url` that answers the first requests by `behaviours`, and all others by `then`."""
    server = Server(behaviours, then or good(), now)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", server.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def work() -> None:
        asyncio.set_event_loop(loop)
        server_runner.append(loop.run_until_complete(start()))
        ready.set()
        loop.run_forever()
        loop.run_until_complete(server_runner[0].cleanup())
        loop.close()

    server_runner: list[web.AppRunner] = []
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)


def completion(text: str | None, tokens: Sequence[tuple[str, dict[str, float]]] = (), **changes: Any) -> dict[str, Any]:
    """A completion in OpenAI's format; tokens are (generated, {alternative: log-probability})."""
    content = [
        {
            "token": token,
            "logprob": others.get(token, 0.0),
            "bytes": None,
            "top_logprobs": [{"token": other, "logprob": log, "bytes": None} for other, log in others.items()],
        }
        for token, others in tokens
    ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": {"content": content, "refusal": None} if content else None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010},
        **changes,
    }


def good(text: str = "4", others: dict[str, float] | None = None) -> Behaviour:
    """Answer with this text; its last token is the digit, with its alternatives."""
    return lambda body: web.json_response(completion(text, [(text, others or {text: 0.0})]))


def says(**content: Any) -> Behaviour:
    """Answer with this JSON object."""
    return lambda body: web.json_response(content)


def fails(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Behaviour:
    """Answer with an error in OpenAI's format."""
    return lambda body: web.json_response({"error": {"message": message, **error}}, status=status, headers=headers)


def writes(text: str, kind: str = "text/html", status: int = 200) -> Behaviour:
    """Answer with text that is not JSON, or incomplete JSON."""
    return lambda body: web.Response(text=text, content_type=kind, status=status)


def redirects(url: str) -> Behaviour:
    """Redirect the client."""
    return lambda body: web.Response(status=307, headers={"Location": url})


def hangs_up(body: dict[str, Any]) -> web.StreamResponse:
    """Close the connection in the middle of the reply."""
    return web.StreamResponse(headers={"x-hang-up": "1"})


async def never(body: dict[str, Any]) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


def drips(body: dict[str, Any]) -> web.StreamResponse:
    """Send single bytes without end."""
    return web.StreamResponse(headers={"x-drips": "1"})


def together(number: int) -> list[Behaviour]:
    """So many behaviours that answer only once all of them have a request."""
    waiting: list[asyncio.Event] = []

    async def one(body: dict[str, Any]) -> web.StreamResponse:
        waiting.append(asyncio.Event())
        if len(waiting) == number:
            for event in waiting:
                event.set()
        await waiting[-1].wait()
        return web.json_response(completion("4", [("4", {"4": 0.0})]))

    return [one] * number


def pictures(body: dict[str, Any]) -> list[str]:
    """The data URLs of a request, in order."""
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [part["image_url"]["url"] for content in contents for part in content if part["type"] == "image_url"]


def words(body: dict[str, Any]) -> str:
    """The messages of a request as text."""
    return json.dumps(body["messages"], ensure_ascii=False)
