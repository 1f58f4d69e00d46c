"""Pauses that grow while something keeps failing, such as a disk that is full, and a log that says so once."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 60.0


class Backoff:
    """The failures in a row of one thing that several tasks try.

    Args:
        began: called with the first error of a row.
        ended: called when it works again.
        first_s: pause after the first failure, seconds; each further one doubles it.
        longest_s: longest pause, seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        began: Callable[[BaseException], None],
        ended: Callable[[], None],
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._began, self._ended, self._clock = began, ended, clock
        self._first_s, self._longest_s = first_s, longest_s
        self._pause_s = 0.0
        self._until = float("-inf")

    @property
    def wait_s(self) -> float:
        """Seconds until it may be tried again; 0: now."""
        return max(0.0, self._until - self._clock())

    def failed(self, error: BaseException) -> None:
        """Note a failure. Those of tasks that tried at the same time count as one."""
        if not self._pause_s:
            self._began(error)
        if not self.wait_s:
            self._pause_s = min(self._longest_s, 2 * self._pause_s or self._first_s)
            self._until = self._clock() + self._pause_s

    def worked(self) -> None:
        """Note that it works."""
        if self._pause_s:
            self._pause_s, self._until = 0.0, float("-inf")
            self._ended()
