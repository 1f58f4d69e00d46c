"""Asking a deployment again when a replica was lost with the request: what counts as lost, and how often to ask.

Import it in functions only, or in modules that run in Ray's workers: it loads Ray Serve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ray.exceptions import ObjectLostError, RayActorError, WorkerCrashedError

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentResponse, DeploymentResponseGenerator

Result = TypeVar("Result")
Errors = tuple[type[BaseException], ...]

LOST: Errors = (RayActorError, ObjectLostError, WorkerCrashedError)  # the replica, or the answer that it held


class ReplicaLostError(Exception):
    """A replica was lost with the request each time; the cause is the last loss."""


class Attempt:
    """One try, as a context manager: it swallows a loss that may be tried again.

    Attributes:
        last: no try comes after this one.
        lost: whether a replica was lost with it.
    """

    def __init__(self, *, last: bool, losses: Errors, on_loss: Callable[[], Any] | None = None) -> None:
        self.last, self.lost = last, False
        self._losses, self._on_loss = losses, on_loss

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.lost = isinstance(error, self._losses)
        if self.lost and self._on_loss is not None:
            self._on_loss()
        if self.lost and self.last:
            raise ReplicaLostError(str(error)) from error
        return self.lost


def attempts(tries: int, losses: Errors = LOST, *, on_loss: Callable[[], Any] | None = None) -> Iterator[Attempt]:
    """At most so many attempts, until one of them loses no replica; the last one raises ReplicaLostError.

    Args:
        tries: most times that the request is sent.
        losses: exceptions after which it is sent again.
        on_loss: called at each loss.
    """
    for left in reversed(range(tries)):
        attempt = Attempt(last=left == 0, losses=losses, on_loss=on_loss)
        yield attempt
        if not attempt.lost:
            return


def ask(send: Callable[[], Result], tries: int) -> Result:
    """The answer of a call that blocks.

    Raises:
        ReplicaLostError: a replica was lost with it each time.
    """
    for attempt in attempts(tries):
        with attempt:
            return send()
    raise AssertionError("an attempt returns or raises")


async def ask_async(
    send: Callable[[], DeploymentResponse[Any] | DeploymentResponseGenerator[Any]],
    tries: int,
    *,
    losses: Errors = LOST,
    on_loss: Callable[[], Any] | None = None,
) -> Any:
    """The answer of a request to a handle; when the task is cancelled the request is, too.

    Args:
        send: sends the request.
        tries: most times that it is sent.
        losses: exceptions after which it is sent again.
        on_loss: called at each loss.

    Raises:
        ReplicaLostError: a replica was lost with it each time.
    """
    for attempt in attempts(tries, losses, on_loss=on_loss):
        with attempt:
            response = cast("DeploymentResponse[Any]", send())  # no stream
            try:
                return await response
            except asyncio.CancelledError:
                response.cancel()  # type: ignore[no-untyped-call]  # Ray's
                raise
    raise AssertionError("an attempt returns or raises")
