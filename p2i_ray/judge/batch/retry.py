"""Requests to engines that may be lost: a lost replica costs time, not the job, and no row is retried for ever.

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

RETRIES = 2  # requests with one sample alone, after an engine was lost with its group
MAX_FAILED_ROWS = 8  # rows of a block that may lose an engine each time before the engine is taken for broken
TIMEOUT_S = 7200.0  # of one request, time in the queue included: engines that never return must not hang a job


def ask_with_retry(
    handle: DeploymentHandle[Any], task: JudgeTask, samples: list[Sample], group: int
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Ask about all samples, one group per request, all requests at once.

    Groups that were in flight when an engine was lost are asked about again, one sample at a time: so a row that
    crashes engines is found and set aside, while the other rows of its group are judged.

    Yields:
        (index of a group's first sample, the group's answers in order). An error that ends the job is raised after the
        answers of the other groups, which may have been paid for.

    Raises:
        UserError: an endpoint says why it can't go on.
        RuntimeError: engines don't answer, or are lost with row after row.
    """
    starts = range(0, len(samples), group)
    responses = [handle.ask.remote(task, samples[start : start + group]) for start in starts]
    failed_rows, fatal = 0, cast(UserError | None, None)
    for start, response in zip(starts, responses, strict=True):
        try:
            answers = _wait(response)
            yield start, answers
            fatal = fatal or next((UserError(answer["error"]) for answer in answers if answer.get(FATAL)), None)
        except LOST:
            answers = []
            for sample in samples[start : start + group]:
                answer = _ask_alone(handle, task, sample)
                failed_rows += answer is None
                if failed_rows > MAX_FAILED_ROWS:
                    raise RuntimeError(
                        f"the judge's engine was lost with each of {failed_rows} rows; see its replica's log"
                    ) from None
                answers.append(answer or {"error": f"the engine was lost {RETRIES + 1} times with this row"})
            yield start, answers
        except UserError as error:
            fatal = fatal or UserError(
                str(getattr(error, "cause", error))
            )  # the replica's own, without Ray's traceback
    if fatal:
        raise fatal


def reply_with_retry(handle: DeploymentHandle[Any], request: ChatRequest) -> Reply:
    """The reply to one request, which is repeated if the engine is lost with it.

    Raises:
        RuntimeError: engines don't answer, or are lost with it each time.
    """
    try:
        return cast(Reply, ask(lambda: _wait(handle.reply.remote(request)), RETRIES + 1))
    except ReplicaLostError:
        text = f"the judge's engine was lost {RETRIES + 1} times with a request; see its replica's log"
        raise RuntimeError(text) from None


def _ask_alone(handle: DeploymentHandle[Any], task: JudgeTask, sample: Sample) -> dict[str, Any] | None:
    """One sample's answer; none if the engine was lost with it each time."""
    try:
        return cast(dict[str, Any], ask(lambda: _wait(handle.ask.remote(task, [sample]))[0], RETRIES))
    except ReplicaLostError:
        return None


def _wait(response: object) -> Any:
    """The result of a Serve response; typed as object because Ray's handles also return generators."""
    try:
        return cast("DeploymentResponse[Any]", response).result(timeout_s=TIMEOUT_S)
    except TimeoutError as error:
        raise RuntimeError(f"the judge's engines don't answer; see their replicas' logs: {error}") from error
