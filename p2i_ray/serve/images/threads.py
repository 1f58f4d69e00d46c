"""Slow work of requests in threads, a few at a time, each stage timed; and waiting for several pieces of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from p2i_ray.serve.edge.metrics import HTTPMetrics

MAX_IN_THREADS = 4  # images at a time: each may take limits.max_pixels * 4 bytes

T = TypeVar("T")


class StageThreads:
    """Runs stages in threads. For one event loop.

    Args:
        metrics: stages are timed there.
    """

    def __init__(self, metrics: HTTPMetrics) -> None:
        self._metrics, self._slots = metrics, asyncio.Semaphore(MAX_IN_THREADS)

    async def run(self, stage: str, function: Callable[..., T], *args: Any) -> T:
        """The result of a function in a thread."""
        async with self._slots:
            with self._metrics.stage(stage):
                return await asyncio.to_thread(function, *args)


async def gather(pieces: list[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; when one fails the others are cancelled, and its exception is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(piece) for piece in pieces]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
