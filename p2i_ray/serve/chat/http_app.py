"""The LMM's HTTP application: what there is at which address, and what a chat goes through before an engine sees it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from p2i_ray.config.serve import ServeConfig
from p2i_ray.serve.chat import images, schema
from p2i_ray.serve.chat.protocol import ChatEngine
from p2i_ray.serve.chat.responses import answered
from p2i_ray.serve.edge import errors, health
from p2i_ray.serve.edge.auth import Authenticator
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.limits import RequestLimits
from p2i_ray.serve.edge.metrics import LOGGER, HTTPMetrics, log_to
from p2i_ray.serve.edge.tokens import Tokens

OPENING = 4  # pictures decoded at a time: each may take limits.max_pixels * 4 bytes
MAX_DEPTH = 64  # of a body's lists and objects


def make_app(settings: ServeConfig, upstream: ChatEngine, tokens: Tokens) -> FastAPI:
    """The application.

    Args:
        settings: limits and names.
        upstream: answers; asked by many at once.
        tokens: who may ask.
    """
    if not logging.getLogger(LOGGER).handlers:
        log_to()
    watch = HTTPMetrics()
    guard = Authenticator(tokens, settings.limits)
    desk = ChatRoutes(settings, upstream, guard, watch)

    app = FastAPI(title=settings.chat.model_name, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    errors.install(app)
    app.add_middleware(RequestLimits, limits=settings.limits, watch=watch)

    health.install(app, guard, watch, upstream.ready, settings.chat.model_name)
    paced = [Depends(guard.paced)]
    app.add_api_route("/v1/chat/completions", desk.chat, methods=["POST"], dependencies=paced)
    return app


class ChatRoutes:
    """Takes chats in. For one event loop."""

    def __init__(self, settings: ServeConfig, upstream: ChatEngine, guard: Authenticator, watch: HTTPMetrics) -> None:
        self._settings, self._upstream, self._guard, self._watch = settings, upstream, guard, watch
        self._opening = asyncio.Semaphore(OPENING)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions.

        Raises:
            Refusal: the request is wrong, beyond a limit, or one too many.
        """
        chat = schema.parse(await _json(request), self._settings.chat)
        self._guard.take(request, (chat.n or 1) - 1)
        with self._watch.stage("intake"):
            checked = await self._open(chat.images())
        body = schema.for_engine(chat, checked)
        pieces = self._upstream.answer(body)
        by = request.state.request_id
        return await answered(pieces, bool(chat.stream), self._settings.limits.answer_s, self._watch, by)

    async def _open(self, parts: list[tuple[str, str]]) -> list[str]:
        """The pictures, checked and written anew; all headers are looked at before a pixel is decoded."""
        limits = self._settings.limits
        read = [(await asyncio.to_thread(images.read, url, param, limits), param) for param, url in parts]
        opened = []
        for content, param in read:
            async with self._opening:
                opened.append(await asyncio.to_thread(images.anew, content, param, limits))
        return opened


async def _json(request: Request) -> Any:
    """The body.

    Raises:
        Refusal: it is no JSON, or nested too deeply.
    """
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise APIError(415, "send the request as application/json, as OpenAI's client does", None, "wrong_type")
    body = await request.body()
    try:
        content = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON; send what OpenAI's client does", None, "invalid_json") from None
    level, depth = [content], 0
    while level:
        level = [child for node in level for child in _children(node)]
        depth += 1
        if depth > MAX_DEPTH:
            raise bad_request(f"the body is nested deeper than {MAX_DEPTH} levels", None, "invalid_json")
    return content


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
