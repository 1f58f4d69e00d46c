"""The judge over a Serve handle: candidates are scored as training photos are, with a reason.

Engine class, prompts, exemplars and constraint are the training judge's, only that it always writes its reason first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import resources
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.config.serve import ServeConfig
from p2i_ray.data.images import ImageError, Pixels, encode_png
from p2i_ray.judge.engines.vllm.settings import engine_environment
from p2i_ray.judge.requests import exemplars
from p2i_ray.judge.requests.answers import Sample
from p2i_ray.judge.requests.preprocess import fit
from p2i_ray.judge.requests.prompts import load_prompts
from p2i_ray.judge.requests.tasks import ScoreTask, clean_name
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.images.protocol import Verdict
from p2i_ray.serve.sampler.deployment import scaling

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

TRIES = 2  # times that candidates are handed on: an engine may be lost with them once
AGAIN_S = 5.0  # when to come again to a judge that is busy


class JudgeClient:
    """`orders.Judge` over a handle of the judge's engines. For one event loop.

    Args:
        handle: of a deployment with the method `ask` of lmm.engine.Engine.
        settings: the judge's.
        image: limits and size of pictures.
        answer_s: longest wait for a request's verdicts, seconds.

    Raises:
        UserError: the prompts can't be used, or score.yaml doesn't say how to ask for a reason.
    """

    def __init__(self, handle: DeploymentHandle, settings: JudgeConfig, image: ImageConfig, answer_s: float) -> None:
        self._handle, self._image, self._answer_s = handle, image, answer_s
        self._longest_name = settings.max_name_chars
        self._asker = ScoreTask(
            load_prompts(settings.prompts, reasoned=True).score,
            exemplars=exemplars.given(settings, image),
            max_reason_tokens=settings.max_reason_tokens,
            scores_only=bool(settings.hosted.url) and not settings.hosted.logprobs,
        )

    async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
        """A verdict for each picture (H, W, 3) of one product, in their order.

        Raises:
            Overloaded: the judge has more to do than it may have waiting, or doesn't answer in time.
            NotReady: no engine runs, or it was lost twice with these pictures.
        """
        samples = await asyncio.to_thread(self._samples, name, pictures)
        asked = [sample for sample in samples if isinstance(sample, Sample)]
        try:
            async with asyncio.timeout(self._answer_s):
                answers = iter(await self._ask(asked) if asked else [])
        except TimeoutError:
            raise Overloaded(AGAIN_S) from None
        return [Verdict(None, s) if isinstance(s, str) else _verdict(next(answers)) for s in samples]

    def _samples(self, name: str, pictures: Sequence[Pixels]) -> list[Sample | str]:
        """What is asked about, or why it can't be."""
        cleaned = clean_name(name, self._longest_name)
        found: list[Sample | str] = []
        for picture in pictures:
            try:
                found.append(Sample(cleaned, fit(encode_png(picture), self._image)))
            except ImageError as reason:
                found.append(str(reason))
        return found

    async def _ask(self, samples: list[Sample]) -> list[dict[str, Any]]:
        from ray.exceptions import ObjectLostError, RayActorError, WorkerCrashedError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        for tries_left in reversed(range(TRIES)):
            response = self._handle.ask.remote(self._asker, samples)
            try:
                answers: list[dict[str, Any]] = await response
                return answers
            except asyncio.CancelledError:
                response.cancel()
                raise
            except BackPressureError:
                raise Overloaded(AGAIN_S) from None
            except DeploymentUnavailableError as error:
                raise NotReady("the judge isn't running") from error
            except (RayActorError, ObjectLostError, WorkerCrashedError) as error:
                if not tries_left:
                    raise NotReady("the judge was lost with these pictures, twice") from error
        raise AssertionError


def options(settings: ServeConfig, judge: JudgeConfig, environment: dict[str, Any]) -> dict[str, Any]:
    """The options of the engines' deployment.

    Args:
        settings: the shop's.
        judge: the judge's.
        environment: the replicas' runtime environment.
    """
    scale = settings.lmm
    if judge.hosted.url:  # a client that mostly waits, in one place that counts requests and dollars
        scale = scale.model_copy(update={"min_replicas": 1, "max_replicas": 1})
    reserved = resources.HOSTED if judge.hosted.url else resources.replica(scale)
    variables = engine_environment(judge.model_copy(update={"num_cpus": reserved.cpus, "num_gpus": reserved.gpus}))
    return {
        "name": "Judging",
        **scaling(scale),
        "ray_actor_options": {
            **reserved.options(),
            "runtime_env": {**environment, "env_vars": {**environment.get("env_vars", {}), **variables}},
        },
        "max_ongoing_requests": judge.max_num_seqs,
        "max_queued_requests": settings.limits.queue,
        "health_check_period_s": 5,
        "graceful_shutdown_timeout_s": settings.limits.answer_s,
        "max_constructor_retry_count": 1,
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }


def _verdict(answer: dict[str, Any]) -> Verdict:
    if answer["error"] is not None:
        return Verdict(None, answer["error"])
    score = answer["expected_score"]
    return Verdict(float(answer["score"] if score is None else score), answer["reason"] or "")
