"""Asking a judge that may lose its engines: a lost replica costs time, not the job, and no row loops for ever.

Runs in Ray Data's tasks. Import it in functions only: it loads Ray Serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from ray.serve.handle import DeploymentHandle, DeploymentResponse

from p2i_ray.cluster.replica_retry import LOST, ReplicaLostError, ask
from p2i_ray.errors import UserError
from p2i_ray.judge.requests.answers import FATAL, Sample
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

TRIES = 2  # times that a row is asked alone after an engine was lost with it
MOST_GIVEN_UP = 8  # rows of a block that are given up on before the engine is taken for broken
PATIENCE_S = 7200.0  # for one request, waiting included: engines that never come back must not hang a job


def ask_with_retry(
    handle: DeploymentHandle, asker: JudgeTask, samples: list[Sample], group: int
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Ask about all samples, a group a request, all requests at once.

    What was on its way when an engine was lost is asked again, one sample at a time: so the row that kills engines
    is found, and set aside, while the others that were with it are judged.

    Yields:
        (place of a group's first sample, the group's answers in order). What ends the job is raised after the other
        groups' answers, which may have been paid for.

    Raises:
        UserError: an endpoint says why it can't go on.
        RuntimeError: engines don't answer, or are lost with row after row.
    """
    places = range(0, len(samples), group)
    asked = [handle.ask.remote(asker, samples[place : place + group]) for place in places]
    given_up, end = 0, cast(UserError | None, None)
    for place, response in zip(places, asked, strict=True):
        try:
            answers = _wait(response)
            yield place, answers
            end = end or next((UserError(answer["error"]) for answer in answers if answer.get(FATAL)), None)
        except LOST:
            answers = []
            for sample in samples[place : place + group]:
                answer = _ask_alone(handle, asker, sample)
                given_up += answer is None
                if given_up > MOST_GIVEN_UP:
                    raise RuntimeError(
                        f"the judge's engine was lost with each of {given_up} rows; see its replica's log"
                    ) from None
                answers.append(answer or {"error": f"the engine was lost {TRIES + 1} times with this row"})
            yield place, answers
        except UserError as error:
            end = end or UserError(str(getattr(error, "cause", error)))  # as the replica raised it, without Ray's trace
    if end:
        raise end


def reply_with_retry(handle: DeploymentHandle, question: ChatRequest) -> Reply:
    """The reply to one question; an engine that is lost with it is asked again when it is back.

    Raises:
        RuntimeError: engines don't answer, or are lost with it each time.
    """
    try:
        return cast(Reply, ask(lambda: _wait(handle.reply.remote(question)), TRIES + 1))
    except ReplicaLostError:
        text = f"the judge's engine was lost {TRIES + 1} times with a question; see its replica's log"
        raise RuntimeError(text) from None


def _ask_alone(handle: DeploymentHandle, asker: JudgeTask, sample: Sample) -> dict[str, Any] | None:
    """One sample's answer; none if the engine was lost with it each time."""
    try:
        return cast(dict[str, Any], ask(lambda: _wait(handle.ask.remote(asker, [sample]))[0], TRIES))
    except ReplicaLostError:
        return None


def _wait(response: DeploymentResponse) -> Any:
    try:
        return response.result(timeout_s=PATIENCE_S)
    except TimeoutError as error:
        raise RuntimeError(f"the judge's engines don't answer; see their replicas' logs: {error}") from error
