"""One learned identifier a category: K tokens each, of thousands of categories, in one tensor.

A text encoder reads them at ids beyond its vocabulary, so tokenizers and saved models stay as they are. A row that no
product of a batch belongs to has a gradient of exactly zero in that batch.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from p2i_ray.diffusion.model.prompt import ids_of
from p2i_ray.errors import UserError

if TYPE_CHECKING:
    from p2i_ray.diffusion.model.loading import Parts

log = logging.getLogger(__name__)

REMEMBERED = 10_000  # names that were not trained, and what is nearest to them


class Category(NamedTuple):
    """A category that is trained."""

    name: str
    parent: str = ""  # the name of the category above it; empty: there is none
    rows: int = 0  # that it is trained on


class Categories:
    """The categories of a generator, in the order of their identifiers."""

    def __init__(self, categories: Sequence[Category]) -> None:
        """Take categories whose names differ in more than case and spaces.

        Raises:
            UserError: two have one name, one has none, or there are none.
        """
        self.all = tuple(categories)
        if not self.all:
            raise UserError("a category-wise generator needs at least one category; the data has none")
        self._places: dict[str, int] = {}
        for place, category in enumerate(self.all):
            key = _key(category.name)
            if not key:
                raise UserError(f"category {place + 1} of {len(self.all)} has an empty name; name it or leave it out")
            if key in self._places:
                raise UserError(
                    f"category {category.name!r} is there twice (case and spaces don't count); join the two"
                )
            self._places[key] = place
        self._nearest: dict[str, int] = {}  # of names that were not trained

    def __len__(self) -> int:
        """How many there are."""
        return len(self.all)

    def find(self, name: str, *, unknown: Literal["nearest", "error"]) -> int:
        """A category's place; for one that was not trained that of the nearest name, with a warning.

        Args:
            name: case and spaces don't count.
            unknown: what to do with a name that was not trained.

        Raises:
            UserError: it was not trained, and that is to be an error; or it is empty.
        """
        key = _key(name)
        if key in self._places:
            return self._places[key]
        if not key:
            raise UserError("the request has no category; name one, or leave the category-wise generator out")
        if key not in self._nearest:
            nearest = max(self._places, key=lambda other: difflib.SequenceMatcher(None, key, other).ratio())
            place = self._places[nearest]
            if unknown == "error":
                raise UserError(
                    f"category {name!r} was not trained; the nearest name is {self.all[place].name!r} "
                    "(generators.unknown_category=nearest takes that)"
                )
            log.warning("category %r was not trained; it is painted as %r", name, self.all[place].name)
            if len(self._nearest) >= REMEMBERED:  # a service is given new names for weeks
                self._nearest.clear()
            self._nearest[key] = place
        return self._nearest[key]

    def siblings(self, place: int) -> list[int]:
        """The places of the other categories of the same parent; none without a parent."""
        parent = self.all[place].parent
        return [p for p, other in enumerate(self.all) if parent and other.parent == parent and p != place]


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
        """How far a batch's rare categories are from the mean of their siblings, which is not moved by it.

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


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
