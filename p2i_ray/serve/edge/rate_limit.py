"""Rate limits: a token bucket for each client, counted in images."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

CLIENTS = 10_000  # buckets kept; the least recently used goes, by then most likely full again


class RateLimiter:
    """Token buckets, one a client. For one event loop.

    Args:
        per_minute: images a minute that refill a bucket.
        burst: a bucket's capacity, images.
        clock: monotonic seconds.
    """

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60  # images a second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> images left, at what time

    def take(self, client: str, images: float) -> float:
        """Take images from a client's bucket; return 0 if they were there, else the seconds until they will be.

        More than the bucket's capacity is never there: check it before.
        """
        now = self._clock()
        left, then = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        missing = images - left
        self._buckets[client] = (left if missing > 0 else left - images, now)
        while len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return max(0.0, missing / self._rate)
