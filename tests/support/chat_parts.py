"""The LMM's HTTP application on a loopback port with a stub engine that tests control, and chats to send to it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from PIL import Image

from p2i_ray.config.serve import ServeConfig
from p2i_ray.serve.chat.http_app import make_app
from p2i_ray.serve.chat.protocol import ResponseChunk
from p2i_ray.serve.edge.tokens import Tokens
from tests.support.serving import serving

TOKEN = "token-of-the-tests-0123456789"
MODEL = "product2img-lmm"


@dataclass
class StubEngine:
    """An engine that answers with given chunks and records its requests."""

    chunks: list[ResponseChunk] = field(default_factory=lambda: [completion("ok")])
    fault: Exception | None = None
    held_from: int | None = None  # this chunk and those after it are withheld
    loaded: bool = True
    requests: list[dict[str, Any]] = field(default_factory=list)
    stopped: int = 0

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        self.requests.append(request)
        try:
            if self.fault is not None:
                raise self.fault
            for number, chunk in enumerate(self.chunks):
                while self.held_from is not None and number >= self.held_from:
                    await asyncio.sleep(0.005)
                yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped += self.held_from is not None
            raise

    async def ready(self) -> bool:
        return self.loaded


def completion(text: str | None) -> dict[str, Any]:
    """As vLLM's engine answers, with all the fields that say nothing."""
    nothing = {"refusal": None, "annotations": None, "audio": None, "function_call": None, "reasoning": None}
    message = {"role": "assistant", "content": text, **nothing}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None, "stop_reason": None}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}


def event(text: str) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


@dataclass
class Lmm:
    """A running application and its engine."""

    url: str
    engine: StubEngine

    def send(self, method: str, path: str, token: str | None = TOKEN, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= more.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=30, verify=False, **more)  # plain HTTP

    def chat(self, *parts: dict[str, Any], **fields: Any) -> httpx.Response:
        """A chat of one turn; a field that is none is left out."""
        turn = {"role": "user", "content": list(parts) or "Rate it."}
        body = {"model": MODEL, "messages": [turn], **fields}
        return self.send("POST", "/v1/chat/completions", json={k: v for k, v in body.items() if v is not None})

    def refused(self, answer: httpx.Response, status: int = 400) -> dict[str, Any]:
        """The error object of an answer, without a request to the engine."""
        assert answer.status_code == status, answer.text[:500]
        body = answer.json()
        assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
        text = json.dumps(body)
        assert body["error"]["message"] and "\\n" not in text
        assert not any(secret in text for secret in (TOKEN, "Traceback", "site-packages", "/p2i_ray", "/etc/"))
        assert not self.engine.requests
        return dict(body["error"])


@contextmanager
def open_lmm(engine: StubEngine | None = None, **settings: Any) -> Iterator[Lmm]:
    engine = engine or StubEngine()
    limits = {"per_minute": 100_000, **settings.pop("limits", {})}
    app = make_app(ServeConfig.model_validate({"limits": limits, **settings}), engine, Tokens([TOKEN]))
    with serving(app) as address:
        yield Lmm(address, engine)


def encoded(kind: str = "PNG", size: tuple[int, int] = (16, 12), mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    Image.fromarray(noise, mode if mode != "L" else None).save(out, kind, **options)
    return out.getvalue()


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def picture(content: bytes | None = None, kind: str = "png") -> dict[str, Any]:
    content = encoded() if content is None else content
    return image(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")


def opened(part: dict[str, Any]) -> Image.Image:
    """The image that an engine received."""
    url = part["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1])))
