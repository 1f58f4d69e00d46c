"""Work in a thread beside the driver's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_background(work: Callable[[], Result], name: str) -> Future[Result]:
    """Begin some work in a thread; the future has its result, or raises what the work has raised.

    The thread is a daemon: a driver that ends with an error does not wait for it, as it would for the threads of a
    `ThreadPoolExecutor`, which may wait for engines for ever.
    """
    future: Future[Result] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work())
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
