"""Cells of CSV files that people open with a spreadsheet."""

from __future__ import annotations

import re

# A cell that begins so is computed by some spreadsheet: also in full width, and behind spaces of any kind.
FORMULA = re.compile(r"[\s\ufeff\x00-\x1f]*[=+\-@＝＋－＠]|[\x00-\x1f]")


def as_text(cell: str) -> str:
    """A cell with an apostrophe in front where a spreadsheet would compute it."""
    return f"'{cell}" if FORMULA.match(cell) else cell
