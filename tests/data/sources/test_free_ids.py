"""Ids for new pictures whose own is taken."""

from __future__ import annotations

import pyarrow as pa

from p2i_ray.data.sources import free_ids, ledger
from p2i_ray.data.sources.rows import Row, to_table
from p2i_ray.storage import spilled

NONE = ledger.schema().empty_table()


def given(*ids: str, taken: set[int]) -> list[str]:
    rows = to_table(Row(f"{place}.jpg", "Mug", "Cup", id=id) for place, id in enumerate(ids))
    mask = pa.chunked_array([[place in taken for place in range(len(ids))]])
    found: list[str] = free_ids.given(rows, mask, NONE)["id"].to_pylist()
    return found


def test_the_first_number_that_nobody_has() -> None:
    assert given("7", "7-2", "7-4", "8", taken={0, 3}) == ["7-3", "7-2", "7-4", "8-2"]
    assert given("7", "7-2", "7-3", taken={1, 2}) == ["7", "7-4", "7-5"]


def test_an_id_that_only_looks_numbered_is_none() -> None:
    assert given("AB-12", "x", taken={0}) == ["AB-12-2", "x"]


def test_rows_of_more_than_a_piece() -> None:
    count = spilled.ROWS + 10
    found = given(*map(str, range(count)), taken={1, count - 2})
    assert (found[1], found[count - 2]) == ("1-2", f"{count - 2}-2")
    assert found[2 : count - 2] == [str(place) for place in range(2, count - 2)]
