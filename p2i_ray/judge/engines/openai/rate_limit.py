"""When the next request may go to an endpoint: a rate limit, and waits after refusals. Time itself is passed in."""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # of the waits between tries, which double
LONGEST_ASKED_S = 120.0  # an endpoint that asks for more patience than that is not waited for


class Clock(NamedTuple):
    """Where time comes from; a test passes another."""

    now: Callable[[], float] = time.monotonic  # seconds
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class RequestPacer:
    """Lets requests start one by one, evenly spaced, so that no minute sees more than the limit.

    Args:
        per_minute: the limit.
        clock: time.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._interval = 60 / per_minute
        self._clock = clock
        self._next = -math.inf
        self._turn = asyncio.Lock()  # first come, first served

    async def wait(self) -> None:
        """Return when the next request may start."""
        async with self._turn:
            while (seconds := self._next - self._clock.now()) > 0:  # again: `hold` may have moved it meanwhile
                await self._clock.sleep(seconds)
            self._next = self._clock.now() + self._interval

    def hold(self, seconds: float) -> None:
        """Start nothing for so long: the endpoint has asked for it."""
        self._next = max(self._next, self._clock.now() + seconds)


def back_off(tries: int, chance: random.Random) -> float:
    """Seconds to wait after so many tries: doubling, bounded, less up to a quarter so that tries don't come in step."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries - 1, 30)) * (1 - 0.25 * chance.random())


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that a reply's Retry-After asks for, as a number or as a date; none if it asks for nothing readable.

    Args:
        headers: by lower-case name; a date counts from the reply's own Date, since clocks differ.
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
