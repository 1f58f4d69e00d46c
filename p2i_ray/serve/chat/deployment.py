"""The engine's deployment: ray.serve.llm's server of a vLLM engine, asked with plain JSON.

Imported on the driver that builds the application and in the engine's replicas: vLLM is imported with it.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from ray.serve.llm import LLMConfig, LLMServer, ModelLoadingConfig, build_llm_deployment

from p2i_ray.cluster import resources
from p2i_ray.config.serve import ScaleConfig, ServeJobConfig
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm.settings import engine_arguments, engine_environment
from p2i_ray.serve.app import environment
from p2i_ray.serve.chat.protocol import ResponseChunk

if TYPE_CHECKING:
    from ray.serve import Application

ENGINE = "LMM"  # the deployment's name
# No chat with a URL gets this far; if one did, the engine would fetch nothing either.
NO_MEDIA = {"allowed_media_domains": ["none.invalid"], "allowed_local_media_path": ""}
NO_REDIRECTS = {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0", "VLLM_MEDIA_CACHE": ""}


class ChatEngineServer(LLMServer):
    """One vLLM engine, as Serve's replica."""

    async def __init__(self, llm_config: LLMConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(llm_config)
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(llm_config.model_loading_config.model_source)
        added = map(str, tokenizer.added_tokens_decoder.values())
        self._reserved = sorted({*tokenizer.all_special_tokens, *added})

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[ResponseChunk, None]:
        """Answer a request of `chats.for_engine`: a stream's events, or one completion; {"error": …} where it fails."""
        from ray.serve.llm.openai_api_models import ChatCompletionRequest

        messages = [{**turn, "content": broken_up(turn["content"], self._reserved)} for turn in request["messages"]]
        # An id of its own: the engine confuses two requests that a client sent under one.
        request = {**request, "messages": messages, "request_id": uuid.uuid4().hex}
        try:
            asked = ChatCompletionRequest.model_validate(request)
        except ValueError as error:  # what vLLM doesn't take although the door does
            yield {"error": {"message": str(error), "type": "invalid_request_error", "code": 400}}
            return
        try:
            async for batch in await self.chat(asked):
                pieces = batch if isinstance(batch, list) else [batch]
                events = "".join(piece for piece in pieces if isinstance(piece, str))
                if events:
                    yield events
                for piece in pieces:
                    if not isinstance(piece, str):
                        yield piece.model_dump(mode="json")
        except Exception:
            await self.check_health()
            raise

    async def check_health(self) -> None:
        """A dead engine takes the replica with it, so that Serve starts another at once.

        Stopping it gently takes Serve a minute, in which requests would wait for an engine that isn't there.
        """
        try:
            await super().check_health()
        except Exception:
            logging.getLogger("ray.serve").exception("the engine died; its replica ends and is started again")
            os._exit(1)


def broken_up(parts: Sequence[dict[str, Any]], reserved: Sequence[str]) -> list[dict[str, Any]]:
    """A message's parts, the tokenizer's control words in its texts broken up.

    In plain text they would end the speaker's turn, or announce pictures that aren't there.
    """
    parts = [dict(part) for part in parts]
    for part in parts:
        if part["type"] != "text":
            continue
        for word in reserved:
            if word and word in part["text"]:
                part["text"] = part["text"].replace(word, f"{word[0]} {word[1:]}")
    return parts


def deployment(settings: ServeJobConfig) -> Application:
    """The engine's deployment, to be bound into an application's graph.

    Raises:
        UserError: the judge's model can't be served.
    """
    serve, scale = settings.serve, settings.serve.lmm
    hardware = {"num_gpus": scale.num_gpus, "num_cpus": scale.num_cpus}
    judge = settings.judge.model_copy(update={**hardware, "model": model_folder.check(settings.judge.model)})
    around = environment()
    arguments = {name: value for name, value in engine_arguments(judge, settings.seed).items() if name != "model"}
    config = LLMConfig(
        model_loading_config=ModelLoadingConfig(model_id=serve.chat.model_name, model_source=judge.model),
        engine_kwargs={
            **arguments,
            **NO_MEDIA,
            "limit_mm_per_prompt": {"image": serve.chat.max_images, "video": 0},
            # Where a request names none, the longest answer that still fits; and never a longer one.
            "override_generation_config": {"max_new_tokens": serve.chat.max_tokens},
            # JSON without line breaks and indents: a small model would write nothing else until its answer is full.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        },
        accelerator_config={"kind": "gpu" if scale.num_gpus else "cpu"},
        placement_group_config={"bundles": [bundle.resources() for bundle in resources.chat_bundles(settings)]},
        deployment_config={
            "autoscaling_config": autoscaling(scale),
            "max_ongoing_requests": max(judge.max_num_seqs, round(scale.target_ongoing_requests)),
            "max_queued_requests": serve.limits.queue,
            "health_check_period_s": 5,
            "ray_actor_options": {"num_cpus": 0},  # the engine's own bundle has them
            "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        },
        runtime_env={**around, "env_vars": {**around["env_vars"], **engine_environment(judge), **NO_REDIRECTS}},
        log_engine_metrics=False,
    )
    return build_llm_deployment(config, override_serve_options={"name": ENGINE}, deployment_cls=ChatEngineServer)


def autoscaling(scale: ScaleConfig) -> dict[str, Any]:
    """Serve's words for how many replicas there are."""
    return {
        "min_replicas": scale.min_replicas,
        "max_replicas": scale.max_replicas,
        "target_ongoing_requests": scale.target_ongoing_requests,
    }
