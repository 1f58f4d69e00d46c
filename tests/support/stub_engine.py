"""An engine in an engine's place, passed to the judge: it answers by the product's name, or dies of it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from p2i_ray.judge.requests.answers import RequestRefused, Sample, parse_replies
from p2i_ray.judge.requests.parsing import Step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply


class StubEngine:
    """Scores every sample with the length of its name's first word; "poison" ends the process that asks."""

    def __init__(self, *_: Any) -> None: ...

    async def ask(self, asker: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        return await parse_replies(asker, [self._reply(sample) for sample in samples])

    async def reply(self, question: ChatRequest) -> Reply:
        return Reply("3")

    async def _reply(self, sample: Sample) -> Reply:
        word = sample.name.split()[0]
        await asyncio.sleep(1 if word == "slow" else 0.01)  # so that others are on their way
        if word == "poison":
            os._exit(1)
        if word == "refused":
            raise RequestRefused("the engine refused the row: too strange")
        digit = str(len(word))
        return Reply(digit, False, Step(digit, [(digit, 0.0)]))


class Dying(StubEngine):
    """Dies of whatever it is asked."""

    async def ask(self, asker: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        os._exit(1)
