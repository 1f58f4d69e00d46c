"""Rows of a table that are looked up, left out or made anew a piece at a time, and mapped from a temporary file.

Each of Arrow's own functions for that would make the whole result in memory, and `take` a copy of all chunks besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa

Rows = TypeVar("Rows", bound="pa.Table | pa.ChunkedArray")


def pieces(rows: Rows) -> Iterator[Rows]:
    """The rows of a table, or the values of a column, some at a time."""
    for start in range(0, len(rows), spilled.ROWS):
        yield rows.slice(start, spilled.ROWS)


def column(made: Iterable[pa.Array | pa.ChunkedArray], kind: pa.DataType) -> pa.ChunkedArray:
    """A column of this type whose pieces are written as they come."""
    import pyarrow as pa

    schema = pa.schema([("column", kind)])
    return spilled.table((pa.table([piece], schema=schema) for piece in made), schema)["column"]


def take(rows: pa.Table, places: NDArray[np.integer]) -> pa.Table:
    """Rows of a table without dictionaries by their places, in that order."""
    starts = range(0, len(places), spilled.ROWS)
    return spilled.table((some(rows, places[start : start + spilled.ROWS]) for start in starts), rows.schema)


def some(rows: pa.Table, places: NDArray[np.integer]) -> pa.Table:
    """A few rows of a table by their places, in that order, in memory."""
    import pyarrow as pa

    order = np.argsort(places, kind="stable")
    ascending = places[order]
    parts, start = [], 0
    for batch in rows.to_batches():
        end = start + batch.num_rows
        own = ascending[slice(*np.searchsorted(ascending, [start, end]))]
        if len(own):
            parts.append(batch.take(pa.array(own - start)))
        start = end
    if not parts:
        return rows.schema.empty_table()
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.Table.from_batches(parts).combine_chunks().take(pa.array(back))


def where(rows: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    """The rows for which a mask is true; the table itself where it is for all.

    Text and bytes are mapped. Numbers, also those of dictionaries, are in memory, in one piece.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.all(mask, min_count=0).as_py():
        return rows
    long = rows.select([name for name in rows.column_names if not _is_number(rows.schema.field(name).type)])
    starts = range(0, rows.num_rows, spilled.ROWS)
    kept = (long.slice(start, spilled.ROWS).filter(mask.slice(start, spilled.ROWS)) for start in starts)
    written = spilled.table(kept, long.schema) if long.num_columns else long
    columns = {
        name: written[name] if name in long.column_names else rows[name].filter(mask).combine_chunks()
        for name in rows.column_names
    }
    return pa.table(columns, schema=rows.schema)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_primitive(kind) or pa.types.is_dictionary(kind))
