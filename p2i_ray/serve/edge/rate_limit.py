"""How much a client may ask for: a bucket of pictures that fills again at a steady rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

CLIENTS = 10_000  # buckets remembered; the one unused for longest goes, by then most likely full again


class RateLimiter:
    """Token buckets, one a client. For one event loop."""

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        per_minute: pictures a client is given a minute.
        burst: the most it can have saved.
        clock: seconds that never go back.
        """
        self._rate = per_minute / 60  # pictures a second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> pictures left, at what time

    def take(self, client: str, pictures: float) -> float:
        """Take pictures from a client's bucket; 0 when they were there, else the seconds until they will be.

        More than the bucket holds is never there: check it before.
        """
        now = self._clock()
        left, then = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        missing = pictures - left
        self._buckets[client] = (left if missing > 0 else left - pictures, now)
        while len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return max(0.0, missing / self._rate)
