"""The LMM's HTTP application: its routes, and the checks of a chat before it reaches an engine."""

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
from p2i_ray.serve.chat.responses import RequestLog, respond
from p2i_ray.serve.edge import errors, health
from p2i_ray.serve.edge.auth import Authenticator
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.limits import RequestLimits
from p2i_ray.serve.edge.metrics import LOGGER, HTTPMetrics, log_to
from p2i_ray.serve.edge.texts import check_texts
from p2i_ray.serve.edge.tokens import Tokens

MAX_DECODING = 4  # images decoded at a time: each may take limits.max_pixels * 4 bytes
MAX_DEPTH = 64  # of a body's lists and objects


def make_app(settings: ServeConfig, engine: ChatEngine, tokens: Tokens) -> FastAPI:
    """The application.

    Args:
        settings: limits and names.
        engine: answers; called concurrently.
        tokens: bearer tokens that clients may use.
    """
    if not logging.getLogger(LOGGER).handlers:
        log_to()
    metrics = HTTPMetrics()
    authenticator = Authenticator(tokens, settings.limits)
    routes = ChatRoutes(settings, engine, authenticator, metrics)

    app = FastAPI(title=settings.chat.model_name, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    errors.install(app)
    app.add_middleware(RequestLimits, limits=settings.limits, metrics=metrics, hosts=settings.allowed_hosts)

    health.install(
        app,
        authenticator=authenticator,
        metrics=metrics,
        is_ready=engine.ready,
        model_names=(settings.chat.model_name, *settings.chat.model_aliases),
    )
    limited = [Depends(authenticator.rate_limited)]
    app.add_api_route("/v1/chat/completions", routes.chat, methods=["POST"], dependencies=limited)
    return app


class ChatRoutes:
    """The route of chat completions. For one event loop."""

    def __init__(
        self, settings: ServeConfig, engine: ChatEngine, authenticator: Authenticator, metrics: HTTPMetrics
    ) -> None:
        self._settings, self._engine, self._authenticator, self._metrics = settings, engine, authenticator, metrics
        self._decoding = asyncio.Semaphore(MAX_DECODING)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions.

        Raises:
            APIError: the request is wrong, beyond a limit, or one too many.
        """
        chat = schema.parse(await _json(request), self._settings.chat)
        self._authenticator.take(request, (chat.n or 1) - 1)
        with self._metrics.stage("decode"):
            checked = await self._decode(chat.images())
        return await respond(
            self._engine.answer(schema.for_engine(chat, checked, self._settings.chat.model_name)),
            streamed=bool(chat.stream),
            chunk_timeout_s=self._settings.limits.answer_s,
            log=RequestLog(self._metrics, request.state.request_id),
        )

    async def _decode(self, parts: list[tuple[str, str]]) -> list[str]:
        """The images, checked and encoded again; all headers are checked before any pixel is decoded."""
        limits = self._settings.limits
        read = [(await asyncio.to_thread(images.read, url, param, limits), param) for param, url in parts]
        decoded = []
        for content, param in read:
            async with self._decoding:
                decoded.append(await asyncio.to_thread(images.reencode, content, param, limits))
        return decoded


async def _json(request: Request) -> Any:
    """The body.

    Raises:
        APIError: it is no JSON, nested too deeply, or has a text that isn't whole.
    """
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise APIError(415, "send the request as application/json, as OpenAI's client does", None, "wrong_type")
    body = await request.body()
    return await asyncio.to_thread(_content, body)


def _content(body: bytes) -> Any:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON; send what OpenAI's client does", None, "invalid_json") from None
    level, depth = [content], 0
    while level:
        level = [child for node in level for child in _children(node)]
        depth += 1
        if depth > MAX_DEPTH:
            raise bad_request(f"the body is nested deeper than {MAX_DEPTH} levels", None, "invalid_json")
    check_texts(content)
    return content


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
