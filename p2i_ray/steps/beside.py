"""Work in a thread beside the driver's own, whose result or failure is there when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Beside(threading.Thread, Generic[Result]):
    """A thread that does one thing. A driver that ends meanwhile doesn't wait for it.

    Args:
        work: what it does.
        name: of the thread.
    """

    def __init__(self, work: Callable[[], Result], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._done: list[Result] = []
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._done.append(self._work())
        except Exception as error:  # raised where the result is asked for
            self._error = error

    def result(self) -> Result:
        """Wait until it is done; raises what the work has raised."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._done[0]
