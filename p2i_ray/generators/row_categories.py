"""Rows of a split in each category, counted from the split's columns of ids and categories alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.data import categories, reading

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["id", "category"]
FIRST = 3  # rows without a category that are named


class RowCategories(NamedTuple):
    """Categories of the rows to train on."""

    counts: dict[str, int]  # by category, sorted; an empty name: rows without one
    without: list[str]  # ids of the first rows that have none


def read(data: str, split: str, keep: str | None = None) -> RowCategories:
    """The categories of the rows to train on.

    Args:
        data: EPBD folder, a path or URI.
        split: its rows are looked at.
        keep: location of a Parquet file whose `id` column lists the rows that count; none: all.

    Raises:
        UserError: no such folder or split, or a file's ids or categories can't be read.
    """
    listed = None if keep is None else frozenset(reading.ids_of(keep))
    counts: Counter[str] = Counter()
    without: list[str] = []
    for found in categories.of_files(data, split, COLUMNS, lambda columns: _of(columns, listed)):
        counts.update(found.counts)
        without += found.without[: FIRST - len(without)]
    return RowCategories(dict(sorted(counts.items())), without)


def _of(columns: list[pa.ChunkedArray], listed: frozenset[str] | None) -> RowCategories:
    ids, names = (column.to_pylist() for column in columns)
    rows = [
        (id_, name if name and name.strip() else "")
        for id_, name in zip(ids, names, strict=True)
        if listed is None or id_ in listed
    ]
    return RowCategories(Counter(name for _, name in rows), [id_ for id_, name in rows if not name][:FIRST])
