"""Tables as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from p2i_ray.comparison.table import Cell, Table
from p2i_ray.evaluate.paired import Difference

NOTHING = "–"
HEAD = ("table", "row", "column", "mean", "spread", "seeds", "paper", "difference", "low", "high", "pictures")


def markdown(tables: Sequence[Table]) -> str:
    """All tables as one Markdown text."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def as_csv(tables: Sequence[Table]) -> str:
    """All figures, one a line; a missing value is empty."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(HEAD)
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                cell = row.cells.get(column.key)
                if cell is not None:
                    lines.writerow([table.key, row.key, column.key, *_values(cell)])
    return out.getvalue()


def as_json(tables: Sequence[Table]) -> str:
    """All tables with all that is known of them."""
    return json.dumps([table.model_dump(mode="json") for table in tables], indent=1, ensure_ascii=False)


def figure(value: float | None) -> str:
    """Four digits, or a dash."""
    if value is None:
        return NOTHING
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def shown(cell: Cell | None) -> str:
    """A figure with its spread: 43.1 ± 0.4."""
    if cell is None or cell.mean is None:
        return NOTHING
    return figure(cell.mean) if cell.spread is None else f"{figure(cell.mean)} ± {cell.spread:.2g}"


def told(difference: Difference | None) -> str:
    """A difference with its interval: +1.2 (0.4 to 2.1); in brackets where the interval has zero in it."""
    if difference is None:
        return ""
    text = f"{difference.difference:+.3g}"
    if difference.low is None or difference.high is None:
        return text
    text = f"{text} ({difference.low:.3g} to {difference.high:.3g})"
    return text if difference.excludes_zero else f"[{text}]"


def _markdown(table: Table) -> str:
    lines = [f"**{table.title}.** {table.caption}", ""]
    lines.append("| " + " | ".join(["", *(column.title for column in table.columns)]) + " |")
    lines.append("|---" * (1 + len(table.columns)) + "|")
    for row in table.rows:
        cells = [_cell(row.cells.get(column.key)) for column in table.columns]
        lines.append("| " + " | ".join([_escaped(row.label), *cells]) + " |")
    lines += ["", *(f"- {_escaped(note)}" for note in table.notes)] if table.notes else []
    return "\n".join(lines)


def _cell(cell: Cell | None) -> str:
    text = shown(cell)
    if cell is not None and cell.difference is not None:
        text = f"{text}; {told(cell.difference)}"
    if cell is not None and cell.paper is not None:
        text = f"{text} (paper {figure(cell.paper)})"
    return text


def _values(cell: Cell) -> list[object]:
    difference = cell.difference
    ends = (difference.difference, difference.low, difference.high, difference.pictures) if difference else (None,) * 4
    figures = (cell.mean, cell.spread, cell.seeds, cell.paper, *ends)
    return ["" if value is None else value for value in figures]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
