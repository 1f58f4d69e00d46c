"""The judge's client: candidates get the training judge's scores, with reasons."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from p2i_ray.config import ImageConfig
from p2i_ray.config.serve import ServeConfig
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests.answers import Sample
from p2i_ray.mini.world import CLEAN, render
from p2i_ray.serve import judge_client
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.judge_client import JudgeClient

IMAGE = ImageConfig(resolution=64)


def test_good_images_rank_above_bad_ones_with_a_reason(judge: Judge) -> None:
    remote = JudgeClient(judge.start().handle(), judge.settings, IMAGE, answer_s=120)
    better = 0
    for number in range(6):
        sample = render(71, number, CLEAN)
        plain = np.where(sample.mask[..., None] > 0, sample.image, np.uint8(250))
        good, bad = asyncio.run(remote.rank(sample.name, [sample.image, plain]))
        assert good.score and bad.score and 1 <= bad.score <= 5
        assert good.reason and bad.reason
        better += good.score > bad.score
    assert better >= 5


class Engines:
    """A handle that answers, or raises, what it is given; the judge's handle in these tests."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[list[Sample]]()
        self.ask = self

    def remote(self, _: Any, samples: list[Sample]) -> Any:
        self.asked.append(samples)
        return self._answer()

    async def _answer(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(score: float | None, reason: str | None, error: str | None = None) -> dict[str, Any]:
    return {"score": score and round(score), "expected_score": score, "reason": reason, "error": error}


def rank(judge: Judge, engines: Engines, pictures: int = 2, image: ImageConfig = IMAGE) -> Any:
    remote = JudgeClient(engines, judge.settings, image, answer_s=5)  # type: ignore[arg-type]
    return asyncio.run(remote.rank("mug\n", [render(71, number, CLEAN).image for number in range(pictures)]))


def test_what_cannot_be_judged_has_a_reason_and_no_score(judge: Judge) -> None:
    engines = Engines([said(4.5, "fits"), said(None, None, "the reply was cut")])
    first, second = rank(judge, engines)
    assert (first.score, first.reason) == (4.5, "fits")
    assert (second.score, second.reason) == (None, "the reply was cut")
    assert [sample.name for sample in engines.asked[0]] == ["mug", "mug"]
    small = ImageConfig(resolution=64, max_pixels=10)
    [verdict] = rank(judge, Engines(), 1, small)
    assert verdict.score is None and "too large" in verdict.reason


def test_a_lost_engine_is_asked_again_once(judge: Judge) -> None:
    answers = [said(3.0, "a"), said(2.0, "b")]
    assert [verdict.score for verdict in rank(judge, Engines(ActorDiedError(), answers))] == [3.0, 2.0]
    with pytest.raises(NotReady):
        rank(judge, Engines(ActorDiedError(), ActorDiedError(), answers))
    with pytest.raises(Overloaded):
        rank(judge, Engines(BackPressureError(1, 1)))


def test_engines_are_scaled_by_the_services_settings(judge: Judge) -> None:
    scale = {"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 2, "num_gpus": 0, "num_cpus": 0.5}
    options = judge_client.options(ServeConfig(lmm=scale), judge.settings, {"env_vars": {"A": "b"}})
    assert options["autoscaling_config"]["max_replicas"] == 3
    assert options["autoscaling_config"]["target_ongoing_requests"] == 2
    variables = options["ray_actor_options"]["runtime_env"]["env_vars"]
    assert variables["A"] == "b" and variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
