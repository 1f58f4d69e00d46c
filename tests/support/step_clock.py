"""A clock that stands still but for its own sleep, and has things happen at given times."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from p2i_ray.run.lease import Clock


class StepClock:
    """Begins at 0; `at`: what happens when, once."""

    def __init__(self, at: Mapping[float, Callable[[], object]] | None = None) -> None:
        self.time = 0.0
        self._at = dict(at or {})

    @property
    def clock(self) -> Clock:
        """As code under test takes it."""
        return Clock(now=lambda: self.time, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds
        for moment in sorted(moment for moment in self._at if moment <= self.time):
            self._at.pop(moment)()
