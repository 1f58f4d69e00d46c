"""Send to a tracking tool in a thread of its own: no training waits for a server, or ends because of one."""

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
MAX_WAITING = 10_000  # messages that wait; while a server is away, the oldest are dropped
BATCH = 50  # most messages sent at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of a step, by name."""

    step: int
    values: dict[str, float]
    at: float = field(default_factory=time.time)  # seconds since 1970


@dataclass(frozen=True)
class StepImage:
    """An image of a step."""

    step: int
    path: str  # a local PNG file


class Tracker(Protocol):
    """A tracking tool. Whatever a method raises is logged, and the training goes on."""

    name: str

    def open(self) -> None:
        """Begin a run, or go on with it; tried again with the next message if it fails."""

    def log_metrics(self, metrics: Sequence[StepMetrics]) -> None:
        """Log the metrics of some steps, in order."""

    def log_image(self, image: StepImage) -> None:
        """Log an image."""

    def close(self, failed: bool) -> None:
        """End the run."""


class TrackerQueue:
    """Messages for a tool. Those that can't be sent are lost there; TensorBoard has them."""

    def __init__(self, tool: Tracker) -> None:
        """Begin; the tool is opened in the background."""
        self._tool = tool
        self._waiting: deque[StepMetrics | StepImage] = deque(maxlen=MAX_WAITING)
        self._changed = threading.Condition()
        self._closing = self._failed = self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"send to {tool.name}", daemon=True)
        self._thread.start()

    def put(self, message: StepMetrics | StepImage) -> None:
        """Send a message soon."""
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()

    def close(self, failed: bool = False, timeout: float = CLOSE_S) -> None:
        """Send what waits and end the tool's run, within a time; what takes longer is given up.

        Args:
            failed: whether the training failed.
            timeout: seconds.
        """
        with self._changed:
            self._closing, self._failed = True, failed
            self._changed.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._warn(TimeoutError(f"no answer within {timeout:g} s at the end"))

    def _work(self) -> None:
        opened = self._succeeds(self._tool.open)
        while batch := self._next():
            opened = opened or self._succeeds(self._tool.open)
            if opened:
                self._succeeds(lambda: self._send(batch))
        if opened:
            self._succeeds(lambda: self._tool.close(self._failed))

    def _next(self) -> list[StepMetrics | StepImage]:
        """The next messages, in order; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _send(self, batch: Sequence[StepMetrics | StepImage]) -> None:
        metrics = [message for message in batch if isinstance(message, StepMetrics)]
        if metrics:
            self._tool.log_metrics(metrics)
        for message in batch:
            if isinstance(message, StepImage):
                self._tool.log_image(message)

    def _succeeds(self, call: Callable[[], None]) -> bool:
        """Whether a call raises nothing; logs what it raises."""
        try:
            call()
        except Exception as error:  # client libraries raise what they like
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        """Log once, in a line, that messages are lost; without a password that stands in an address."""
        if not self._warned:
            line = next(iter(str(error).splitlines()), "") or type(error).__name__
            line = re.sub(r"//[^/@\s]+@", "//", line)[:300]
            log.warning("%s does not get everything (%s); the training and TensorBoard go on", self._tool.name, line)
        self._warned = True
