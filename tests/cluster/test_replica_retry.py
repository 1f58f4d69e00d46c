"""Retrying lost replicas: what is sent again, how often, and what ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError, WorkerCrashedError

from p2i_ray.cluster.replica_retry import ReplicaLostError, ask, ask_async, attempts


class Sender:
    """Raises or returns one outcome a call, in their order."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes, self.cancelled = list(outcomes), 0

    def __call__(self) -> Any:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Response:
    """A response of a handle; `cancel` is noted in its sender."""

    def __init__(self, sender: Sender, outcome: Any) -> None:
        self._sender, self._outcome = sender, outcome

    def __await__(self) -> Any:
        if self._outcome is None:
            yield from asyncio.sleep(60).__await__()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        self._sender.cancelled += 1


def test_a_lost_replica_is_asked_again_and_other_errors_are_not() -> None:
    lost = (ActorDiedError(), WorkerCrashedError(), ObjectLostError("a", None, "c"))
    for error in lost:
        assert ask(Sender(error, "answer"), tries=2) == "answer"
    with pytest.raises(ReplicaLostError) as caught:
        ask(Sender(lost[0], lost[1], "too late"), tries=2)
    assert caught.value.__cause__ is lost[1]
    sender = Sender(ValueError("wrong"), "answer")
    with pytest.raises(ValueError, match="wrong"):
        ask(sender, tries=2)
    assert sender.outcomes == ["answer"]


def test_the_asynchronous_call_counts_losses_and_takes_further_errors_for_losses() -> None:
    losses: list[int] = []
    sender = Sender()

    def send(*outcomes: Any) -> Any:
        answers = [Response(sender, outcome) for outcome in outcomes]
        return ask_async(
            lambda: answers.pop(0),  # type: ignore[arg-type,return-value]  # a stub
            3,
            losses=(ActorDiedError, KeyError),
            on_loss=lambda: losses.append(1),
        )

    assert asyncio.run(send(ActorDiedError(), KeyError("x"), "answer")) == "answer" and len(losses) == 2
    with pytest.raises(ReplicaLostError):
        asyncio.run(send(*[KeyError("x")] * 3))
    assert len(losses) == 5 and sender.cancelled == 0


def test_a_cancelled_task_cancels_its_request_and_sends_no_other() -> None:
    sender = Sender()
    sent: list[int] = []

    async def go() -> None:
        def send() -> Any:
            sent.append(1)
            return Response(sender, None)

        task = asyncio.create_task(ask_async(send, 2))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert sent == [1] and sender.cancelled == 1


def test_an_attempt_may_become_the_last_one() -> None:
    tried = []
    with pytest.raises(ReplicaLostError):
        for attempt in attempts(3):
            tried.append(attempt)
            with attempt:
                attempt.last = True
                raise ActorDiedError()
    assert len(tried) == 1
