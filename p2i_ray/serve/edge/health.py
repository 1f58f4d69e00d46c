"""The routes that both applications have: liveness, readiness, metrics, and their one model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI
from starlette.responses import JSONResponse, Response

from p2i_ray.serve.edge.auth import Authenticator
from p2i_ray.serve.edge.errors import LOADING_S, APIError, busy
from p2i_ray.serve.edge.metrics import HTTPMetrics

READY_TIMEOUT_S = 2.0  # longest wait to learn whether a model is loaded


def install(
    app: FastAPI,
    *,
    authenticator: Authenticator,
    metrics: HTTPMetrics,
    is_ready: Callable[[], Awaitable[bool]],
    model_name: str,
) -> None:
    """Add /healthz and /readyz, and, for known tokens, /metrics and /v1/models."""

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

    model = {"id": model_name, "object": "model", "created": int(time.time()), "owned_by": "p2i_ray"}

    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    async def one_model(name: str) -> Response:
        if name != model_name:
            raise APIError(404, f"there is no such model; use {model_name}", "model", "model_not_found")
        return JSONResponse(model)

    known = [Depends(authenticator.authenticated)]
    app.add_api_route("/healthz", live, methods=["GET", "HEAD"])
    app.add_api_route("/readyz", ready, methods=["GET", "HEAD"])
    app.add_api_route("/metrics", exposition, dependencies=known)
    app.add_api_route("/v1/models", models, dependencies=known)
    app.add_api_route("/v1/models/{name}", one_model, dependencies=known)
