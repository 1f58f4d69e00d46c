"""The LMM's HTTP application: what there is at which address, and what a chat goes through before an engine sees it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from p2i_ray.config.serve import ServeConfig
from p2i_ray.serve.http import faults, standing
from p2i_ray.serve.http.access import Tokens
from p2i_ray.serve.http.bounds import Bounds
from p2i_ray.serve.http.faults import Refusal, wrong
from p2i_ray.serve.http.guard import Guard
from p2i_ray.serve.http.watch import LOGGER, Watch, log_to
from p2i_ray.serve.lmm import chats, pictures
from p2i_ray.serve.lmm.answers import answered
from p2i_ray.serve.lmm.upstream import Upstream

OPENING = 4  # pictures decoded at a time: each may take limits.max_pixels * 4 bytes
MAX_DEPTH = 64  # of a body's lists and objects


def make_app(settings: ServeConfig, upstream: Upstream, tokens: Tokens) -> FastAPI:
    """The application.

    Args:
        settings: limits and names.
        upstream: answers; asked by many at once.
        tokens: who may ask.
    """
    if not logging.getLogger(LOGGER).handlers:
        log_to()
    watch = Watch()
    guard = Guard(tokens, settings.limits)
    desk = Desk(settings, upstream, guard, watch)

    app = FastAPI(title=settings.chat.model_name, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    faults.install(app)
    app.add_middleware(Bounds, limits=settings.limits, watch=watch)

    standing.install(app, guard, watch, upstream.ready, settings.chat.model_name)
    paced = [Depends(guard.paced)]
    app.add_api_route("/v1/chat/completions", desk.chat, methods=["POST"], dependencies=paced)
    return app


class Desk:
    """Takes chats in. For one event loop."""

    def __init__(self, settings: ServeConfig, upstream: Upstream, guard: Guard, watch: Watch) -> None:
        self._settings, self._upstream, self._guard, self._watch = settings, upstream, guard, watch
        self._opening = asyncio.Semaphore(OPENING)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions.

        Raises:
            Refusal: the request is wrong, beyond a limit, or one too many.
        """
        chat = chats.parse(await _json(request), self._settings.chat)
        self._guard.take(request, (chat.n or 1) - 1)
        with self._watch.stage("intake"):
            checked = await self._open(chat.images())
        body = chats.for_engine(chat, checked)
        pieces = self._upstream.answer(body)
        by = request.state.request_id
        return await answered(pieces, bool(chat.stream), self._settings.limits.answer_s, self._watch, by)

    async def _open(self, images: list[tuple[str, str]]) -> list[str]:
        """The pictures, checked and written anew; all headers are looked at before a pixel is decoded."""
        limits = self._settings.limits
        read = [(await asyncio.to_thread(pictures.read, url, param, limits), param) for param, url in images]
        opened = []
        for content, param in read:
            async with self._opening:
                opened.append(await asyncio.to_thread(pictures.anew, content, param, limits))
        return opened


async def _json(request: Request) -> Any:
    """The body.

    Raises:
        Refusal: it is no JSON, or nested too deeply.
    """
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise Refusal(415, "send the request as application/json, as OpenAI's client does", None, "wrong_type")
    body = await request.body()
    try:
        content = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise wrong("the body is not JSON; send what OpenAI's client does", None, "invalid_json") from None
    level, depth = [content], 0
    while level:
        level = [child for node in level for child in _children(node)]
        depth += 1
        if depth > MAX_DEPTH:
            raise wrong(f"the body is nested deeper than {MAX_DEPTH} levels", None, "invalid_json")
    return content


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
