"""An engine in an engine's place, passed to the judge: it answers by the product's name, or dies of it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from p2i_ray.lmm.answering import Refused, Sample, answer
from p2i_ray.lmm.questions import Asker, Question, Reply
from p2i_ray.lmm.replies import Step


class StubEngine:
    """Scores every sample with the length of its name's first word; "poison" ends the process that asks."""

    def __init__(self, *_: Any) -> None: ...

    async def ask(self, asker: Asker, samples: list[Sample]) -> list[dict[str, Any]]:
        return await answer(asker, [self._reply(sample) for sample in samples])

    async def reply(self, question: Question) -> Reply:
        return Reply("3")

    async def _reply(self, sample: Sample) -> Reply:
        word = sample.name.split()[0]
        await asyncio.sleep(1 if word == "slow" else 0.01)  # so that others are on their way
        if word == "poison":
            os._exit(1)
        if word == "refused":
            raise Refused("the engine refused the row: too strange")
        digit = str(len(word))
        return Reply(digit, False, Step(digit, [(digit, 0.0)]))


class Dying(StubEngine):
    """Dies of whatever it is asked."""

    async def ask(self, asker: Asker, samples: list[Sample]) -> list[dict[str, Any]]:
        os._exit(1)
