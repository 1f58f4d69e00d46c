"""A ray.data.llm stage that outlives its engine: a lost replica costs time, not the job, and no row loops for ever.

Import it in functions only: it loads Ray Serve.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ray.data.llm import Processor
from ray.exceptions import ObjectLostError, RayActorError, WorkerCrashedError
from ray.llm._internal.batch.stages.serve_deployment_stage import ServeDeploymentStageUDF

from p2i_ray.lmm.engine import refusal

LOST = (RayActorError, ObjectLostError, WorkerCrashedError)
TRIES = 2  # times that a row is asked alone after an engine was lost with it
BLOCKS = 3  # at a time, each with up to four batches on the way
MOST_GIVEN_UP = 8  # rows that a stage actor gives up on before it takes the engine for broken


class PatientStage(ServeDeploymentStageUDF):
    """Asks again, one question at a time, what was on its way when an engine was lost.

    So the row that kills engines is found, and set aside, while the others that were with it are judged.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._alone = asyncio.Lock()
        self._given_up = 0

    async def generate_async(self, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], float]:
        """The stage's request for one group of rows."""
        questions = row["request_kwargs"]["questions"]  # the stage takes them out of the row
        try:
            return await super().generate_async(row)
        except TimeoutError as error:  # which the stage would set the rows aside for; but they are not to blame
            raise RuntimeError(f"the judge's engines don't answer; see their replicas' logs: {error}") from error
        except LOST:
            pass
        async with self._alone:
            answers = [await self._ask_alone(row, question) for question in questions]
        request, _, seconds = answers[-1]
        return request, {"replies": [reply for _, output, _ in answers for reply in output["replies"]]}, seconds

    async def _ask_alone(self, row: dict[str, Any], question: Any) -> tuple[dict[str, Any], dict[str, Any], float]:
        request = {"questions": [question]}
        for _ in range(TRIES):
            try:
                return await super().generate_async({**row, "request_kwargs": request})
            except LOST:
                continue
        self._given_up += 1
        if self._given_up > MOST_GIVEN_UP:
            raise RuntimeError(f"the judge's engine was lost with each of {self._given_up} rows; see its replica's log")
        return request, {"replies": [refusal(f"the engine was lost {TRIES + 1} times with this row")]}, 0.0


def make_patient(processor: Processor, num_cpus: float) -> None:
    """Put the patient stage in a Serve deployment processor.

    Args:
        processor: one that build_processor made.
        num_cpus: what each of its actors reserves.
    """
    stage = processor.get_stage_by_name("ServeDeploymentStage")
    stage.fn = PatientStage
    # Blocks overlap: the next one is on its way while the last rows of one are waited for.
    stage.map_batches_kwargs = {**stage.map_batches_kwargs, "num_cpus": num_cpus, "max_concurrency": BLOCKS}
