"""The client of the judge's deployment: scores candidates as training images are scored, and names their flaws.

Engine class, prompts, exemplars and constraint are the training judge's, except that it always writes its reason first.
Where the model's folder has what its run's judge has learned, that feedback and those exemplars are used.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import resources, serving
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.config.serve import ServeConfig
from p2i_ray.data.images import ImageError, Pixels, encode_png
from p2i_ray.judge.engines.vllm.settings import engine_environment
from p2i_ray.judge.requests import exemplars
from p2i_ray.judge.requests.answers import Sample
from p2i_ray.judge.requests.comparison import ComparisonTask, preferences
from p2i_ray.judge.requests.preprocess import fit
from p2i_ray.judge.requests.prompts import load_comparison, load_prompts
from p2i_ray.judge.requests.tasks import CritiqueTask, JudgeTask, ScoreTask, clean_name
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.guidance import ModelGuidance
from p2i_ray.serve.images.protocol import Verdict
from p2i_ray.serve.images.ranking import ranked
from p2i_ray.serve.sampler.deployment import scaling

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

TRIES = 2  # times that candidates are sent: one engine may be lost with them
RETRY_AFTER_S = 5.0  # of a judge that is busy


class JudgeClient:
    """`images.protocol.Ranker` over a handle of the judge's engines. For one event loop.

    Args:
        handle: of a deployment with the method `ask` of the judge's engines.
        settings: the judge's.
        image: limits and size of images.
        answer_s: longest wait for a request's verdicts, seconds.
        guidance: what the run's judge has learned (none: the judge is asked as in the first round).
        compared: candidates, the best by score, that are also compared in pairs.

    Raises:
        UserError: the prompts can't be used, or score.yaml doesn't say how to ask for a reason.
    """

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        settings: JudgeConfig,
        image: ImageConfig,
        answer_s: float,
        *,
        guidance: ModelGuidance | None = None,
        compared: int = 0,
    ) -> None:
        self._handle, self._image, self._answer_s, self._guidance = handle, image, answer_s, guidance
        self._max_name_chars = settings.max_name_chars
        prompts = load_prompts(settings.prompts, reasoned=True)
        self._compared, self._comparison = compared, ComparisonTask(load_comparison())
        self._critique = CritiqueTask(prompts.critique, settings.max_reason_tokens, settings.flaws)
        self._one_at_a_time = asyncio.Lock()  # of the threads that read the guidance
        self._score = ScoreTask(
            prompts.score,
            exemplars=exemplars.from_settings(settings, image),
            max_reason_tokens=settings.max_reason_tokens,
            scores_only=bool(settings.hosted.url) and not settings.hosted.logprobs,
        )

    async def rank(self, name: str, images: Sequence[Pixels]) -> list[Verdict]:
        """Return a verdict for each image (H, W, 3) of one product, in their order.

        Raises:
            Overloaded: the judge's queue is full, or it doesn't answer in time.
            NotReady: no engine runs, or it was lost twice with these images.
        """
        samples = await asyncio.to_thread(self._samples, name, images)
        verdicts = [_verdict(answer) for answer in await self._answers(await self._sharpened(), samples)]
        best = [one.index for one in ranked(verdicts) if verdicts[one.index].score is not None][: self._compared]
        if len(best) < 2:
            return verdicts
        preferred = await self._preferences([samples[place] for place in best])
        for place, preference in zip(best, preferred, strict=True):
            verdicts[place] = replace(verdicts[place], preference=preference)
        return verdicts

    async def flaws(self, name: str, images: Sequence[Pixels]) -> list[tuple[str, ...] | None]:
        """Return the flaws of each image (H, W, 3) of one product, in their order; none: it can't be judged.

        Raises:
            Overloaded, NotReady: see `rank`.
        """
        samples = await asyncio.to_thread(self._samples, name, images)
        answers = await self._answers(self._critique, samples)
        return [None if answer["error"] is not None else tuple(answer["flaws"]) for answer in answers]

    async def _sharpened(self) -> ScoreTask:
        """The task of scoring, with what the run's judge has learned."""
        if self._guidance is None:
            return self._score
        async with self._one_at_a_time:
            learned, shown = await asyncio.to_thread(self._guidance.current)
        cap = learned.cap if learned.feedback else self._score.cap
        return replace(self._score, feedback=learned.feedback, exemplars=shown or self._score.exemplars, cap=cap)

    async def _preferences(self, samples: list[Sample | str]) -> list[float | None]:
        """Preference for each over the others, by pairs in both orders; see `comparison.preferences`."""
        valid = [sample for sample in samples if isinstance(sample, Sample)]  # all: they have scores
        pairs = list(itertools.permutations(range(len(valid)), 2))
        asked = [valid[one]._replace(cutout=valid[other].picture) for one, other in pairs]
        answers = await self._answers(self._comparison, asked)
        found = [None if answer["error"] is not None else answer["p_first"] for answer in answers]
        return preferences(len(valid), dict(zip(pairs, found, strict=True)))

    async def _answers(self, task: JudgeTask, samples: Sequence[Sample | str]) -> list[dict[str, Any]]:
        """The columns of each sample's answer, in their order."""
        valid = [sample for sample in samples if isinstance(sample, Sample)]
        try:
            async with asyncio.timeout(self._answer_s):
                answers = iter(await self._ask(task, valid) if valid else [])
        except TimeoutError:
            raise Overloaded(RETRY_AFTER_S) from None
        return [{"error": one} if isinstance(one, str) else next(answers) for one in samples]

    def _samples(self, name: str, images: Sequence[Pixels]) -> list[Sample | str]:
        """The judge's samples, or in a sample's place why its image can't be judged."""
        cleaned = clean_name(name, self._max_name_chars)
        samples: list[Sample | str] = []
        for image in images:
            try:
                samples.append(Sample(cleaned, fit(encode_png(image), self._image)))
            except ImageError as reason:
                samples.append(str(reason))
        return samples

    async def _ask(self, task: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        from p2i_ray.cluster import replica_retry

        try:
            answers: list[dict[str, Any]] = await replica_retry.ask_async(
                lambda: self._handle.ask.remote(task, samples), TRIES
            )
            return answers
        except BackPressureError:
            raise Overloaded(RETRY_AFTER_S) from None
        except DeploymentUnavailableError as error:
            raise NotReady("the judge isn't running") from error
        except replica_retry.ReplicaLostError as error:
            raise NotReady(f"{TRIES} engines of the judge were lost with these images") from error.__cause__


def options(settings: ServeConfig, judge: JudgeConfig, environment: dict[str, Any]) -> dict[str, Any]:
    """The options of the engines' deployment.

    Args:
        settings: the service's.
        judge: the judge's.
        environment: the replicas' runtime environment.
    """
    scale = settings.lmm
    if judge.hosted.url:  # a client that mostly waits, in one place that counts requests and dollars
        scale = scale.model_copy(update={"min_replicas": 1, "max_replicas": 1})
    reserved = resources.HOSTED if judge.hosted.url else resources.replica(scale)
    variables = engine_environment(judge.model_copy(update={"num_cpus": reserved.cpus, "num_gpus": reserved.gpus}))
    return {
        "name": "Judge",
        **scaling(scale),
        "ray_actor_options": {
            **reserved.options(),
            "runtime_env": serving.with_variables(environment, variables),
        },
        "max_ongoing_requests": judge.max_num_seqs,
        "max_queued_requests": settings.limits.queue,
        "health_check_period_s": 5,
        "graceful_shutdown_timeout_s": settings.limits.answer_s,
        "max_constructor_retry_count": 1,
        "logging_config": serving.QUIET,
    }


def _verdict(answer: dict[str, Any]) -> Verdict:
    if answer["error"] is not None:
        return Verdict(None, answer["error"])
    score = answer["expected_score"]
    return Verdict(float(answer["score"] if score is None else score), answer["reason"] or "")
