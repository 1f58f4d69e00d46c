"""A vLLM engine as a Ray Serve replica: samples in, rows of a table out.

The engine outlives the datasets that it is asked about, since a start takes longer than judging a thousand rows. It has
no HTTP port; only actors of the same cluster reach it. All of this runs in the replica, never in the driver.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import ray_internals
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.judge.engines.lifetime import exit_with_driver
from p2i_ray.judge.engines.vllm import chat_template, process_reaper
from p2i_ray.judge.engines.vllm.rendering import ChatRenderer
from p2i_ray.judge.engines.vllm.settings import engine_arguments
from p2i_ray.judge.engines.vllm.startup import startup_explained
from p2i_ray.judge.requests.answers import Asked, RequestRefused, Sample, parse_replies
from p2i_ray.judge.requests.constraints import choice_grammar
from p2i_ray.judge.requests.parsing import Step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput

LOGPROBS = 10  # alternatives per token: more than the five digits, since some tokenizers have several tokens for one
METASPACE = "▁"  # the space as a token of SentencePiece
# vLLM's renderer keeps pictures that it has sent and leaves them out later; where a request was refused after that, or
# the engine's own cache lost one, the reply is empty and ends for this reason.
FAILED = "error"
TRIES = 4
NO_PROBABILITY = -1e9  # log-probability up to which vLLM has masked a token


class VLLMEngine:
    """One vLLM engine, as a Serve replica."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: JudgeConfig,
        limits: ImageConfig,
        seed: int,
        *,
        application: str,
        owner: ActorHandle[Any] | None = None,
    ) -> None:
        """Load the model; returns when the engine takes requests.

        A UserError says why the model can't be a judge, before its weights are loaded.

        Args:
            settings: settings of the judge.
            limits: limits of pictures.
            seed: seed of the engine; decoding is greedy, so it only affects ties inside vLLM.
            application: the Serve application that this replica belongs to.
            owner: an actor that lives as long as the driver; when it has ended, the application deletes itself.
        """
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        ray_internals.replica_on_loopback()
        process_reaper.start()
        template = chat_template.check(settings.model)
        arguments = engine_arguments(settings, seed, side=limits.resolution)
        with startup_explained(settings):
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        self._renderer = ChatRenderer(self._engine.renderer, limits, template)
        self._is_spaced = METASPACE in self._engine.renderer.get_tokenizer().get_vocab()
        # Templates, tokens and pixels are prepared off the event loop, while the engine computes in its own process.
        self._render_pool = ThreadPoolExecutor(1, "render")
        self._request_numbers = itertools.count()
        self._lifetime = asyncio.create_task(exit_with_driver(owner, application)) if owner else None

    async def ask(self, task: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Ask about every sample: the columns of task.schema without id.

        A dead engine ends the replica's process, so that Serve starts another replica.
        """
        requests = [task.request(*sample) for sample in samples]
        replies = await self._replies(requests)
        return await parse_replies(task, map(Asked, requests, replies), self.reply)

    async def reply(self, request: ChatRequest) -> Reply:
        """Reply to one request.

        Raises:
            RequestRefused: the engine can't.
        """
        (reply,) = await self._replies([request])
        return await reply

    async def check_health(self) -> None:
        """Raise if the engine is dead; Serve then replaces this replica."""
        await self._engine.check_health()

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None:
            engine.shutdown()

    async def _replies(self, requests: list[ChatRequest]) -> list[Awaitable[Reply]]:
        """Render all chats before the engine gets the first: one that gets them singly computes them singly."""
        prompts = await self._render(requests)
        return [self._reply(prompt, request) for prompt, request in zip(prompts, requests, strict=True)]

    async def _render(self, requests: list[ChatRequest]) -> list[Any]:
        chats = [request.messages for request in requests]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._render_pool, self._renderer.render_all, chats)

    async def _reply(self, prompt: Any, request: ChatRequest) -> Reply:
        for _ in range(TRIES):
            if isinstance(prompt, RequestRefused):
                raise prompt
            completion = await self._generate(prompt, request)
            if completion.finish_reason != FAILED:
                return Reply(
                    completion.text, completion.finish_reason == "length", request.deciding_step(_steps(completion))
                )
            # The renderer left out a picture that the engine doesn't have; now it knows, and sends it.
            prompt = (await self._render([request]))[0]
        raise RequestRefused(f"the engine failed {TRIES} times at the row")

    async def _generate(self, prompt: Any, request: ChatRequest) -> CompletionOutput:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        completion = None
        try:
            async for output in self._engine.generate(
                prompt, sampling(request, self._is_spaced), str(next(self._request_numbers))
            ):
                completion = output.outputs[0]
        except EngineDeadError:
            logging.getLogger("ray.serve").exception("the engine died; its replica ends and is started again")
            os._exit(1)
        except (VLLMClientError, ValueError, EngineGenerateError) as error:
            cause = error.__cause__ if isinstance(error, EngineGenerateError) and error.__cause__ else error
            raise RequestRefused(f"the engine refused the row: {' '.join(str(cause).split())[:300]}") from error
        assert completion is not None
        return completion


def sampling(request: ChatRequest, is_spaced: bool = False) -> SamplingParams:
    """Sampling parameters of vLLM: greedy, within the request's constraint, returned once and whole.

    Args:
        request: see there.
        is_spaced: a SentencePiece tokenizer; see choice_grammar.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    constraint, more = None, 0
    if request.choice and is_spaced:
        constraint, more = StructuredOutputsParams(grammar=choice_grammar(request.choice)), 1
    elif request.choice:
        constraint = StructuredOutputsParams(choice=list(request.choice))
    elif request.grammar:
        constraint = StructuredOutputsParams(grammar=request.grammar)
    return SamplingParams(
        temperature=0,
        max_tokens=request.max_tokens + more,
        logprobs=LOGPROBS if request.probabilities else None,
        structured_outputs=constraint,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _steps(completion: CompletionOutput) -> Iterator[Step]:
    """The decoding steps of a reply, with the alternatives that the constraint allows; none without probabilities."""
    if not completion.logprobs:
        return
    for token, found in zip(completion.token_ids, completion.logprobs, strict=True):
        if found is not None:
            alternatives = [(a.decoded_token or "", a.logprob) for a in found.values() if a.logprob > NO_PROBABILITY]
            yield Step(found[token].decoded_token or "", alternatives)
