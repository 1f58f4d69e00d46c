"""The interface between the HTTP side and the chat engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

ResponseChunk = str | dict[str, Any]  # events of a stream, or a whole response: a completion, or {"error": …}


class ChatEngine(Protocol):
    """One or several engines of one model; safe to call concurrently."""

    def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        """Answer a request of `schema.for_engine`, in chunks. Closing it early stops the engine's work.

        Raises:
            Overloaded: as many requests wait as may.
            NotReady: no engine runs, or the one with this request was lost.
        """
        ...

    async def ready(self) -> bool:
        """Whether a request would be answered now."""
        ...
