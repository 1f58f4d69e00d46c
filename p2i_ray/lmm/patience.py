"""Asking a judge that may lose its engines: a lost replica costs time, not the job, and no row loops for ever.

Runs in Ray Data's tasks. Import it in functions only: it loads Ray Serve.
"""

from __future__ import annotations

from typing import Any

from ray.exceptions import ObjectLostError, RayActorError, WorkerCrashedError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from p2i_ray.lmm.answering import Sample
from p2i_ray.lmm.questions import Asker

LOST = (RayActorError, ObjectLostError, WorkerCrashedError)
TRIES = 2  # times that a row is asked alone after an engine was lost with it
MOST_GIVEN_UP = 8  # rows of a block that are given up on before the engine is taken for broken
PATIENCE_S = 7200.0  # for one request, waiting included: engines that never come back must not hang a job


def ask_patiently(handle: DeploymentHandle, asker: Asker, samples: list[Sample], group: int) -> list[dict[str, Any]]:
    """Ask about all samples, a group a request, all requests at once; the answers in order.

    What was on its way when an engine was lost is asked again, one sample at a time: so the row that kills engines
    is found, and set aside, while the others that were with it are judged.

    Raises:
        RuntimeError: engines don't answer, or are lost with row after row.
    """
    groups = [samples[i : i + group] for i in range(0, len(samples), group)]
    asked = [handle.ask.remote(asker, group) for group in groups]
    answers: list[dict[str, Any]] = []
    given_up = 0
    for samples_of, response in zip(groups, asked, strict=True):
        try:
            answers += _wait(response)
        except LOST:
            for sample in samples_of:
                answer = _ask_alone(handle, asker, sample)
                given_up += answer is None
                if given_up > MOST_GIVEN_UP:
                    raise RuntimeError(
                        f"the judge's engine was lost with each of {given_up} rows; see its replica's log"
                    ) from None
                answers.append(answer or {"error": f"the engine was lost {TRIES + 1} times with this row"})
    return answers


def _ask_alone(handle: DeploymentHandle, asker: Asker, sample: Sample) -> dict[str, Any] | None:
    """One sample's answer; none if the engine was lost with it each time."""
    for _ in range(TRIES):
        try:
            return _wait(handle.ask.remote(asker, [sample]))[0]
        except LOST:
            continue
    return None


def _wait(response: DeploymentResponse) -> list[dict[str, Any]]:
    try:
        return response.result(timeout_s=PATIENCE_S)
    except TimeoutError as error:
        raise RuntimeError(f"the judge's engines don't answer; see their replicas' logs: {error}") from error
