"""The list of rejected rows, as a spreadsheet would read it."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest

from p2i_ray.data.rejected import to_csv
from p2i_ray.data.schema import REJECTED_SCHEMA


def test_it_opens_in_a_spreadsheet_and_computes_nothing() -> None:
    rows = [
        {"id": "Tasse \u00fc", "source": 'a,"b".png', "reason": "file missing: a.png"},
        {"id": "=HYPERLINK(1)", "source": None, "reason": "-2 pixels\nand more"},
        {"id": "@x", "source": "\tx", "reason": "+1"},
    ]
    content = to_csv(pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA))
    assert content.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))) == [
        ["id", "source", "reason"],
        ["Tasse \u00fc", 'a,"b".png', "file missing: a.png"],
        ["'=HYPERLINK(1)", "", "'-2 pixels\nand more"],
        ["'@x", "'\tx", "'+1"],
    ]


@pytest.mark.parametrize("cell", ["=1", "+49 1", " =1", "\n-1", "\uff1d1", "\ufeff=1", "\xa0=1", "\tx", "\x00=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    content = to_csv(pa.table({"id": [cell, "a=b", "10-5"]})).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(content, newline="")))
    assert rows[1:] == [[f"'{cell}"], ["a=b"], ["10-5"]]
