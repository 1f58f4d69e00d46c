"""From a chat with encoded pictures to what a vLLM engine takes: template, tokens and pixels, by vLLM's own renderer.

So every family that vLLM knows (Qwen-VL, LLaVA and others) is asked with its own chat template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from p2i_ray.config import ImageConfig
from p2i_ray.data import images
from p2i_ray.judge.requests.answers import RequestRefused
from p2i_ray.judge.requests.prompts import Message

Seen = dict[int, dict[str, Any]]  # parts of exemplars, by the identity of their bytes: they come with every chat


class ChatRenderer:
    """Renders chats for one engine.

    Args:
        renderer: vLLM's, of the engine.
        limits: of pictures.
    """

    def __init__(self, renderer: Any, limits: ImageConfig) -> None:
        from vllm.renderers import ChatParams

        self._renderer = renderer
        self._limits = limits
        self._how = ChatParams(chat_template_kwargs={"add_generation_prompt": True})
        tokenizer = renderer.get_tokenizer()
        self._reserved = sorted({*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())})

    def render_all(self, chats: Sequence[list[Message]]) -> list[Any]:
        """Chats as the engine's inputs; Refused in the place of one that the model can't be asked."""
        seen: Seen = {}
        return [self._render(messages, seen) for messages in chats]

    def _render(self, messages: list[Message], seen: Seen) -> Any:
        chat = [
            {"role": message["role"], "content": [self._part(part, seen) for part in message["content"]]}
            for message in messages
        ]
        try:
            _, (prompt,) = self._renderer.render_chat([chat], self._how)
        except Exception as error:  # whatever a model's own processor raises concerns this row alone
            return RequestRefused(f"the model can't be asked: {' '.join(str(error).split())[:300]}")
        return prompt

    def _part(self, part: dict[str, Any], seen: Seen) -> dict[str, Any]:
        if part["type"] != "image":
            return {"type": "text", "text": self._broken_up(part["text"])}
        encoded = part["image"]
        found = seen.get(id(encoded))
        if found is None:
            picture = images.decode(encoded, self._limits).convert("RGB")
            # The name under which the engine keeps a prepared picture; reading the pixels again would cost more.
            name = hashlib.sha256(encoded).hexdigest()
            found = seen[id(encoded)] = {"type": "image_pil", "image_pil": picture, "uuid": name}
        return found

    def _broken_up(self, text: str) -> str:
        """The text with the tokenizer's control words broken up: a product name must not end its own turn."""
        for word in self._reserved:
            if word and word in text:
                text = text.replace(word, f"{word[0]} {word[1:]}")
        return text
