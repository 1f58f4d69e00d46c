"""The throughput of a step over the last minute."""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


class Throughput:
    """Counts finished units. Times are seconds on any one clock.

    Args:
        began: time at which the first unit was begun.
    """

    def __init__(self, began: float) -> None:
        self.done = 0
        self._began = began
        self._points: deque[tuple[float, int]] = deque()  # (time, units done by then), the newest last

    def add(self, units: int, now: float) -> None:
        """Count units that are done at time `now`."""
        self.done += units
        self._points.append((now, self.done))
        while len(self._points) > 2 and self._points[0][0] < now - WINDOW_S:
            self._points.popleft()

    def rate(self, now: float) -> float | None:
        """Units per second over the last minute, or between the last two reports if they lie further apart.

        Engines start before the first report, so the rate counts from there; none before it.
        """
        if not self._points:
            return None
        (first, before), (last, after) = self._points[0], self._points[-1]
        if last == first:
            return self.done / (now - self._began) if now > self._began else None
        waited = now - last > last - first  # it has stalled: the old rate no longer holds
        return (after - before) / ((now if waited else last) - first)
