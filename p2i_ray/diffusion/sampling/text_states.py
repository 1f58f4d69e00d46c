"""The text encoder's states of prompts: of a batch at once, or of each text alone, the latest kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from p2i_ray.config.diffusion import NAME
from p2i_ray.diffusion.model.prompt import text_states, tokenise


class TextStates:
    """A text encoder on its device, with a cache of states; L tokens of d values."""

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        *,
        token: str | None,
        template: str = NAME,
        cached_texts: int,
    ) -> None:
        """Encode the empty prompt.

        Args:
            tokenizer: knows the token.
            text_encoder: on the device where states are wanted.
            token: appended to names; none: nothing is.
            template: of the prompts that names make.
            cached_texts: texts whose states are kept, 0.2 MB each with Stable Diffusion's text encoder.
        """
        self._tokenizer, self.text_encoder = tokenizer, text_encoder
        self._token, self._template, self._cached_texts = token, template, cached_texts
        self._cache: OrderedDict[tuple[str, bool], torch.Tensor] = OrderedDict()
        self._empty = self._states([""], is_names=False)  # (1, L, d)

    def __len__(self) -> int:
        """Texts whose states are kept."""
        return len(self._cache)

    def of_names(self, names: Sequence[str]) -> torch.Tensor:
        """The states (B, L, d) of B names with the token, computed together."""
        return self._states(names, is_names=True)

    def of_name(self, name: str) -> torch.Tensor:
        """The states (1, L, d) of a name with the token: computed alone, so they don't depend on other names."""
        return self._cached(name, is_name=True)

    def of_negative(self, text: str) -> torch.Tensor:
        """The states (1, L, d) of a negative prompt, without the token; of the empty prompt where it is empty."""
        return self._cached(text, is_name=False) if text else self._empty

    def _cached(self, text: str, *, is_name: bool) -> torch.Tensor:
        key = (text, is_name)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._states([text], is_names=is_name)
        self._cache.move_to_end(key)
        while len(self._cache) > self._cached_texts:
            self._cache.popitem(last=False)
        return found

    def _states(self, texts: Sequence[str], *, is_names: bool) -> torch.Tensor:
        token, template = (self._token, self._template) if is_names else (None, NAME)
        with torch.inference_mode():
            ids = tokenise(self._tokenizer, token, texts, template=template).ids.to(self.text_encoder.device)
            return text_states(self.text_encoder, ids)
