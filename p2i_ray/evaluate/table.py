"""A table of evaluations, which compares only what can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from p2i_ray.errors import UserError
from p2i_ray.evaluate import paired
from p2i_ray.evaluate.record import NONE, Measured, Record
from p2i_ray.storage import locations, parquet

SHOWN = 24  # characters of a condition in an error
SHOWN_IDS = 3
ON_COMMON = "paired=true compares the products that both have"
BETWEEN = "  "
PICTURES = ("images", "real_images")  # conditions that differences of the same pictures don't depend on


def lines(records: Mapping[str, Record], metrics: Sequence[str] = (), *, besides: Sequence[str] = ()) -> list[str]:
    """The table: one line an evaluation, one column a metric, with its 95 % interval where it has one.

    Args:
        records: by the evaluation's folder.
        metrics: the columns; none: all that the first evaluation has.
        besides: conditions that may differ; with "images" the products may, too, and each cell says how many it is of.

    Raises:
        UserError: an evaluation lacks a metric, two were measured under different conditions, or of other products;
            the line says which and in what.
    """
    first, *others = records
    columns = _columns(records, metrics)
    for name in columns:
        for other in others:
            _compare(name, first, other, records, besides=besides)
    is_counted = "images" in besides
    for other in others if not is_counted else ():
        _compare_products(first, other)
    cells = [["", *columns]]
    for folder, one in records.items():
        cells.append([folder, *(cell(folder, name, one.metrics[name], is_counted=is_counted) for name in columns)])
    return _aligned(cells)


def differences(records: Mapping[str, Record], metrics: Sequence[str] = ()) -> list[str]:
    """A table of paired differences of each evaluation to the first, with their 95 % intervals: see `paired`.

    Args:
        records: by the evaluation's folder.
        metrics: the columns; none: all that the first evaluation has. A cell without values of pictures has a dash.

    Raises:
        UserError: there is one evaluation alone, none of the metrics has values of pictures, an evaluation lacks a
            metric, or two were measured under different conditions (numbers of pictures may differ).
    """
    first, *others = records
    if not others:
        raise UserError("a difference needs two evaluations; give both in evaluated=, with a comma between")
    columns = _columns(records, metrics)
    for name in columns:
        for other in others:
            _compare(name, first, other, records, besides=PICTURES)
    found = {other: [paired.of_evaluations(name, {0: other}, {0: first}) for name in columns] for other in others}
    if not any(one for row in found.values() for one in row):
        raise UserError(
            f"{first} and {others[0]} have no values of pictures of {', '.join(columns)}; evaluate again, or take "
            "others by methods=: fid, diversity and category_compactness have none"
        )
    cells = [["", *columns], *([f"{other} - {first}", *map(_paired_cell, row)] for other, row in found.items())]
    return _aligned(cells)


def _columns(records: Mapping[str, Record], metrics: Sequence[str]) -> list[str]:
    """The metrics, which all evaluations have."""
    first, *others = records
    columns = list(metrics) or list(records[first].metrics)
    for name in columns:
        for folder in (first, *others):
            if name not in records[folder].metrics:
                has = ", ".join(records[folder].metrics)
                raise UserError(f"{folder} has no {name}; it has {has}; choose some that all have by methods=")
    return columns


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [BETWEEN.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _compare(name: str, first: str, other: str, records: Mapping[str, Record], *, besides: Sequence[str] = ()) -> None:
    """Check that two evaluations were measured alike, besides some of the conditions."""
    one, two = (records[folder].metrics[name].conditions.model_dump() for folder in (first, other))
    different = [key for key in one if one[key] != two[key] and key not in besides]
    if different:
        told = ", ".join(_told(key, one[key], two[key]) for key in different)
        advice = ON_COMMON if set(different) <= {*PICTURES} else "measure both alike, or leave it out of methods"
        raise UserError(f"{first} and {other} can't be compared by {name}: {told}; {advice}")


def _compare_products(first: str, other: str) -> None:
    """Check that two evaluations have pictures of the same products: means of others differ by the products alone."""
    one, two = _painted(first), _painted(other)
    if one is not None and two is not None and (lacked := sorted(one ^ two)):
        shown = ", ".join(lacked[:SHOWN_IDS]) + (", …" if len(lacked) > SHOWN_IDS else "")
        raise UserError(f"{first} and {other} can't be compared: one alone has pictures of {shown}; {ON_COMMON}")


def _painted(folder: str) -> set[str] | None:
    """The products that an evaluation has pictures of; none: its pictures are no longer there."""
    note = locations.join(folder, "generated.json")
    files = json.loads(locations.read_text(note))["files"] if locations.exists(note) else []
    generated = locations.join(folder, "generated")
    if not files or not all(locations.exists(locations.join(generated, file)) for file in files):
        return None
    rows = parquet.read_parquet(generated, files, columns=["id", "error"]).to_pylist()
    return {row["id"] for row in rows if row["error"] is None}


def cell(folder: str, name: str, measured: Measured, *, is_counted: bool = False) -> str:
    """A metric's figure with its interval, where it has one, and how many pictures were left out.

    Args:
        folder: of the evaluation.
        name: of the metric.
        measured: its figures.
        is_counted: also of how many pictures it is.

    Raises:
        UserError: the evaluation of this folder has no figure of the metric.
    """
    figures = measured.figures
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        raise UserError(f"{folder} has no figure of {name}; evaluate again")
    shown = f"{value:.4g}" if low is None or high is None else f"{value:.4g} ({low:.4g} to {high:.4g})"
    shown += f" of {measured.conditions.images}" if is_counted else ""
    left_out = figures.get(f"{name}_left_out", 0)
    return f"{shown}, {left_out:g} left out" if left_out else shown


def _paired_cell(found: paired.Difference | None) -> str:
    if found is None:
        return "-"
    ends = "" if found.low is None or found.high is None else f" ({found.low:.4g} to {found.high:.4g})"
    left_out = f", {found.left_out} left out" if found.left_out else ""
    return f"{found.difference:.4g}{ends} of {found.pictures}{left_out}"


def _told(key: str, one: object, two: object) -> str:
    """Both conditions, in words; of settings those that differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        names = [name for name in one | two if one.get(name) != two.get(name)]
        return ", ".join(f"{name} {_short(one.get(name, NONE))} and {_short(two.get(name, NONE))}" for name in names)
    return f"{key} {_short(one)} and {_short(two)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
