"""Rows of tables in chunks of any size are found as Arrow finds them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data import mapped_rows
from p2i_ray.storage import spilled

LINES = st.lists(st.tuples(st.one_of(st.none(), st.text(max_size=2)), st.integers(0, 9), st.booleans()), max_size=20)


def table(lines: list[tuple[str | None, int, bool]], cut: int) -> pa.Table:
    """Text, numbers and a mask in two chunks."""
    text, number, mask = zip(*lines, strict=True) if lines else ((), (), ())
    whole = pa.table(
        {"text": pa.array(text, pa.string()), "number": pa.array(number, pa.int8()), "mask": pa.array(mask, pa.bool_())}
    )
    return pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])


@given(LINES, st.integers(0, 20), st.data())
def test_rows_are_taken_in_any_order(lines: list[tuple[str | None, int, bool]], cut: int, data: st.DataObject) -> None:
    rows = table(lines, cut)
    places = np.array(data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=9)) if lines else [], np.int32)
    expected = rows.take(pa.array(places))
    assert mapped_rows.take(rows, places).equals(expected) and mapped_rows.some(rows, places).equals(expected)


@given(LINES, st.integers(0, 20))
def test_rows_are_left_out(lines: list[tuple[str | None, int, bool]], cut: int) -> None:
    rows = table(lines, cut)
    coded = rows.append_column("coded", rows["text"].dictionary_encode())
    found = mapped_rows.where(coded, rows["mask"])
    assert found.schema == coded.schema and found.to_pylist() == coded.filter(rows["mask"]).to_pylist()


def test_where_all_are_kept_it_is_the_table_and_numbers_are_in_one_piece() -> None:
    rows = table([("a", 1, True), ("b", 2, True), ("c", 3, False)], 1)
    assert mapped_rows.where(rows.slice(0, 2), rows["mask"].slice(0, 2)).equals(rows.slice(0, 2))
    assert mapped_rows.where(rows, rows["mask"])["number"].num_chunks == 1


@pytest.mark.parametrize("count", [0, 1, spilled.ROWS + 1])
def test_many_rows_are_in_order_over_pieces(count: int) -> None:
    rows = pa.table({"number": range(count)})
    assert sum(piece.num_rows for piece in mapped_rows.pieces(rows)) == count
    made = mapped_rows.column((piece["number"].cast(pa.string()) for piece in mapped_rows.pieces(rows)), pa.string())
    assert made.to_pylist() == [str(number) for number in range(count)]
    back = mapped_rows.take(rows, np.arange(count)[::-1])
    assert back["number"].to_pylist() == [*range(count)][::-1]
