"""One learned identifier a category: K tokens each, of thousands of categories, in one tensor.

A text encoder reads them at ids beyond its vocabulary, so tokenizers and saved models stay as they are. A row that no
product of a batch belongs to has a gradient of exactly zero in that batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

from p2i_ray.diffusion.model.prompt import ids_of
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Categories

if TYPE_CHECKING:
    from p2i_ray.diffusion.model.loading import Parts


class Identifiers(nn.Module):
    """The identifiers of N categories, K tokens of D values each, in one tensor.

    Where there are several text encoders, D is the sum of their widths, in their order.
    """

    def __init__(self, count: int, tokens: int, start: torch.Tensor) -> None:
        """Start all of them alike.

        Args:
            count: N.
            tokens: K.
            start: (D,), what each token starts as, or (N, K, D), what they were trained to.
        """
        super().__init__()
        self.count, self.tokens = count, tokens
        table = start.expand(count, tokens, start.shape[-1])
        self.weight = nn.Parameter(table.reshape(count * tokens, -1).clone())  # (N K, D)

    @property
    def table(self) -> torch.Tensor:
        """The same as (N, K, D)."""
        return self.weight.reshape(self.count, self.tokens, -1)

    def places(self, category: int) -> range:
        """The rows of a category's tokens."""
        return range(category * self.tokens, (category + 1) * self.tokens)

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """The rows (…, D) at places (…)."""
        return functional.embedding(places, self.weight)

    def pull(self, batch: Sequence[int], categories: Categories, rare_below: int) -> torch.Tensor:
        """Distance of a batch's rare categories from the mean of their siblings, which is not moved by it.

        A category of n < rare_below training rows counts 1 - n / rare_below; others, and those without siblings, 0.

        Args:
            batch: B categories.
            categories: all of them, with parents and numbers of rows.
            rare_below: see above; 0: none is rare.

        Returns:
            (B,), the weighted mean squared distance of each.
        """
        siblings = {one: categories.siblings(one) for one in set(batch) if categories.all[one].rows < rare_below}
        rare = sorted(one for one, others in siblings.items() if others)
        # One call and its gradient, even where nothing is rare: ZeRO-3 has the table apart, and wants the same calls of
        # all workers in both passes, whatever their batches are.
        read = sorted({*rare, *(other for one in rare for other in siblings[one])}) or [0]
        found = self(torch.tensor([list(self.places(one)) for one in read], device=self.weight.device)).float()
        rows = dict(zip(read, found, strict=True))  # (K, D) each
        nothing = found.sum() * 0
        pulls = dict.fromkeys(batch, nothing)
        for one in rare:
            mean = torch.stack([rows[other] for other in siblings[one]]).detach().mean(dim=0)  # (K, D)
            weight = 1 - categories.all[one].rows / rare_below
            pulls[one] = weight * (rows[one] - mean).square().mean() + nothing
        return torch.stack([pulls[one] for one in batch])


class IdentifierEmbedding(nn.Module):
    """A text encoder's token embedding, frozen, with the identifiers at the ids after its own."""

    def __init__(self, embedding: nn.Module, identifiers: Identifiers, columns: slice) -> None:
        """Wrap an embedding.

        Args:
            embedding: of the vocabulary; it learns no more.
            identifiers: they stay a part of their generator, not of the text encoder.
            columns: of the identifiers' D values those that are this encoder's.
        """
        super().__init__()
        self.vocabulary = embedding.requires_grad_(False)
        self.first = int(cast(nn.Embedding, embedding).num_embeddings)  # the id of the first identifier's first token
        self._identifiers, self._columns = (identifiers,), columns  # a tuple, so that it is no submodule

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings (…, d) of ids (…)."""
        [identifiers], learned = self._identifiers, ids >= self.first
        found: torch.Tensor = self.vocabulary(ids.masked_fill(learned, 0))
        # Rows for all tokens, so that shapes don't depend on the ids: ZeRO-3 wants the same calls of all workers.
        rows = identifiers((ids - self.first).clamp(min=0))[..., self._columns]
        return torch.where(learned[..., None], rows.to(found.dtype), found)


def attach(parts: Parts, identifiers: Identifiers) -> None:
    """Have the text encoders of a model know the identifiers.

    Raises:
        UserError: the identifiers are of text encoders of other widths.
    """
    widths = widths_of(parts)
    if sum(widths) != identifiers.weight.shape[1]:
        raise UserError(
            f"the identifiers have {identifiers.weight.shape[1]} values a token, the model's text encoders "
            f"{' and '.join(map(str, widths))}: they belong to another base model"
        )
    first = 0
    for encoder, width in zip(parts.text_encoders, widths, strict=True):
        own: nn.Module = IdentifierEmbedding(encoder.get_input_embeddings(), identifiers, slice(first, first + width))
        encoder.set_input_embeddings(own)
        first += width


def widths_of(parts: Parts) -> list[int]:
    """Values a token of each text encoder."""
    return [int(encoder.config.hidden_size) for encoder in parts.text_encoders]


def start_from(parts: Parts, word: str) -> torch.Tensor:
    """The embedding of a word in all text encoders, (D,); the mean where it has several tokens.

    Raises:
        UserError: it has none.
    """
    found = []
    for tokenizer, encoder in zip(parts.tokenizers, parts.text_encoders, strict=True):
        [ids] = ids_of(tokenizer, [word])
        if not ids:
            raise UserError(f"generators.token_from={word!r} has no tokens in this tokenizer; give a word")
        found.append(cast(nn.Embedding, encoder.get_input_embeddings()).weight.detach()[ids].mean(dim=0))
    return torch.cat(found).float()
