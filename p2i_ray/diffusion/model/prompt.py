"""The prompt `P <background>`: the product's name, then a learned token that stands for the scene.

Without a token (an ablation) the name stands alone.

Token ids are put together here, not by the tokenizer's own truncation, so that <background> and eos are always there,
and where they are is known. CLIP's pooled output can't be used for that: with the old eos id 2 it takes the highest
id of a row, and a new token's id is the highest.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from p2i_ray.config.diffusion import NAME
from p2i_ray.errors import UserError

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    TextEncoder = CLIPTextModel | CLIPTextModelWithProjection

NAME_CHARS_A_TOKEN = 64  # a name is cut to this many characters for each token that fits, before it is tokenised


class Prompts(NamedTuple):
    """Tokenised prompts of B products; L is the text encoder's length."""

    ids: torch.Tensor  # (B, L) int64; of E tokenizers (B, E, L)
    background_at: torch.Tensor  # (B,) int64, where <background> stands in each row; -1 without a token
    eos_at: torch.Tensor  # (B,) int64, right after it, or after the name


def tokenise(tokenizer: CLIPTokenizer, token: str | None, names: Sequence[str], *, template: str = NAME) -> Prompts:
    """Names as [bos, name cut to fit, <background>, eos, pad …]; without a token, [bos, name, eos, pad …].

    A template may have words before and after the name; these are never cut.

    What looks like a special token inside a name ("<background>", "<|endoftext|>") is left out: only the prompt's own
    count. Words that somebody has added to the tokenizer, as textual inversion does, are words as others are.

    Raises:
        UserError: the template leaves no room for a name.
    """
    found = tokenise_words(tokenizer, [] if token is None else [token], names, template=template)
    return found._replace(background_at=torch.full_like(found.eos_at, -1)) if token is None else found


def tokenise_words(
    tokenizer: CLIPTokenizer, words: Sequence[str], names: Sequence[str], *, template: str = NAME
) -> Prompts:
    """As `tokenise`, with several learned words in the token's place, all of which the tokenizer knows."""
    learned = [cast(int, tokenizer.convert_tokens_to_ids(word)) for word in words]
    return tokenise_learned(tokenizer, [learned] * len(names), names, template=template)


def tokenise_learned(
    tokenizer: CLIPTokenizer,
    learned: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    template: str = NAME,
    source: str | None = None,
) -> Prompts:
    """As `tokenise`, with learned ids of each name's own in the token's place.

    Args:
        tokenizer: of the model.
        learned: for each name.
        names: B.
        template: with the name's place in it.
        source: the settings that the template comes from, with their values, for an error (none: diffusion.prompt).
    """
    length = tokenizer.model_max_length
    kept_out = {number for own in learned for number in own}
    before, words_after = ids_of(tokenizer, template.split(NAME), kept_out)
    rows, ends = [], []
    for name, own in zip(ids_of(tokenizer, names, kept_out), learned, strict=True):
        after = [*words_after, *own, tokenizer.eos_token_id]
        room = length - 1 - len(before) - len(after)
        if room < 1:
            given = source or f"diffusion.prompt={template!r}"
            raise UserError(f"{given} leaves no room for a name among {length} tokens; shorten it")
        row = [tokenizer.bos_token_id, *before, *name[:room], *after]
        rows.append(_padded(tokenizer, row))
        ends.append(len(row) - 1)
    eos_at = torch.tensor(ends, dtype=torch.int64)
    return Prompts(torch.tensor(rows, dtype=torch.int64).reshape(-1, length), eos_at - 1, eos_at)


def tokenise_each(
    tokenizers: Sequence[CLIPTokenizer],
    token: str | None,
    names: Sequence[str],
    *,
    template: str = NAME,
    aligned: int = 0,
) -> Prompts:
    """As `tokenise`, with each of E tokenizers: ids (B, E, L); the places are those of tokenizer `aligned`."""
    rows = [tokenise(tokenizer, token, names, template=template) for tokenizer in tokenizers]
    return rows[aligned]._replace(ids=torch.stack([row.ids for row in rows], dim=1))


def empty_prompts(tokenizers: Sequence[CLIPTokenizer]) -> torch.Tensor:
    """The empty prompt of each of E tokenizers, (1, E, L)."""
    return torch.stack([empty_prompt(tokenizer) for tokenizer in tokenizers], dim=1)


def empty_prompt(tokenizer: CLIPTokenizer) -> torch.Tensor:
    """[bos, eos, pad …], (1, L): what classifier-free guidance steers away from, in training and in painting."""
    return torch.tensor([_padded(tokenizer, [tokenizer.bos_token_id, tokenizer.eos_token_id])], dtype=torch.int64)


def add_token(tokenizer: CLIPTokenizer, text_encoder: TextEncoder, token: str | None, token_from: str) -> int | None:
    """Teach tokenizer and text encoder the token, unless they know it or there is none; returns its id.

    Its embedding starts as that of the word `token_from`, or as the mean where the word has several tokens.

    Raises:
        UserError: the word has no tokens, or the token's text is one that the tokenizer splits for itself or has.
    """
    if token is None:
        return None
    embedding = cast(nn.Embedding, text_encoder.get_input_embeddings())
    known = tokenizer.get_added_vocab().get(token)
    own = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
    # Else a word's own row would be taken, and the word left out of names.
    if token in own or (known is None and token in tokenizer.get_vocab()):
        raise UserError(
            f"diffusion.token={token!r} is a word of this tokenizer already; give another one, e.g. <background>"
        )
    if known is not None and known < embedding.num_embeddings:
        tokenizer.add_tokens([token], special_tokens=True)  # so that no text spells it, whoever added it
        return int(known)
    [word] = ids_of(tokenizer, [token_from])
    if not word:
        raise UserError(f"diffusion.token_from={token_from!r} has no tokens in this tokenizer; give a word")
    if not token.strip() or token != token.strip():
        raise UserError(f"diffusion.token={token!r} must be a word without spaces around it, e.g. <background>")
    tokenizer.add_tokens([token], special_tokens=True)
    token_id = cast(int, tokenizer.convert_tokens_to_ids(token))
    old = embedding.weight.detach()  # (V, d)
    grown = nn.Embedding(max(token_id + 1, len(old)), old.shape[1], dtype=old.dtype)
    with torch.no_grad():
        grown.weight[: len(old)] = old
        grown.weight[token_id] = old[word].mean(dim=0)
    text_encoder.set_input_embeddings(grown)
    text_encoder.config.vocab_size = grown.num_embeddings
    return token_id


class TokenEmbedding(nn.Module):
    """A token embedding of which one row learns: the others are a buffer, so no optimizer can reach them."""

    frozen: torch.Tensor

    def __init__(self, embedding: nn.Embedding, token_id: int) -> None:
        super().__init__()
        self.token_id = token_id
        self.register_buffer("frozen", embedding.weight.detach().clone(), persistent=False)  # (V, d)
        self.row = nn.Parameter(embedding.weight.detach()[token_id].clone())  # (d,)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings (…, d) of token ids (…), in the row's precision: mixed precision casts parameters, not buffers."""
        others = functional.embedding(ids, self.frozen).to(self.row.dtype)
        return torch.where((ids == self.token_id)[..., None], self.row, others)


def ids_of(tokenizer: CLIPTokenizer, texts: Sequence[str], kept_out: Collection[int] = ()) -> list[list[int]]:
    """Token ids of plain texts, without bos and eos, and without any special token that a text spells out.

    Args:
        tokenizer: of the model.
        texts: B.
        kept_out: further ids that a text can't bring.
    """
    longest = tokenizer.model_max_length * NAME_CHARS_A_TOKEN
    special = {number for number, added in tokenizer.added_tokens_decoder.items() if added.special}
    special |= {*tokenizer.all_special_ids}
    if tokenizer.pad_token_id != tokenizer.eos_token_id:  # Stable Diffusion 2 pads with "!", which names have, too
        special.discard(tokenizer.pad_token_id)
    special |= {*kept_out}
    vectors = _vectors(tokenizer)
    rows = [tokenizer(text[:longest], add_special_tokens=False, verbose=False).input_ids for text in texts]
    return [[i for first in row for i in vectors.get(first, [first]) if i not in special] for row in rows]


def _vectors(tokenizer: CLIPTokenizer) -> dict[int, list[int]]:
    """The ids of each added word's vectors: textual inversion calls the further ones WORD_1, WORD_2 …, as diffusers."""
    added, found = tokenizer.get_added_vocab(), {}
    for word, first in added.items():
        further = itertools.takewhile(added.__contains__, (f"{word}_{number}" for number in itertools.count(1)))
        found[first] = [first, *(added[name] for name in further)]
    return found


def _padded(tokenizer: CLIPTokenizer, ids: list[int]) -> list[int]:
    return ids + [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(ids))
