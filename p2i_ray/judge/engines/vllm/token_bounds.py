"""Upper bounds of a chat's tokens by the tokenizer and pictures' areas: for most settings they tell that requests fit.

What the real processor needs to count takes seconds to import; these need next to nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from p2i_ray.config import JudgeConfig
from p2i_ray.judge.engines.vllm.pictures import declared, patch_side, size_limits
from p2i_ray.judge.engines.vllm.processor import CountError
from p2i_ray.judge.requests.prompts import Message

TURN, CHAT = 16, 32  # tokens around each message and around all; Qwen's templates put 5 around a message
RATIO = 200  # longest side by shortest that Qwen-VL's processors take


class TokenBounds:
    """Bounds in place of `processor.ChatCounter`'s counts, for models with Qwen-VL's picture processor.

    Args:
        settings: the judge's; the model is a folder.
        side: longest side of the pictures that it will see, pixels.

    Raises:
        UserError: the model's processor can't follow judge.min_pixels or judge.max_pixels.
        CountError: pictures of such models have no bound that is known here.
    """

    def __init__(self, settings: JudgeConfig, side: int) -> None:
        limits, patch = size_limits(settings, side), patch_side(settings.model)
        own = declared(settings.model)
        if own is None or patch is None:
            raise CountError(f"the largest picture of {settings.model} is not known")
        self._area = limits["size"]["longest_edge"] if limits else own.largest
        self._patch = patch
        file = Path(settings.model) / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else None

    def count(self, messages: Sequence[Message]) -> int:
        """At least the tokens of a chat, with those of its pictures and those before the reply."""
        parts = [part for message in messages for part in message["content"]]
        pictures = sum(self.count_picture(part["image"]) for part in parts if part["type"] == "image")
        texts = sum(self.count_text(part["text"]) for part in parts if part["type"] == "text")
        return CHAT + TURN * len(messages) + texts + pictures

    def count_picture(self, encoded: bytes) -> int:
        """At least the tokens of a picture: its shape's, of the largest area that the processor leaves, rounded up."""
        from PIL import Image

        width, height = Image.open(io.BytesIO(encoded)).size
        ratio = min(RATIO, max(width, height) / min(width, height))
        patches = self._area / self._patch**2
        sides = [max(1.0, math.sqrt(patches * shape)) for shape in (ratio, 1 / ratio)]
        return math.prod(math.ceil(one) + 1 for one in sides)

    def count_text(self, text: str) -> int:
        """At least the tokens of a text; without a tokenizer, each byte may be one."""
        if self._tokenizer is None:
            return len(text.encode()) + 1
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)
