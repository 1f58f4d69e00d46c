"""A judge's own processor, as transformers has it: how many tokens a chat takes, without engine, GPU and weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from p2i_ray.config import JudgeConfig
from p2i_ray.errors import UserError, one_line
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm.pictures import size_limits
from p2i_ray.judge.requests.prompts import Message

# Kinds of thinking that templates can leave out; a template ignores what it doesn't know.
NO_THINKING = {"enable_thinking": False, "thinking": False}


class CountError(Exception):
    """Tokens can't be counted with transformers; an engine may take the model all the same."""


class ChatCounter:
    """Counts the tokens of chats, as the engine will.

    Each picture is given to the processor by itself, as the engine does: some of LLaVA's take several pictures of one
    chat for the frames of a video, which get fewer tokens.

    Args:
        settings: the judge's; the model is a folder.
        side: longest side of the pictures that it will see, pixels.
        processor: the model's (none: it is loaded).

    Raises:
        UserError: the model's processor can't follow judge.min_pixels or judge.max_pixels, or is broken.
        CountError: transformers has no processor for such models.
    """

    def __init__(self, settings: JudgeConfig, side: int, processor: Any = None) -> None:
        self._model = settings.model
        self._limits = size_limits(settings, side) or {}
        self._processor = processor or load(settings.model)
        self._template, self._tokens = template_of(self._processor)
        self._mark: str | None = getattr(self._processor, "image_token", None)
        if self._template is None or self._mark is None or not hasattr(self._processor, "image_processor"):
            raise CountError(f"transformers has no processor for pictures and chats in {settings.model}")
        self._known: dict[bytes, int] = {}

    def count(self, messages: Sequence[Message]) -> int:
        """The tokens of a chat, with those of its pictures and those before the reply.

        Args:
            messages: a picture is the part {"type": "image", "image": its encoded bytes}.

        Raises:
            CountError: the processor can't take it.
        """
        parts = [part for message in messages for part in message["content"]]
        pictures = [self.count_picture(part["image"]) - 1 for part in parts if part["type"] == "image"]  # 1: its mark
        return self.count_text(self.prompt(messages), special=True) + sum(pictures)

    def count_picture(self, encoded: bytes) -> int:
        """The tokens of a picture alone.

        Raises:
            CountError: the processor can't take it.
        """
        from PIL import Image

        if encoded not in self._known:
            picture = Image.open(io.BytesIO(encoded)).convert("RGB")
            try:
                found = self._processor(text=[self._mark], images=[picture], images_kwargs=self._limits)["input_ids"][0]
            except (ValueError, TypeError, KeyError, IndexError) as error:  # what processors raise for wrong input
                raise CountError(f"the processor of {self._model} can't count: {one_line(error)}") from error
            self._known[encoded] = len(found) - self.count_text("", special=True)
        return self._known[encoded]

    def count_text(self, text: str, special: bool = False) -> int:
        """The tokens of a text; `special`: with those that begin or end a whole prompt."""
        return len(self._processor.tokenizer.encode(text, add_special_tokens=special, verbose=False))

    def prompt(self, messages: Sequence[Message]) -> str:
        """The chat in the model's own template.

        A template that joins a message's content to text gets text, with the mark of a picture before it: vLLM does
        the same.
        """
        assert self._template
        pictures = sum(part["type"] == "image" for message in messages for part in message["content"])
        parts = [{"role": turn["role"], "content": [_bare(part) for part in turn["content"]]} for turn in messages]
        joined = [
            {"role": turn["role"], "content": "\n".join(part.get("text", self._mark) for part in turn["content"])}
            for turn in parts
        ]
        failed: Exception | None = None
        for chat in (parts, joined):
            try:
                prompt = render(self._template, self._tokens, chat)
            except Exception as error:  # a template is a program: it may fail in any way
                failed = failed or error
                continue
            if prompt.count(str(self._mark)) == pictures:
                return prompt
        raise CountError(f"the chat template of {self._model} shows no pictures") from failed


def load(model: str) -> Any:
    """The processor of a folder, or of an id on the hub.

    Raises:
        UserError: its files are broken or incomplete.
        CountError: transformers has no processor for such a model.
    """
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES  # type: ignore[attr-defined]  # not in __all__

    try:
        return AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            model, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError, TypeError, AttributeError) as error:
        kind = model_folder.configuration(model).get("model_type")
        if kind not in PROCESSOR_MAPPING_NAMES:
            raise CountError(f"transformers has no processor for {model}: {one_line(error)}") from error
        raise UserError(
            f"judge.model={model}: its processor can't be loaded ({one_line(error)[:300]}); fetch the model's "
            "tokenizer and processor files anew"
        ) from None


def template_of(processor: Any) -> tuple[str | None, dict[str, Any]]:
    """A processor's chat template, and the special tokens and switches that it may use."""
    tokenizer = getattr(processor, "tokenizer", processor)
    template = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    if isinstance(template, list):  # as chat_template.json may have several
        template = {one["name"]: one["template"] for one in template}
    if isinstance(template, dict):
        template = template.get("default")
    return template, {**getattr(tokenizer, "special_tokens_map", {}), **NO_THINKING}


def has_several(processor: Any) -> bool:
    """Whether a processor has several chat templates, by name; a tokenizer's vLLM chooses from by itself."""
    return isinstance(getattr(processor, "chat_template", None), dict | list)


def render(template: str, tokens: dict[str, Any], chat: Sequence[dict[str, Any]]) -> str:
    """A chat in a template, up to where the reply begins; raises whatever the template does."""
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered: Any = render_jinja_template([list(chat)], chat_template=template, add_generation_prompt=True, **tokens)
    prompts = rendered[0] if isinstance(rendered, tuple) else rendered
    return str(prompts[0])


def _bare(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "image"} if part["type"] == "image" else part
