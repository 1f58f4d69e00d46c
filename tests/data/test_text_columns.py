"""Columns of text as numbers and draws."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config.seeds import seed_for
from p2i_ray.data import text_columns

TEXTS = st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=2)), max_size=20)


@given(TEXTS, TEXTS, st.booleans())
def test_numbers_are_places_of_distinct_texts(first: list[str | None], second: list[str | None], coded: bool) -> None:
    left, right = pa.chunked_array([first[:3], first[3:]], pa.string()), pa.chunked_array([second], pa.string())
    numbers, texts = text_columns.encode(left, right.dictionary_encode() if coded else right)
    both = [*first, *second]
    assert texts.to_pylist() == list(dict.fromkeys(text for text in both if text is not None))
    assert [None if number < 0 else texts[int(number)].as_py() for number in numbers] == both
    assert text_columns.as_column(numbers, texts).to_pylist() == both


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=2), unique=True, max_size=20))
def test_ranks_are_those_of_pythons_strings(texts: list[str]) -> None:
    rank, order = text_columns.ranks(pa.array(texts, pa.string()))
    assert [texts[place] for place in order] == sorted(texts)
    assert [sorted(texts)[place] for place in rank] == texts


def test_draws_are_the_seeds_of_each_text() -> None:
    texts = ["", "a", "\xe4\U0001f600", *(f"id-{number}" for number in range(text_columns.BATCH))]
    found = text_columns.draws(pa.chunked_array([texts[:5], texts[5:]]), 7, "split")
    assert found.tolist() == [seed_for(7, "split", text) for text in texts] and found.dtype == np.uint64


def test_batches_have_all_values_in_order() -> None:
    numbers = list(range(2 * text_columns.BATCH + 1))
    assert [*text_columns.batched(pa.array(numbers))] == numbers
    assert text_columns.each(pa.array(["a", "b"]), str.upper).to_pylist() == ["A", "B"]
