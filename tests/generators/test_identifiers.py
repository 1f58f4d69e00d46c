"""Identifiers of categories: which are found, which learn, and what a text encoder reads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.generators.identifiers import IdentifierEmbedding, Identifiers, attach, start_from
from p2i_ray.generators.prompts import GeneratorPrompts
from tests.support.make_generators import TEMPLATES
from tests.support.tiny_models import WIDTH
from tests.support.tiny_xl import SECOND_WIDTH, XlModels


def vocabulary() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(10, 3)


def identifiers(count: int = 4) -> Identifiers:
    table = torch.randn(count, 2, 5, generator=torch.Generator().manual_seed(1))
    return Identifiers(count, 2, table)


def test_an_encoder_reads_its_columns_of_the_rows() -> None:
    own, words = identifiers(), vocabulary()
    embedding = IdentifierEmbedding(words, own, slice(2, 5))
    found = embedding(torch.tensor([[3, 10, 11], [16, 9, 17]]))  # 10 + 2 c + k
    expected = [[words.weight[3], own.table[0, 0, 2:], own.table[0, 1, 2:]]]
    expected += [[own.table[3, 0, 2:], words.weight[9], own.table[3, 1, 2:]]]
    torch.testing.assert_close(found, torch.stack([torch.stack(row) for row in expected]))
    torch.testing.assert_close(embedding(torch.tensor([[1, 2]])), words.weight[1:3][None])
    assert not next(embedding.parameters()).requires_grad and len(list(embedding.parameters())) == 1


def test_rows_that_are_not_in_the_batch_have_no_gradient() -> None:
    own = identifiers()
    before = own.table.detach().clone()
    optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
    embedding = IdentifierEmbedding(vocabulary(), own, slice(1, 4))
    for batch in ((1, 0), (1, 0), (0,)):
        optimizer.zero_grad()
        last = own.table[1].detach().clone()
        embedding(torch.tensor([[10 + 2 * place, 3] for place in batch])).square().sum().backward()
        grad = own.weight.grad
        assert grad is not None
        reached = grad.reshape(4, 2, 5).abs().sum(2) > 0
        assert reached.tolist() == [[place in batch, False] for place in range(4)]
        optimizer.step()
        assert torch.equal(own.table[1], last) == (1 not in batch)
        assert torch.equal(own.table[2:], before[2:])


def test_a_rare_category_is_pulled_to_the_mean_of_its_siblings() -> None:
    categories = Categories(
        [Category("a", "p", 50), Category("b", "p", 2), Category("c", "p", 0), Category("d", "q", 0), Category("e")]
    )
    own = identifiers(5)
    table = own.table.detach()
    pull = own.pull([1, 0, 3, 4], categories, rare_below=10).mean()
    expected = (1 - 2 / 10) * (table[1] - (table[0] + table[2]) / 2).square().mean() / 4  # the others count 0
    torch.testing.assert_close(pull, expected)
    pull.backward()
    assert own.weight.grad is not None
    assert (own.weight.grad.reshape(5, -1).abs().sum(1) > 0).tolist() == [False, True, False, False, False]
    torch.testing.assert_close(
        own.weight.grad.reshape(5, 2, 5)[1], 0.8 * 2 * (table[1] - (table[0] + table[2]) / 2) / 10 / 4
    )
    assert own.pull([0, 1], categories, rare_below=0).tolist() == [0, 0]


def test_prompts_have_the_words_and_then_the_identifier(tiny_painter: DiffusionConfig) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    [tokenizer], [encoder] = parts.tokenizers, parts.text_encoders
    size = encoder.get_input_embeddings().num_embeddings
    attach(parts, Identifiers(4, 2, start_from(parts, "background")))
    prompts = GeneratorPrompts(parts, TEMPLATES, 2)
    bos, eos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id

    def words(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def row(*ids: int) -> list[int]:
        return [bos, *ids, eos, *[pad] * (14 - len(ids))]

    third = [size + 4, size + 5]
    assert prompts.product(["cup", "cup cup"]).tolist() == [[row(*words("a cup"))], [row(*words("a cup cup"))]]
    assert prompts.background([2]).tolist() == [[row(*words("in"), *third)]]
    assert prompts.whole(["cup"], [2]).tolist() == [[row(*words("a cup, in"), *third)]]
    [long] = prompts.whole(["cup " * 30], [2]).tolist()[0]
    assert long[-5:] == [*words(", in")[-2:], *third, eos] and len(long) == 16  # the name is cut, nothing else


def test_what_an_encoder_makes_of_an_identifier_is_what_it_makes_of_a_token_with_its_embedding(
    tiny_painter: DiffusionConfig,
) -> None:
    parts, plain = (loading.load(tiny_painter.base, tiny_painter) for _ in range(2))
    torch.manual_seed(3)
    own = Identifiers(4, 1, torch.randn(4, 1, WIDTH))
    attach(parts, own)
    [ids] = GeneratorPrompts(parts, TEMPLATES, 1).whole(["cup"], [2])
    states = parts.backbone.encode(parts.text_encoders, ids[None]).states
    token = plain.token_ids[0]
    with torch.no_grad():
        plain.text_encoders[0].get_input_embeddings().weight[token] = own.table[2, 0]
    first = plain.text_encoders[0].get_input_embeddings().num_embeddings
    expected = plain.backbone.encode(plain.text_encoders, ids[None].masked_fill(ids[None] >= first, token)).states
    torch.testing.assert_close(states, expected)


def test_two_text_encoders_share_one_tensor(xl_models: XlModels) -> None:
    painter = xl_models.painter()
    parts = loading.load(painter.base, painter)
    embeddings = [encoder.get_input_embeddings().weight.detach() for encoder in parts.text_encoders]
    start = start_from(parts, "background")
    own = Identifiers(3, 2, start)
    assert own.table.shape == (3, 2, WIDTH + SECOND_WIDTH)
    [word] = parts.tokenizers[0]("background", add_special_tokens=False).input_ids
    torch.testing.assert_close(start, torch.cat([embedding[word] for embedding in embeddings]))
    attach(parts, own)
    ids = GeneratorPrompts(parts, TEMPLATES, 2).whole(["cup"], [1])
    assert ids.shape == (1, 2, 16)
    parts.backbone.encode(parts.text_encoders, ids).states.square().sum().backward()
    assert own.weight.grad is not None
    reached = own.weight.grad.reshape(3, 2, -1)
    assert not reached[[0, 2]].any() and (reached[1].abs() > 0).all()
    with pytest.raises(UserError, match=r"have 5 values a token, the model's text encoders 16 and 24"):
        attach(loading.load(painter.base, painter), Identifiers(1, 1, torch.zeros(5)))
