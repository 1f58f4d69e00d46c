"""What answers chats, as the HTTP side sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

ResponseChunk = str | dict[str, Any]  # lines of a stream, or a whole answer: a completion, or {"error": …}


class ChatEngine(Protocol):
    """One or several engines of one model; safe to be asked by many at once."""

    def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        """Answer a request of `chats.for_engine`, in pieces. Closing it early stops the engine's work.

        Raises:
            Overloaded: as many requests wait as may.
            NotReady: no engine is there, or the one that was asked is lost.
        """
        ...

    async def ready(self) -> bool:
        """Whether a request would be answered now."""
        ...
