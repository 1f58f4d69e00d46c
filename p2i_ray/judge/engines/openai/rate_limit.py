"""Rate limit and backoff of requests to an endpoint. The clock is a parameter."""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

FIRST_WAIT_S, MAX_WAIT_S = 0.5, 30.0  # between retries; waits double
MAX_RETRY_AFTER_S = 120.0  # a longer Retry-After is a failure


class Clock(NamedTuple):
    """Source of time; tests pass another."""

    now: Callable[[], float] = time.monotonic  # seconds
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class RequestPacer:
    """Start of requests one by one, evenly spaced, so that no minute has more than the limit.

    Args:
        per_minute: largest number of requests per minute.
        clock: source of time.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._interval = 60 / per_minute
        self._clock = clock
        self._next = -math.inf
        self._lock = asyncio.Lock()  # first in, first out

    async def wait(self) -> None:
        """Return when the next request may start."""
        async with self._lock:
            while (seconds := self._next - self._clock.now()) > 0:  # in a loop: `hold` may have moved it meanwhile
                await self._clock.sleep(seconds)
            self._next = self._clock.now() + self._interval

    def hold(self, seconds: float) -> None:
        """Start no request for so many seconds, as the endpoint has asked."""
        self._next = max(self._next, self._clock.now() + seconds)


def backoff(tries: int, rng: random.Random) -> float:
    """Seconds to wait after so many tries: exponential, bounded, minus up to a quarter of jitter."""
    return min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries - 1, 30)) * (1 - 0.25 * rng.random())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a response's Retry-After asks for, as a number or a date; None if there is none to parse.

    Args:
        headers: by lower-case name; a date is relative to the response's Date, since clocks differ.
    """
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (
                _date(text) - (_date(headers["date"]) if "date" in headers else datetime.now(UTC))
            ).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(text: str) -> datetime:
    found = email.utils.parsedate_to_datetime(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
