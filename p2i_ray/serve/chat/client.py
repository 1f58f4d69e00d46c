"""The engines behind a Serve handle, as what answers chats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from p2i_ray.serve.chat.protocol import ResponseChunk
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

FRESH_S = 1.0  # how long Serve's word on its replicas counts
FULL_S = 2.0  # when to come again while as many requests wait as may


class ChatClient:
    """All replicas of one engine. For one event loop, in a replica of the same application."""

    def __init__(self, handle: DeploymentHandle, application: str, on_demand: bool) -> None:
        """Args:
        handle: of `engine.Server`.
        application: Serve's name of the application that both belong to.
        on_demand: without requests there may be no replica, and a request makes Serve start one.
        """
        self._ask = handle.options(stream=True, method_name="answer")
        self._deployment, self._application, self._on_demand = handle.deployment_name, application, on_demand
        self._running, self._known = 0, float("-inf")
        self._asking = asyncio.Lock()

    async def ready(self) -> bool:
        """Whether an engine runs, or is started when it is needed."""
        return self._on_demand or await self.running() > 0

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        """Answer a request; see `upstream.Upstream`. One whose replica dies before its first piece is asked again."""
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        for try_again in (True, False):
            if not await self.ready():
                raise NotReady
            begun = ended = False
            response = self._ask.remote(request)
            try:
                piece = await self._first(response)
                while piece is not None:
                    begun, ended = True, isinstance(piece, dict)  # an answer that isn't streamed is one piece
                    yield piece
                    piece = await anext(response, None)
                ended = True
                return
            except BackPressureError:
                raise Overloaded(FULL_S) from None
            except (RayActorError, DeploymentUnavailableError):
                self._known = float("-inf")
                if begun or not try_again:
                    raise NotReady from None
            finally:
                if not ended:
                    response.cancel()

    async def running(self) -> int:
        """How many replicas run."""
        async with self._asking:
            if time.monotonic() - self._known > FRESH_S:
                self._running = await asyncio.to_thread(_running, self._application, self._deployment)
                self._known = time.monotonic()
            return self._running

    async def _first(self, response: Any) -> ResponseChunk | None:
        """The first piece; nobody waits for an engine that is lost and started again."""
        first = asyncio.ensure_future(anext(response, None))
        lost = asyncio.ensure_future(self._until_lost())
        try:
            await asyncio.wait({first, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                await lost  # raises what it met
                raise NotReady
            piece: ResponseChunk | None = first.result()
            return piece
        finally:
            first.cancel()
            lost.cancel()

    async def _until_lost(self) -> None:
        while await self.ready():
            await asyncio.sleep(FRESH_S)


def _running(application: str, deployment: str) -> int:
    from ray import serve

    found = serve.status().applications.get(application)
    status = found.deployments.get(deployment) if found else None
    return int(status.replica_states.get("RUNNING", 0)) if status else 0
