"""Waiting for the judge of a job, for which nobody waits: what is painted is kept meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.edge.errors import LOADING_S

T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]], source: str) -> T:
    """Get what is asked for; a job asks again while the one it asks is busy or not there.

    Args:
        ask: asks once.
        source: "request" or "job".

    Raises:
        Overloaded, NotReady: of a request.
    """
    while True:
        try:
            return await ask()
        except (Overloaded, NotReady) as error:
            if source != "job":
                raise
            await asyncio.sleep(error.retry_after_s if isinstance(error, Overloaded) else LOADING_S)
