"""The routes that both applications have: liveness, readiness, metrics, and their one model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from fastapi import Depends, FastAPI
from starlette.responses import JSONResponse, Response

from p2i_ray.serve.edge.auth import Authenticator
from p2i_ray.serve.edge.errors import LOADING_S, APIError, busy
from p2i_ray.serve.edge.metrics import HTTPMetrics

READY_TIMEOUT_S = 2.0  # longest wait to learn whether a model is loaded


def check_model(name: str, names: Sequence[str]) -> None:
    """Refuse a model's name that is none of the one model's, of which the first is told."""
    if name not in names:
        raise APIError(404, f"there is no such model; use {names[0]}", "model", "model_not_found")


def install(
    app: FastAPI,
    *,
    authenticator: Authenticator,
    metrics: HTTPMetrics,
    is_ready: Callable[[], Awaitable[bool]],
    model_names: Sequence[str],
) -> None:
    """Add /healthz and /readyz, and, for known tokens, /metrics and /v1/models.

    Args:
        app: the application.
        authenticator: knows the tokens.
        metrics: the application's.
        is_ready: whether a request would be answered now.
        model_names: of the one model: its own, then its aliases.
    """

    async def live() -> Response:
        return JSONResponse({"status": "live"})

    async def ready() -> Response:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                loaded = await is_ready()
        except TimeoutError:
            loaded = False
        if not loaded:
            raise busy(LOADING_S, "the model is being loaded", "not_ready", 503)
        return JSONResponse({"status": "ready"})

    async def exposition() -> Response:
        content, kind = metrics.exposition()
        return Response(content, headers={"Content-Type": kind})

    started = int(time.time())
    named = {name: {"id": name, "object": "model", "created": started, "owned_by": "p2i_ray"} for name in model_names}

    async def models() -> Response:
        return JSONResponse({"object": "list", "data": list(named.values())})

    async def one_model(name: str) -> Response:
        check_model(name, model_names)
        return JSONResponse(named[name])

    known = [Depends(authenticator.authenticated)]
    app.add_api_route("/healthz", live, methods=["GET", "HEAD"])
    app.add_api_route("/readyz", ready, methods=["GET", "HEAD"])
    app.add_api_route("/metrics", exposition, dependencies=known)
    app.add_api_route("/v1/models", models, dependencies=known)
    app.add_api_route("/v1/models/{name}", one_model, dependencies=known)
