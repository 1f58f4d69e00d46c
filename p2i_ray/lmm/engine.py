"""A vLLM engine behind a Ray Serve handle: chats with pictures in, text and probabilities out.

The engine outlives the datasets that ask it: starting one costs more than judging a thousand rows. It has no HTTP
port; only actors of the same cluster reach it. Everything here runs in the replica, never on the driver.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.epbd import images
from p2i_ray.lmm.exemplars import MOST
from p2i_ray.lmm.questions import Question, Reply
from p2i_ray.lmm.replies import Step, digit_step

if TYPE_CHECKING:
    from PIL import Image
    from ray.actor import ActorHandle
    from vllm.outputs import CompletionOutput

PACKED = pa.struct([("chat", pa.string()), ("pictures", pa.list_(pa.binary())), ("how", pa.string())])
ALTERNATIVES = 10  # log-probabilities a token; five digits, in tokenizers that have several tokens for one


class Engine:
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
        from transformers import AutoProcessor
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._limits = limits
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(settings, seed)))
        self._chats = AutoProcessor.from_pretrained(settings.model, trust_remote_code=False)
        tokenizer = getattr(self._chats, "tokenizer", self._chats)
        self._reserved = sorted({*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())})
        self._following = asyncio.create_task(_follow(owner, application)) if owner else None

    async def ask(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Answer a group of questions, each made by `pack`; yields {"replies": one for `unpack` each} once.

        A question that the engine refuses (too long) is answered with the reason. A dead engine takes the replica
        with it, so that Serve starts another.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            yield {"replies": await asyncio.gather(*(self._reply(question) for question in request["questions"]))}
        except EngineDeadError:
            logging.getLogger("ray.serve").exception("the engine died; its replica ends and is started again")
            os._exit(1)

    async def check_health(self) -> None:
        """Raises if the engine is dead; Serve then replaces this replica."""
        await self._engine.check_health()

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None:
            engine.shutdown()

    async def _reply(self, packed: dict[str, Any]) -> dict[str, Any]:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineGenerateError

        try:
            written = await self._generate(packed)
        except (VLLMClientError, ValueError, EngineGenerateError) as error:
            cause = error.__cause__ if isinstance(error, EngineGenerateError) and error.__cause__ else error
            return refusal(f"the engine refused the row: {' '.join(str(cause).split())[:300]}")
        step = _step(written)
        return {
            "text": written.text,
            "cut": written.finish_reason == "length",
            "step": json.dumps(step) if step else "",
            "refusal": "",
        }

    async def _generate(self, packed: dict[str, Any]) -> CompletionOutput:
        from vllm import TextPrompt

        chat = _without_reserved(json.loads(packed["chat"]), self._reserved)
        prompt = TextPrompt(prompt=self._chats.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        if len(packed["pictures"]):
            prompt["multi_modal_data"] = {"image": [self._decode(picture) for picture in packed["pictures"]]}
        written = None
        async for output in self._engine.generate(prompt, _sampling(json.loads(packed["how"])), uuid.uuid4().hex):
            written = output.outputs[0]
        assert written is not None
        return written

    def _decode(self, picture: bytes) -> Image.Image:
        return images.decode(picture, self._limits).convert("RGB")


def engine_arguments(settings: JudgeConfig, seed: int) -> dict[str, Any]:
    """vLLM's arguments for the judge's settings."""
    return {
        "model": settings.model,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.in_flight,
        "enforce_eager": settings.enforce_eager,
        "enable_prefix_caching": settings.prefix_caching,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "limit_mm_per_prompt": {"image": 1 + MOST, "video": 0},
        "mm_processor_cache_gb": 0,  # a step sees each picture once
        "logprobs_mode": "processed_logprobs",  # after the constraint: only digits share the probability
        "structured_outputs_config": {"backend": "xgrammar"},
        "disable_log_stats": True,
        "seed": seed % 2**31,
    }


def engine_environment(settings: JudgeConfig) -> dict[str, str]:
    """The replica's environment: vLLM reads it at import."""
    quiet = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    if settings.num_gpus:
        return quiet
    return {
        **quiet,
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the worker lives in the engine's process: one process less to start
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": str(settings.kv_cache_gb),
        "OMP_NUM_THREADS": str(max(1, math.floor(settings.num_cpus))),
    }


def pack(question: Question) -> dict[str, Any]:
    """A question as PACKED: flat, because Arrow would pad the parts of messages with nulls."""
    chat, pictures = [], []
    for message in question.messages:
        parts = []
        for part in message["content"]:
            if part["type"] == "image":
                pictures.append(part["image"])
                part = {"type": "image"}
            parts.append(part)
        chat.append({"role": message["role"], "content": parts})
    how = {name: getattr(question, name) for name in ("max_tokens", "choice", "form", "probabilities")}
    return {"chat": json.dumps(chat), "pictures": pictures, "how": json.dumps(how)}


def unpack(packed: dict[str, Any]) -> tuple[Reply | None, str | None]:
    """The reply, or why there is none."""
    if packed["refusal"]:
        return None, packed["refusal"]
    step = None
    if packed["step"]:
        token, alternatives = json.loads(packed["step"])
        step = Step(token, [(other, log) for other, log in alternatives])
    return Reply(packed["text"], packed["cut"], step), None


def refusal(reason: str) -> dict[str, Any]:
    """The packed reply that holds no text but the reason why there is none."""
    return {"text": "", "cut": False, "step": "", "refusal": reason}


def _sampling(how: dict[str, Any]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    constraint = None
    if how["choice"]:
        constraint = StructuredOutputsParams(choice=how["choice"])
    elif how["form"]:
        constraint = StructuredOutputsParams(grammar=how["form"])
    return SamplingParams(
        temperature=0,
        max_tokens=how["max_tokens"],
        logprobs=ALTERNATIVES if how["probabilities"] else None,
        structured_outputs=constraint,
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


def _without_reserved(chat: list[dict[str, Any]], reserved: list[str]) -> list[dict[str, Any]]:
    """The chat with the tokenizer's control words broken up in its text: a product name must not end its own turn."""
    for message in chat:
        for part in message["content"]:
            for word in reserved:
                if word and word in part.get("text", ""):
                    part["text"] = part["text"].replace(word, f"{word[0]} {word[1:]}")
    return chat


async def _follow(owner: ActorHandle, application: str) -> None:
    """Remove the application when its driver is gone, however it went: nobody else would free the GPUs."""
    from ray import serve
    from ray.exceptions import RayActorError

    try:
        await owner.until_gone.remote()
    except RayActorError:
        await asyncio.to_thread(serve.delete, application, _blocking=False)
