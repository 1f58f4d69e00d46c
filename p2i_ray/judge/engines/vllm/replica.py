"""A vLLM engine behind a Ray Serve handle: samples in, rows of a table out.

The engine outlives the datasets that ask it: starting one costs more than judging a thousand rows. It has no HTTP
port; only actors of the same cluster reach it. Everything here runs in the replica, never on the driver.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.judge.engines.lifetime import exit_with_driver
from p2i_ray.judge.engines.vllm import process_reaper
from p2i_ray.judge.engines.vllm.rendering import ChatRenderer
from p2i_ray.judge.engines.vllm.settings import engine_arguments
from p2i_ray.judge.requests.answers import RequestRefused, Sample, parse_replies
from p2i_ray.judge.requests.parsing import Step, digit_step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput

ALTERNATIVES = 10  # log-probabilities a token; five digits, in tokenizers that have several tokens for one


class VLLMEngine:
    """One vLLM engine, as Serve's replica."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: JudgeConfig, limits: ImageConfig, seed: int, application: str, owner: ActorHandle | None = None
    ) -> None:
        """Load the model; returns when questions can be asked.

        Args:
            settings: the judge's.
            limits: of pictures.
            seed: of the engine; replies are greedy, so it decides nothing but ties inside vLLM.
            application: the Serve application that this replica belongs to.
            owner: an actor that lives as long as the driver; when it is gone, the application removes itself.
        """
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        process_reaper.start()
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(settings, seed)))
        self._chats = ChatRenderer(self._engine.renderer, limits)
        # Templates, tokens and pixels are prepared beside the event loop, while the engine computes in its process.
        self._preparing = ThreadPoolExecutor(1, "preparing")
        self._numbers = itertools.count()
        self._following = asyncio.create_task(exit_with_driver(owner, application)) if owner else None

    async def ask(self, asker: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Ask about every sample: the columns of asker.schema without id.

        A dead engine takes the replica with it, so that Serve starts another.
        """
        questions = [asker.question(*sample) for sample in samples]
        return await parse_replies(asker, await self._replies(questions))

    async def reply(self, question: ChatRequest) -> Reply:
        """Answer one question; raises Refused if the engine can't."""
        (reply,) = await self._replies([question])
        return await reply

    async def _replies(self, questions: list[ChatRequest]) -> list[Awaitable[Reply]]:
        """All chats are rendered before one is handed on: an engine that gets them singly computes them singly."""
        chats = [question.messages for question in questions]
        prompts = await asyncio.get_running_loop().run_in_executor(self._preparing, self._chats.render_all, chats)
        return [self._reply(prompt, question) for prompt, question in zip(prompts, questions, strict=True)]

    async def check_health(self) -> None:
        """Raises if the engine is dead; Serve then replaces this replica."""
        await self._engine.check_health()

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None:
            engine.shutdown()

    async def _reply(self, prompt: Any, question: ChatRequest) -> Reply:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        if isinstance(prompt, RequestRefused):
            raise prompt
        how, number = sampling(question), str(next(self._numbers))
        written = None
        try:
            async for output in self._engine.generate(prompt, how, number):
                written = output.outputs[0]
        except EngineDeadError:
            logging.getLogger("ray.serve").exception("the engine died; its replica ends and is started again")
            os._exit(1)
        except (VLLMClientError, ValueError, EngineGenerateError) as error:
            cause = error.__cause__ if isinstance(error, EngineGenerateError) and error.__cause__ else error
            raise RequestRefused(f"the engine refused the row: {' '.join(str(cause).split())[:300]}") from error
        assert written is not None
        return Reply(written.text, written.finish_reason == "length", _step(written))


def sampling(question: ChatRequest) -> SamplingParams:
    """How vLLM writes the reply: greedily, within the question's constraint, handed back once and whole."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    constraint = None
    if question.choice:
        constraint = StructuredOutputsParams(choice=list(question.choice))
    elif question.form:
        constraint = StructuredOutputsParams(grammar=question.form)
    return SamplingParams(
        temperature=0,
        max_tokens=question.max_tokens,
        logprobs=ALTERNATIVES if question.probabilities else None,
        structured_outputs=constraint,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _step(written: CompletionOutput) -> Step | None:
    """The digit's step, with the alternatives that the constraint left."""
    if not written.logprobs:
        return None
    steps = (
        Step(
            found[token].decoded_token or "",
            [(a.decoded_token or "", a.logprob) for a in found.values() if a.logprob > -1e9],
        )
        for token, found in zip(written.token_ids, written.logprobs, strict=True)
    )
    return digit_step(steps)
