"""The terminal of a service's job, as an operator reads it: what still starts, and the requests."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import serving

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

EVERY_S = 5.0  # interval of lines while an application starts
FOLLOW_S = 1.0  # interval of fetching the requests' log


@contextmanager
def starting(application: str) -> Iterator[None]:
    """Print now and then how many replicas of each deployment run, until the block ends."""
    with _repeating(EVERY_S, _Start(application)):
        yield


@contextmanager
def requests(front: DeploymentHandle[Any], every_s: float = FOLLOW_S) -> Iterator[None]:
    """Print the log of the front's requests on standard output, one line of JSON each, until the block ends."""
    with _repeating(every_s, _Requests(front)):
        yield


def line(replicas: Mapping[str, Mapping[str, int]], seconds: float) -> str:
    """One line on an application that starts.

    Args:
        replicas: by deployment, the number of its replicas in each of Serve's states.
        seconds: since its start.
    """
    counts = [
        f"{name} {states.get('RUNNING', 0)} of {max(1, sum(states.values()))}" for name, states in replicas.items()
    ]
    return f"starting for {seconds:.0f} s: {', '.join(counts) or 'the application is being made'}"


class _Start:
    def __init__(self, application: str) -> None:
        self._application, self._begin = application, time.monotonic()

    def __call__(self) -> None:
        print(line(serving.replica_states(self._application), time.monotonic() - self._begin), flush=True)


class _Requests:
    def __init__(self, front: DeploymentHandle[Any]) -> None:
        self._front, self._after = front, 0

    def __call__(self) -> None:
        self._after, lines = self._front.request_log.remote(self._after).result(timeout_s=30)
        if lines:
            sys.stdout.write("".join(f"{text}\n" for text in lines))
            sys.stdout.flush()


@contextmanager
def _repeating(interval_s: float, work: Any) -> Iterator[None]:
    """Do work in a thread at intervals; Serve may be busy for a moment, then it is done the next time."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    over = threading.Event()

    def repeat() -> None:
        while not over.wait(interval_s):
            try:
                work()
            except (RayError, RayServeException, TimeoutError):
                continue

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(interval_s)
