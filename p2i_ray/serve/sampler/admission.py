"""Admission by work: pixels times steps, at the pace that was measured, against the time that an answer may take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from p2i_ray.serve.edge.backpressure import Overloaded, TooMuchWork

RECENT = 64  # images whose pace is kept
FEWEST = 3  # images below which nothing is known
TTL_S = 300.0  # age at which a pace is forgotten: were all requests refused for a slow hour, none could correct it
MAX_RETRY_AFTER_S = 60.0


class Admission:
    """Refuses what can't be painted in time. For one event loop.

    The pace is the fastest of the recent images', so that a hiccup refuses nobody; what is admitted in error ends at
    the time limit.

    Args:
        answer_s: longest time for an answer, seconds.
        replicas: most replicas that paint.
        clock: monotonic seconds.
    """

    def __init__(self, answer_s: float, replicas: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._answer_s, self._replicas, self._clock = answer_s, replicas, clock
        self._pace: deque[tuple[float, float]] = deque(maxlen=RECENT)  # at what time, seconds a unit of work
        self._outstanding = 0.0  # work of requests that are being answered

    @contextmanager
    def reserve(self, images: int, work: float, most_s: float) -> Iterator[None]:
        """Count a request's images as outstanding.

        Args:
            images: of the request.
            work: of each image, see `diffusion.sampling.request.work`.
            most_s: longest time that they may take by themselves, seconds.

        Raises:
            TooMuchWork: they take longer.
            Overloaded: they would not be painted in time behind what is outstanding.
        """
        total, pace = images * work, self._fastest()
        if pace is not None:
            alone_s = total * pace / min(self._replicas, images)
            if alone_s > most_s:
                raise TooMuchWork(alone_s, most_s)
            late_s = (self._outstanding + total) * pace / self._replicas - self._answer_s
            if self._outstanding and late_s > 0:
                raise Overloaded(min(MAX_RETRY_AFTER_S, max(1.0, late_s)))
        self._outstanding += total
        try:
            yield
        finally:
            self._outstanding = max(0.0, self._outstanding - total)

    def observe(self, work: float, seconds: float) -> None:
        """Learn from an image: its work, and its part of its batch's seconds."""
        self._pace.append((self._clock(), seconds / work))

    def usual_pace(self) -> float | None:
        """Seconds a unit of work, the median of the kept images', however old; none: too few are known."""
        return median(pace for _, pace in self._pace) if len(self._pace) >= FEWEST else None

    def _fastest(self) -> float | None:
        oldest = self._clock() - TTL_S
        recent = [pace for when, pace in self._pace if when >= oldest]
        return min(recent) if len(recent) >= FEWEST else None
