"""Rows that are set aside: the kinds of their reasons, and a list that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from p2i_ray.data import text_columns
from p2i_ray.storage import spreadsheet

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "rejected.csv"


def kind(reason: str) -> str:
    """The kind of a reason: what is in front of its first colon."""
    return reason.partition(": ")[0]


def to_csv(rows: pa.Table) -> bytes:
    """Rows of rejected/ as CSV: UTF-8 with a byte order mark, without which Excel reads another encoding.

    A cell that would be a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(rows.column_names)
    for row in text_columns.batched(rows):
        lines.writerow([spreadsheet.as_text(cell or "") for cell in row.values()])
    return out.getvalue().encode("utf-8-sig")
