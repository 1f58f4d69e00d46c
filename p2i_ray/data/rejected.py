"""Rows that are set aside: the kinds of their reasons, and a list that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "rejected.csv"
# A cell that begins so is computed by some spreadsheet: also in full width, and behind spaces of any kind.
FORMULA = re.compile(r"[\s\ufeff\x00-\x1f]*[=+\-@＝＋－＠]|[\t\r\n]")


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
    for row in rows.to_pylist():
        lines.writerow([_as_text(cell) for cell in row.values()])
    return out.getvalue().encode("utf-8-sig")


def _as_text(cell: str | None) -> str:
    text = cell or ""
    return f"'{text}" if FORMULA.match(text) else text
