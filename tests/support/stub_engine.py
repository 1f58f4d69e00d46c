"""A stub in place of an engine: its answer depends on the product's name, and some names crash it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from p2i_ray.judge.requests.answers import Asked, RequestRefused, Sample, parse_replies
from p2i_ray.judge.requests.parsing import Step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply


class StubEngine:
    """Scores every sample with the length of its name's first word; "poison" ends the replica's process."""

    def __init__(self, **_: Any) -> None: ...

    async def ask(self, task: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Answer as VLLMEngine.ask does."""
        asked = [Asked(task.request(*sample), self._reply(sample)) for sample in samples]
        return await parse_replies(task, asked, self.reply)

    async def reply(self, request: ChatRequest) -> Reply:
        """Reply with the same score to every request."""
        return Reply("3")

    async def _reply(self, sample: Sample) -> Reply:
        word = sample.name.split()[0]
        await asyncio.sleep(1 if word == "slow" else 0.01)  # so that other requests are in flight
        if word == "poison":
            os._exit(1)
        if word == "refused":
            raise RequestRefused("the engine refused the row: too strange")
        digit = str(len(word))
        return Reply(digit, False, Step(digit, [(digit, 0.0)]))


class CrashingEngine(StubEngine):
    """Ends its process at every request for answers."""

    async def ask(self, task: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Crash."""
        os._exit(1)
