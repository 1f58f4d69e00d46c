"""The engine's deployment: ray.serve.llm's server of a vLLM engine, called with plain JSON.

Imported on the driver that builds the application and in the engine's replicas: vLLM is imported with it.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.serve.llm import LLMConfig, LLMServer, ModelLoadingConfig, build_llm_deployment

from p2i_ray.cluster import ray_internals, resources, serving
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm import chat_template
from p2i_ray.judge.engines.vllm.rendering import broken_up, control_words
from p2i_ray.judge.engines.vllm.settings import engine_arguments, engine_environment
from p2i_ray.serve.chat.protocol import ResponseChunk

if TYPE_CHECKING:
    from ray.serve import Application

ENGINE = "LMM"  # the deployment's name
# No request with a URL gets this far; if one did, the engine would fetch nothing either.
NO_MEDIA = {"allowed_media_domains": ["none.invalid"], "allowed_local_media_path": ""}
NO_REDIRECTS = {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0", "VLLM_MEDIA_CACHE": ""}


class ChatEngineServer(LLMServer):
    """One vLLM engine, as Serve's replica."""

    async def __init__(self, llm_config: LLMConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        ray_internals.replica_on_loopback()
        await super().__init__(llm_config)
        from transformers import AutoTokenizer

        loading = llm_config.model_loading_config
        assert isinstance(loading, ModelLoadingConfig)  # `deployment` gives one
        self._reserved = control_words(AutoTokenizer.from_pretrained(loading.model_source))

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        """Answer a request of `schema.for_engine`: a stream's events, or one completion; {"error": …} on failure."""
        from ray.serve.llm.openai_api_models import ChatCompletionRequest

        messages = [{**turn, "content": neutralised(turn["content"], self._reserved)} for turn in request["messages"]]
        # An id of its own: the engine confuses two requests that a client sent under one.
        request = {**request, "messages": messages, "request_id": uuid.uuid4().hex}
        try:
            completion = ChatCompletionRequest.model_validate(request)
        except ValueError as error:  # vLLM refuses some requests that pass our schema
            yield {"error": {"message": str(error), "type": "invalid_request_error", "code": 400}}
            return
        try:
            async for batch in await self.chat(completion):
                chunks = batch if isinstance(batch, list) else [batch]
                events = "".join(chunk for chunk in chunks if isinstance(chunk, str))
                if events:
                    yield events
                for chunk in chunks:
                    if not isinstance(chunk, str):
                        yield chunk.model_dump(mode="json")
        except Exception:
            await self.check_health()
            raise

    async def check_health(self) -> None:
        """End the replica if its engine is dead, so that Serve starts another at once.

        A graceful stop takes Serve a minute, in which requests would wait for an engine that isn't there.
        """
        try:
            await super().check_health()
        except Exception:
            logging.getLogger("ray.serve").exception("the engine died; its replica ends and is started again")
            os._exit(1)


def neutralised(parts: Sequence[dict[str, Any]], reserved: Sequence[str]) -> list[dict[str, Any]]:
    """A message's parts with a space inside each of the tokenizer's control tokens in their texts.

    In plain text such a token would end the turn, or announce an image that isn't there.
    """
    return [
        part | {"text": broken_up(part["text"], reserved)} if part["type"] == "text" else dict(part) for part in parts
    ]


def deployment(config: ServeJobConfig) -> Application:
    """The engine's deployment, to be bound into an application's graph.

    Raises:
        UserError: the judge's model can't be served.
    """
    serve, scale = config.serve, config.serve.lmm
    hardware = {"num_gpus": scale.num_gpus, "num_cpus": scale.num_cpus}
    judge = config.judge.model_copy(update={**hardware, "model": model_folder.check(config.judge.model)})
    arguments = {name: value for name, value in engine_arguments(judge, config.seed).items() if name != "model"}
    is_here = Path(judge.model).is_dir()  # else it is an id on the hub, which the engine's node fetches
    template = chat_template.default_of_several(judge.model) if is_here else None
    engine = LLMConfig(
        model_loading_config=ModelLoadingConfig(model_id=serve.chat.model_name, model_source=judge.model),
        engine_kwargs={
            **arguments,
            **({} if template is None else {"chat_template": template}),
            **NO_MEDIA,
            "limit_mm_per_prompt": {"image": serve.chat.max_images, "video": 0},
            # Where a request names none, the longest answer that still fits; and never a longer one.
            "override_generation_config": {"max_new_tokens": serve.chat.max_tokens},
            # JSON without line breaks and indents: a small model would write nothing else until its answer is full.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        },
        accelerator_config={"kind": "gpu" if scale.num_gpus else "cpu"},
        placement_group_config={"bundles": [bundle.resources() for bundle in resources.chat_bundles(config)]},
        deployment_config={
            **serving.scaling(
                min_replicas=scale.min_replicas,
                max_replicas=scale.max_replicas,
                target_ongoing_requests=scale.target_ongoing_requests,
                responsive=False,  # an engine takes about a minute to start
            ),
            "max_ongoing_requests": max(judge.max_num_seqs, round(scale.target_ongoing_requests)),
            "max_queued_requests": serve.limits.queue,
            "health_check_period_s": 5,
            "ray_actor_options": {"num_cpus": 0},  # the engine's own bundle has them
            "logging_config": serving.QUIET,
        },
        runtime_env=serving.with_variables(
            serving.runtime_environment(), {**engine_environment(judge), **NO_REDIRECTS}
        ),
        log_engine_metrics=False,
    )
    return build_llm_deployment(engine, override_serve_options={"name": ENGINE}, deployment_cls=ChatEngineServer)
