"""The text encoders' states of prompts: of a batch at once, or of each text alone, the latest kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch

from p2i_ray.config.diffusion import NAME
from p2i_ray.diffusion.backbones.backbone import PromptStates
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import empty_prompts, tokenise_each


class TextStates:
    """A model's text encoders on their device, with a cache of states."""

    def __init__(self, parts: Parts, *, token: str | None, template: str = NAME, cached_texts: int) -> None:
        """Encode the empty prompt.

        Args:
            parts: their tokenizers know the token, their text encoders are on the device where states are wanted.
            token: appended to names; none: nothing is.
            template: of the prompts that names make.
            cached_texts: texts whose states are kept, 0.2 MB each with Stable Diffusion's text encoder, 0.6 with XL's.
        """
        self._parts, self.encoders = parts, parts.text_encoders
        self._token, self._template, self._cached_texts = token, template, cached_texts
        self._cache: OrderedDict[tuple[str, bool], PromptStates] = OrderedDict()
        with torch.inference_mode():
            empty = empty_prompts(parts.tokenizers).to(self.encoders[0].device)
            self._empty = parts.backbone.nothing(self.encoders, empty).seen()  # (1, ...)

    def __len__(self) -> int:
        """Texts whose states are kept."""
        return len(self._cache)

    def of_names(self, names: Sequence[str]) -> PromptStates:
        """The states of B names with the token, computed together."""
        return self._states(names, is_names=True)

    def of_name(self, name: str) -> PromptStates:
        """The states (1, ...) of a name with the token: computed alone, so they don't depend on other names."""
        return self._cached(name, is_name=True)

    def of_negative(self, text: str) -> PromptStates:
        """The states (1, ...) of a negative prompt, without the token; where it is empty, what stands for none."""
        return self._cached(text, is_name=False) if text else self._empty

    def _cached(self, text: str, *, is_name: bool) -> PromptStates:
        key = (text, is_name)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._states([text], is_names=is_name)
        self._cache.move_to_end(key)
        while len(self._cache) > self._cached_texts:
            self._cache.popitem(last=False)
        return found

    def _states(self, texts: Sequence[str], *, is_names: bool) -> PromptStates:
        with torch.inference_mode():
            ids = self._ids(texts, is_names=is_names)
            return self._parts.backbone.encode(self.encoders, ids.to(self.encoders[0].device)).seen()

    def _ids(self, texts: Sequence[str], *, is_names: bool) -> torch.Tensor:
        """Tokens (B, E, L)."""
        token, template = (self._token, self._template) if is_names else (None, NAME)
        return tokenise_each(self._parts.tokenizers, token, texts, template=template).ids
