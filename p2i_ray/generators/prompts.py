"""The prompts of the generators: P_fg names the category, P_bg has its identifier [D], and both together are the whole.

P_fg    a photo of {category}
P_bg    in the background of [D]
whole   a photo of {category}, in the background of [D]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from p2i_ray.config.diffusion import NAME
from p2i_ray.config.generators import CATEGORY
from p2i_ray.diffusion.model.prompt import tokenise_learned

if TYPE_CHECKING:
    from p2i_ray.diffusion.model.loading import Parts


@dataclass(frozen=True)
class Templates:
    """The words of the prompts.

    Attributes:
        product: P_fg, with {category} in it.
        background: P_bg before the identifier.
    """

    product: str
    background: str = ""


class GeneratorPrompts:
    """Makes the tokens of prompts, (B, E, L) for E text encoders; K tokens are an identifier."""

    def __init__(self, parts: Parts, templates: Templates, tokens: int = 0) -> None:
        """Take the tokenizers of a model; where there are identifiers its text encoders know them already.

        Args:
            parts: of the model.
            templates: the words.
            tokens: K; 0 without identifiers.
        """
        self._tokenizers = parts.tokenizers
        embeddings: list[Any] = [encoder.get_input_embeddings() for encoder in parts.text_encoders]
        self._firsts = [embedding.first for embedding in embeddings] if tokens else []
        self._tokens = tokens
        self._product = templates.product.replace(CATEGORY, NAME)
        self._background = f"{templates.background} {NAME}"  # whose name is empty
        self._whole = f"{self._product}, {templates.background}"
        product = f"generators.product_prompt={templates.product!r}"
        background = f"generators.background_prompt={templates.background!r}"
        count = f"generators.tokens={tokens}"
        self._sources = {  # in an error
            self._product: product,
            self._background: f"{background} with {count}",
            self._whole: f"{product} with {background} and {count}",
        }

    def product(self, names: Sequence[str]) -> torch.Tensor:
        """P_fg of B categories' names."""
        return self._ids(self._product, names)

    def background(self, categories: Sequence[int]) -> torch.Tensor:
        """P_bg of B categories."""
        return self._ids(self._background, [""] * len(categories), categories)

    def whole(self, names: Sequence[str], categories: Sequence[int]) -> torch.Tensor:
        """Both, of B categories; a name need not be that of its category, which may be the nearest one."""
        return self._ids(self._whole, names, categories)

    def _ids(self, template: str, names: Sequence[str], categories: Sequence[int] | None = None) -> torch.Tensor:
        rows = []
        for place, tokenizer in enumerate(self._tokenizers):
            learned = [self._learned(place, category) for category in categories or ()] or [[] for _ in names]
            source = self._sources[template]
            found = tokenise_learned(tokenizer, learned, names, template=template, source=source)
            rows.append(found.ids)
        return torch.stack(rows, dim=1)

    def _learned(self, encoder: int, category: int) -> list[int]:
        first = self._firsts[encoder] + category * self._tokens
        return list(range(first, first + self._tokens))
