"""A table of evaluations, which compares only what can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p2i_ray.errors import UserError
from p2i_ray.evaluate.record import Measured, Record

SHOWN = 24  # characters of a condition in an error
BETWEEN = "  "


def lines(records: Mapping[str, Record], metrics: Sequence[str] = ()) -> list[str]:
    """The table: one line an evaluation, one column a metric, with its 95 % interval where it has one.

    Args:
        records: by the evaluation's folder.
        metrics: the columns; none: all that the first evaluation has.

    Raises:
        UserError: an evaluation lacks a metric, or two were measured under different conditions; the line says which
            and in what.
    """
    first, *others = records
    columns = list(metrics) or list(records[first].metrics)
    for name in columns:
        for folder in (first, *others):
            if name not in records[folder].metrics:
                has = ", ".join(records[folder].metrics)
                raise UserError(f"{folder} has no {name}; it has {has}; choose some that all have by methods=")
        for other in others:
            _compare(name, first, other, records)
    cells = [["", *columns]]
    cells += [[folder, *(_cell(name, one.metrics[name]) for name in columns)] for folder, one in records.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [BETWEEN.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _compare(name: str, first: str, other: str, records: Mapping[str, Record]) -> None:
    one, two = (records[folder].metrics[name].conditions.model_dump() for folder in (first, other))
    different = [key for key in one if one[key] != two[key]]
    if different:
        told = ", ".join(f"{key} {_short(one[key])} and {_short(two[key])}" for key in different)
        raise UserError(
            f"{first} and {other} can't be compared by {name}: {told}; measure both alike, or leave it out of methods"
        )


def _cell(name: str, measured: Measured) -> str:
    figures = measured.figures
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        raise UserError(f"the record has no figure of {name}; evaluate again")
    shown = f"{value:.4g}" if low is None or high is None else f"{value:.4g} ({low:.4g} to {high:.4g})"
    left_out = figures.get(f"{name}_left_out", 0)
    return f"{shown}, {left_out:g} left out" if left_out else shown


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
