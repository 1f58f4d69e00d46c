"""Authentication and admission: a known token, within its rate limit, and few enough requests in flight."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

from fastapi import Request

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.serve.edge.errors import APIError, busy
from p2i_ray.serve.edge.rate_limit import RateLimiter
from p2i_ray.serve.edge.tokens import Tokens, bearer

RETRY_AFTER_S = 2  # while there are too many requests in flight


class Authenticator:
    """Admits requests. For one event loop."""

    def __init__(self, tokens: Tokens, limits: LimitsConfig) -> None:
        self._tokens = tokens
        self._rate = RateLimiter(limits.per_minute, max(limits.per_minute, limits.max_candidates))
        self._unauthenticated = RateLimiter(limits.per_minute, limits.per_minute)  # by address
        self._max_in_flight = limits.queue
        self._in_flight = 0

    async def authenticated(self, request: Request) -> None:
        """A dependency of routes that need a token and have no rate limit; sets `request.state.client`.

        Raises:
            APIError: no token, or none that is known; or too many tries.
        """
        token = bearer(request.headers.get("authorization"))
        client = self._tokens.client(token) if token else None
        if client is None:
            address = request.client.host if request.client else ""
            if wait := self._unauthenticated.take(address, 1):
                raise busy(wait, "too many requests without a known token; wait", "rate_limit_exceeded")
            text = "this token is not known; check it" if token else "send a token as Authorization: Bearer TOKEN"
            raise APIError(401, text, None, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        request.state.client = client
        request.state.exchange.client = client.hex()[:8]

    async def rate_limited(self, request: Request) -> AsyncIterator[None]:
        """A dependency of routes that compute: takes one image of the client's rate limit, and counts as in flight.

        Raises:
            APIError: as `authenticated`; or too many requests.
        """
        await self.authenticated(request)
        self.take(request, 1)
        if self._in_flight >= self._max_in_flight:
            raise busy(
                RETRY_AFTER_S, f"{self._in_flight} requests are being answered; send this one again later", "busy"
            )
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def take(self, request: Request, images: int) -> None:
        """Take images from the client's rate limit.

        Raises:
            APIError: it has too few left.
        """
        if wait := self._rate.take(request.state.client.hex(), images):
            text = f"too much asked for in a minute; send the request again in {math.ceil(wait)} s"
            raise busy(wait, text, "rate_limit_exceeded")
