"""The client of the chat engine's deployment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from p2i_ray.serve.chat.protocol import ResponseChunk
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

TRIES = 2  # times that a request is sent: one replica may be lost before the first chunk
STATUS_TTL_S = 1.0  # how long Serve's status of the replicas is cached
RETRY_AFTER_S = 2.0  # while as many requests wait as may


class ChatClient:
    """All replicas of one engine. For one event loop, in a replica of the same application.

    Args:
        handle: of `deployment.ChatEngineServer`.
        application: Serve's name of the application that both belong to.
        on_demand: without requests there may be no replica; a request makes Serve start one.
    """

    def __init__(self, handle: DeploymentHandle[Any], application: str, on_demand: bool) -> None:
        self._answer = handle.options(stream=True, method_name="answer")
        self._deployment, self._application, self._on_demand = handle.deployment_name, application, on_demand
        self._running, self._checked = 0, float("-inf")
        self._lock = asyncio.Lock()

    async def ready(self) -> bool:
        """Whether an engine runs, or is started when it is needed."""
        return self._on_demand or await self.running() > 0

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        """Answer a request, see `protocol.ChatEngine`; one whose replica dies before its first chunk is sent again."""
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        from p2i_ray.cluster import replica_retry

        losses = (RayActorError, DeploymentUnavailableError)
        try:
            for attempt in replica_retry.attempts(TRIES, losses, on_loss=self._forget_status):
                if not await self.ready():
                    raise NotReady
                with attempt:
                    ended = False
                    response: DeploymentResponseGenerator[Any] = self._answer.remote(request)  # type: ignore[assignment]  # it streams
                    try:
                        chunk = await self._first(response)
                        while chunk is not None:
                            attempt.last = True  # what the client has read can't be sent again
                            ended = isinstance(chunk, dict)  # an answer that isn't streamed is one chunk
                            yield chunk
                            chunk = await anext(response, None)
                        ended = True
                        return
                    finally:
                        if not ended:
                            response.cancel()  # type: ignore[no-untyped-call]  # Ray's
        except BackPressureError:
            raise Overloaded(RETRY_AFTER_S) from None
        except replica_retry.ReplicaLostError:
            raise NotReady from None

    async def running(self) -> int:
        """The number of replicas that run."""
        async with self._lock:
            if time.monotonic() - self._checked > STATUS_TTL_S:
                self._running = await asyncio.to_thread(_running, self._application, self._deployment)
                self._checked = time.monotonic()
            return self._running

    def _forget_status(self) -> None:
        self._checked = float("-inf")

    async def _first(self, response: DeploymentResponseGenerator[Any]) -> ResponseChunk | None:
        """The first chunk; no request waits for an engine that is lost and started again."""
        first = asyncio.ensure_future(anext(response, None))
        lost = asyncio.ensure_future(self._until_lost())
        try:
            await asyncio.wait({first, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                await lost  # raises what it met
                raise NotReady
            chunk: ResponseChunk | None = first.result()
            return chunk
        finally:
            first.cancel()
            lost.cancel()

    async def _until_lost(self) -> None:
        while await self.ready():
            await asyncio.sleep(STATUS_TTL_S)


def _running(application: str, deployment: str) -> int:
    from ray import serve

    found = serve.status().applications.get(application)
    status = found.deployments.get(deployment) if found else None
    states: Mapping[str, int] = status.replica_states if status else {}  # type: ignore[assignment]  # its keys are str
    return states.get("RUNNING", 0)
