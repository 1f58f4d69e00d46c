"""The door: a known token, at a fair pace, and not too many inside at once."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

from fastapi import Request

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.serve.edge.errors import APIError, busy
from p2i_ray.serve.edge.rate_limit import RateLimiter
from p2i_ray.serve.edge.tokens import Tokens, bearer

FULL_S = 2  # when to ask again when there are too many requests inside


class Authenticator:
    """Lets requests in. For one event loop."""

    def __init__(self, tokens: Tokens, limits: LimitsConfig) -> None:
        self._tokens = tokens
        self._pace = RateLimiter(limits.per_minute, max(limits.per_minute, limits.max_candidates))
        self._strangers = RateLimiter(limits.per_minute, limits.per_minute)  # addresses that come without a known token
        self._most_inside = limits.queue
        self._inside = 0

    async def known(self, request: Request) -> None:
        """A dependency of routes that anyone with a token may ask as often as they like; sets `request.state.client`.

        Raises:
            Refusal: no token, or none that is known; or too many tries.
        """
        token = bearer(request.headers.get("authorization"))
        client = self._tokens.client(token) if token else None
        if client is None:
            address = request.client.host if request.client else ""
            if wait := self._strangers.take(address, 1):
                raise busy(wait, "too many requests without a known token; wait", "rate_limit_exceeded")
            text = "this token is not known; check it" if token else "send a token as Authorization: Bearer TOKEN"
            raise APIError(401, text, None, "invalid_api_key", {"WWW-Authenticate": "Bearer"})
        request.state.client = client
        request.state.exchange.client = client.hex()[:8]

    async def paced(self, request: Request) -> AsyncIterator[None]:
        """A dependency of routes that cost something: one picture of the client's pace, and a place inside.

        Raises:
            Refusal: as `known`; or too many requests.
        """
        await self.known(request)
        self.take(request, 1)
        if self._inside >= self._most_inside:
            raise busy(FULL_S, f"{self._inside} requests are being answered; send this one again later", "busy")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def take(self, request: Request, pictures: int) -> None:
        """Take pictures from the client's pace.

        Raises:
            Refusal: it has too few left.
        """
        if wait := self._pace.take(request.state.client.hex(), pictures):
            text = f"too much asked for in a minute; send the request again in {math.ceil(wait)} s"
            raise busy(wait, text, "rate_limit_exceeded")
