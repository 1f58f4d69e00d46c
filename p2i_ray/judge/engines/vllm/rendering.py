"""Rendering of chats with encoded pictures into a vLLM engine's inputs: template, tokens and pixels.

vLLM's own renderer does it, so that every family that vLLM knows (Qwen-VL, LLaVA and others) gets its chat template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from p2i_ray.config import ImageConfig
from p2i_ray.data import images
from p2i_ray.judge.engines.vllm.processor import NO_THINKING
from p2i_ray.judge.requests.answers import RequestRefused
from p2i_ray.judge.requests.prompts import Message

WHITE_SPACE = " \t\r\n▁"  # also as SentencePiece spells it
DecodedParts = dict[int, dict[str, Any]]  # by the identity of the encoded bytes: exemplars come with every chat


class ChatRenderer:
    """Renders chats for one engine.

    Args:
        renderer: the engine's vLLM renderer.
        limits: limits of pictures.
        template: of chats (none: vLLM finds the model's).
    """

    def __init__(self, renderer: Any, limits: ImageConfig, template: str | None = None) -> None:
        from vllm.renderers import ChatParams

        self._renderer = renderer
        self._limits = limits
        switches = {"add_generation_prompt": True, **NO_THINKING}
        self._params = ChatParams(chat_template=template, chat_template_kwargs=switches)
        self._reserved = control_words(renderer.get_tokenizer())

    def render_all(self, chats: Sequence[list[Message]]) -> list[Any]:
        """Render chats into the engine's inputs; a RequestRefused in place of one that the model can't take."""
        decoded: DecodedParts = {}
        return [self._render(messages, decoded) for messages in chats]

    def _render(self, messages: list[Message], decoded: DecodedParts) -> Any:
        chat = [
            {"role": message["role"], "content": [self._part(part, decoded) for part in message["content"]]}
            for message in messages
        ]
        try:
            _, (prompt,) = self._renderer.render_chat([chat], self._params)
        except Exception as error:  # any error of the model's processor concerns this row alone
            return RequestRefused(f"the model can't be asked: {' '.join(str(error).split())[:300]}")
        return prompt

    def _part(self, part: dict[str, Any], decoded: DecodedParts) -> dict[str, Any]:
        if part["type"] != "image":
            return {"type": "text", "text": self._escape(part["text"])}
        encoded = part["image"]
        found = decoded.get(id(encoded))
        if found is None:
            picture = images.decode(encoded, self._limits).convert("RGB")
            # The key of the engine's cache of preprocessed pictures; without it the engine would hash the pixels.
            key = hashlib.sha256(encoded).hexdigest()
            found = decoded[id(encoded)] = {"type": "image_pil", "image_pil": picture, "uuid": key}
        return found

    def _escape(self, text: str) -> str:
        return broken_up(text, self._reserved)


def control_words(tokenizer: Any) -> list[str]:
    """The words of a tokenizer that a text must not spell out, such as those that end a turn.

    Some tokenizers (Gemma's, DeepSeek's) also add line breaks, runs of spaces and letters: these are plain text.
    """
    added = {*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())}
    return sorted(word for word in added if len(word.strip(WHITE_SPACE)) > 1)


def broken_up(text: str, words: Sequence[str]) -> str:
    """A text with a space inside each of a tokenizer's control words: a product name must not end its own turn."""
    for word in words:
        if word in text:
            text = text.replace(word, f"{word[0]} {word[1:]}")
    return text
