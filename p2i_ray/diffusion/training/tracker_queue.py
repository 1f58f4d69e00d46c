"""Telling a tracking tool in a thread of its own: no training waits for a server, or ends because of one."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

CLOSE_S = 30.0  # longest wait for a tool at the end of a training
MOST = 10_000  # messages that wait; while a server is away, the oldest are dropped
TOGETHER = 50  # messages passed on at once, if so many wait

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepMetrics:
    """Figures of a step, by name."""

    step: int
    values: dict[str, float]
    at: float = field(default_factory=time.time)  # seconds since 1970


@dataclass(frozen=True)
class StepImage:
    """A picture of a step."""

    step: int
    path: str  # a local PNG file


class Tracker(Protocol):
    """Who is told. Whatever a method raises is reported and survived."""

    name: str

    def open(self) -> None:
        """Begin a run, or go on with it; tried again with the next message if it fails."""

    def figures(self, told: Sequence[StepMetrics]) -> None:
        """Figures of some steps, in order."""

    def picture(self, told: StepImage) -> None:
        """A picture."""

    def close(self, failed: bool) -> None:
        """The run is over."""


class TrackerQueue:
    """Passes messages on to a tool. What it fails to pass on is gone; TensorBoard has it."""

    def __init__(self, tool: Tracker) -> None:
        """Begin; the tool is opened in the background."""
        self._tool = tool
        self._waiting: deque[StepMetrics | StepImage] = deque(maxlen=MOST)
        self._changed = threading.Condition()
        self._closing = self._failed = self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"tell {tool.name}", daemon=True)
        self._thread.start()

    def put(self, told: StepMetrics | StepImage) -> None:
        """Have a message passed on soon."""
        with self._changed:
            self._waiting.append(told)
            self._changed.notify()

    def close(self, failed: bool = False, timeout: float = CLOSE_S) -> None:
        """Pass on what waits and end the tool's run, within a time; what takes longer is given up.

        Args:
            failed: the training did.
            timeout: seconds.
        """
        with self._changed:
            self._closing, self._failed = True, failed
            self._changed.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._warn(TimeoutError(f"no answer within {timeout:g} s at the end"))

    def _work(self) -> None:
        opened = self._survive(self._tool.open)
        while batch := self._next():
            opened = opened or self._survive(self._tool.open)
            if opened:
                self._survive(lambda: self._pass_on(batch))
        if opened:
            self._survive(lambda: self._tool.close(self._failed))

    def _next(self) -> list[StepMetrics | StepImage]:
        """What is to be told next, in order; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]

    def _pass_on(self, batch: Sequence[StepMetrics | StepImage]) -> None:
        figures = [told for told in batch if isinstance(told, StepMetrics)]
        if figures:
            self._tool.figures(figures)
        for told in batch:
            if isinstance(told, StepImage):
                self._tool.picture(told)

    def _survive(self, call: Callable[[], None]) -> bool:
        """Whether a call went well."""
        try:
            call()
        except Exception as error:  # client libraries raise what they like
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        """Say once, in a line, that the tool can't be told; without a password that stands in an address."""
        if not self._warned:
            line = next(iter(str(error).splitlines()), "") or type(error).__name__
            line = re.sub(r"//[^/@\s]+@", "//", line)[:300]
            log.warning("%s is not told everything (%s); the training and TensorBoard go on", self._tool.name, line)
        self._warned = True
