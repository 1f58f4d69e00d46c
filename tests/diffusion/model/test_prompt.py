"""Where <background> and eos stand, whatever the name."""

from __future__ import annotations

import re

import pytest
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from p2i_ray.diffusion.model.prompt import TokenEmbedding, add_token, empty_prompt, tokenise
from p2i_ray.errors import UserError
from tests.support.tiny_models import LENGTH, build_tokenizer

TOKEN = "<background>"


def text_encoder(vocabulary: int) -> CLIPTextModel:
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return CLIPTextModel(CLIPTextConfig(vocab_size=vocabulary, max_position_embeddings=LENGTH, **shape))


@pytest.fixture
def tokenizer() -> CLIPTokenizer:
    built = build_tokenizer()
    add_token(built, text_encoder(len(built)), TOKEN, "background")
    return built


def test_token_follows_the_name_and_eos_follows_the_token(tokenizer: CLIPTokenizer) -> None:
    prompts = tokenise(tokenizer, TOKEN, ["cup", "a cup", ""])
    assert prompts.ids.shape == (3, LENGTH)
    assert prompts.background_at.tolist() == [2, 3, 1]
    assert prompts.eos_at.tolist() == [3, 4, 2]
    token = tokenizer.convert_tokens_to_ids(TOKEN)
    for row, at, eos in zip(*(p.tolist() for p in prompts), strict=True):
        assert row[0] == tokenizer.bos_token_id
        assert row[at] == token and row.count(token) == 1
        assert set(row[eos:]) == {tokenizer.eos_token_id}  # eos, then padding, which CLIP makes of eos as well


def test_without_a_token_the_name_stands_alone(tokenizer: CLIPTokenizer) -> None:
    plain, names = build_tokenizer(), ["cup", "a round cup", "", "cup " * 40, "cup <|endoftext|> <background>"]
    prompts = tokenise(plain, None, names)
    assert prompts.background_at.tolist() == [-1] * len(names)
    assert prompts.eos_at.tolist()[:4] == [2, 4, 1, LENGTH - 1]
    for name, row in zip(names[:3], prompts.ids.tolist(), strict=False):
        assert row == plain(name, padding="max_length", max_length=LENGTH).input_ids
    assert prompts.ids[3, LENGTH - 1] == plain.eos_token_id
    encoder = text_encoder(len(plain))
    assert add_token(plain, encoder, None, "background") is None
    assert len(plain) == encoder.get_input_embeddings().num_embeddings == encoder.config.vocab_size
    assert tokenise(tokenizer, None, ["cup"]).ids.tolist() == prompts.ids[:1].tolist()  # also where the token is known


def test_prompt_is_what_the_plain_tokenizer_makes_of_name_and_token(tokenizer: CLIPTokenizer) -> None:
    expected = tokenizer(f"a round cup {TOKEN}", padding="max_length", max_length=LENGTH).input_ids
    assert tokenise(tokenizer, TOKEN, ["a round cup"]).ids[0].tolist() == expected
    assert empty_prompt(tokenizer)[0].tolist() == tokenizer("", padding="max_length", max_length=LENGTH).input_ids


@pytest.mark.parametrize("name", ["cup " * 13, "cup " * 14, "cup " * 40, "x" * 1_000_000, "水筒 500ml " * 9])
def test_long_names_are_cut_before_the_token(tokenizer: CLIPTokenizer, name: str) -> None:
    prompts = tokenise(tokenizer, TOKEN, [name])
    assert prompts.background_at.tolist() == [LENGTH - 2]
    assert prompts.ids[0, LENGTH - 2] == tokenizer.convert_tokens_to_ids(TOKEN)
    assert prompts.ids[0, LENGTH - 1] == tokenizer.eos_token_id


SPELLED_OUT = ["cup <background>", "<background>", "cup <|endoftext|> x", "<|startoftext|>", "<BACKGROUND>"]


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_a_name_cannot_bring_special_tokens(tokenizer: CLIPTokenizer, name: str) -> None:
    prompts = tokenise(tokenizer, TOKEN, [name])
    row, at = prompts.ids[0].tolist(), prompts.background_at.item()
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TOKEN)}
    assert not special & set(row[1:at])
    assert row[at] == tokenizer.convert_tokens_to_ids(TOKEN)


def test_words_that_somebody_added_are_words_of_names_and_templates() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<my-style>", "sneaker", TOKEN])  # as textual inversion adds them: none is special
    style, sneaker, background = tokenizer.convert_tokens_to_ids(["<my-style>", "sneaker", TOKEN])
    [name] = tokenise(tokenizer, TOKEN, ["sneaker"], template="{name} <my-style>").ids.tolist()
    assert name[1:4] == [sneaker, style, background]
    [name] = tokenise(tokenizer, TOKEN, [f"{TOKEN} sneaker"]).ids.tolist()
    assert name[1:3] == [sneaker, background]


def test_a_word_of_several_vectors_is_read_whole_as_diffusers_reads_it() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<my-style>", "<my-style>_1", "<my-style>_2", "sneaker"])
    prompt = TextualInversionLoaderMixin().maybe_convert_prompt("cup <my-style> sneaker", tokenizer)
    expected = tokenizer(prompt, padding="max_length", max_length=LENGTH).input_ids
    assert tokenise(tokenizer, None, ["cup"], template="{name} <my-style> sneaker").ids.tolist() == [expected]


def test_a_known_token_cannot_be_spelled_by_what_knows_no_token() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([TOKEN])
    add_token(tokenizer, text_encoder(len(tokenizer)), TOKEN, "background")
    negative = tokenise(tokenizer, None, [TOKEN])
    assert negative.eos_at.tolist() == [1]


def test_token_starts_as_the_word_it_is_made_from() -> None:
    tokenizer = build_tokenizer()
    encoder = text_encoder(len(tokenizer))
    before = encoder.get_input_embeddings().weight.detach().clone()
    token_id = add_token(tokenizer, encoder, TOKEN, "background")
    after = encoder.get_input_embeddings().weight
    [word] = tokenizer("background", add_special_tokens=False).input_ids
    assert token_id == len(before)
    torch.testing.assert_close(after[token_id], before[word])
    torch.testing.assert_close(after[:token_id], before)
    assert encoder.config.vocab_size == len(before) + 1


def test_token_starts_as_the_mean_of_a_word_of_several_tokens() -> None:
    tokenizer = build_tokenizer()
    encoder = text_encoder(len(tokenizer))
    pieces = tokenizer("scene", add_special_tokens=False).input_ids
    assert len(pieces) == 5
    token_id = add_token(tokenizer, encoder, TOKEN, "scene")
    weight = encoder.get_input_embeddings().weight
    torch.testing.assert_close(weight[token_id], weight[pieces].mean(dim=0))


def test_a_known_token_keeps_what_it_learned() -> None:
    tokenizer = build_tokenizer()
    encoder = text_encoder(len(tokenizer))
    token_id = add_token(tokenizer, encoder, TOKEN, "background")
    with torch.no_grad():
        encoder.get_input_embeddings().weight[token_id] = 3.0
    assert add_token(tokenizer, encoder, TOKEN, "background") == token_id
    assert (encoder.get_input_embeddings().weight[token_id] == 3.0).all()


@pytest.mark.parametrize("token", ["cu", "*", "<|endoftext|>", "!"])
def test_the_token_is_none_of_the_tokenizer_s_words(token: str) -> None:
    tokenizer = build_tokenizer(pad="!")
    with pytest.raises(UserError, match=rf"diffusion.token={re.escape(repr(token))} is a word of this tokenizer"):
        add_token(tokenizer, text_encoder(len(tokenizer)), token, "background")


def test_token_from_must_say_something() -> None:
    tokenizer = build_tokenizer()
    with pytest.raises(UserError, match="token_from"):
        add_token(tokenizer, text_encoder(len(tokenizer)), TOKEN, " ")


def test_only_the_tokens_row_can_learn() -> None:
    embedding = nn.Embedding(6, 3)
    module = TokenEmbedding(embedding, token_id=5)
    ids = torch.tensor([[1, 5], [5, 0]])
    torch.testing.assert_close(module(ids), embedding(ids))
    module(ids).sum().backward()
    assert [name for name, _ in module.named_parameters()] == ["row"]
    assert module.row.grad.tolist() == [2.0, 2.0, 2.0]


TEMPLATE = "a round {name}, back"


def test_a_template_s_words_stand_around_the_name(tokenizer: CLIPTokenizer) -> None:
    expected = tokenizer(f"a round cup, back {TOKEN}", padding="max_length", max_length=LENGTH).input_ids
    prompts = tokenise(tokenizer, TOKEN, ["cup", "cup " * 40], template=TEMPLATE)
    assert prompts.ids[0].tolist() == expected
    cup = tokenizer("cup", add_special_tokens=False).input_ids
    before, after = (tokenizer(words, add_special_tokens=False).input_ids for words in ("a round", ", back"))
    names = cup * (LENGTH - 3 - len(before) - len(after))
    assert prompts.ids[1].tolist() == [tokenizer.bos_token_id, *before, *names, *after, *prompts.ids[1, -2:].tolist()]
    assert prompts.background_at.tolist()[1] == LENGTH - 2
    with pytest.raises(UserError, match=r"diffusion.prompt=.* leaves no room for a name among 16 tokens"):
        tokenise(tokenizer, TOKEN, ["cup"], template="cup " * 14 + "{name}")
