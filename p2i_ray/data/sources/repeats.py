"""Rows that name the photo or have the id of an earlier row: they are set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import text_columns

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "duplicate file: an earlier row has it"
ID = "duplicate id: an earlier row has it"


def set_aside(rows: pa.Table, hashes: NDArray[np.int64]) -> pa.Table:
    """Rows with a reason for each that repeats an earlier one; a row that has a reason itself is none to repeat.

    Args:
        rows: of a source, with the reason of those that can't be used.
        hashes: of the picture that each row is known by, and of its id, (N, 2), equal where those are.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    usable = pc.is_null(rows["reason"]).to_numpy()
    # A row whose hashes no other has can neither repeat one nor be repeated.
    places = np.flatnonzero(usable & (_several(hashes[:, 0], usable) | _several(hashes[:, 1], usable)))
    if not len(places):
        return rows
    some = rows.select(["id", "file", "cutout"]).take(pa.array(places))
    (files, names), (ids, texts) = text_columns.encode(pictures_of(some)), text_columns.encode(some["id"])
    taken, has = bytearray(len(names)), bytearray(len(texts))
    found = np.full(rows.num_rows, -1, np.int32)
    for start in range(0, len(places), text_columns.BATCH):
        end = start + text_columns.BATCH
        for place, file, id in zip(
            places[start:end].tolist(), files[start:end].tolist(), ids[start:end].tolist(), strict=True
        ):
            if taken[file]:
                found[place] = 0
            elif has[id]:
                found[place] = 1
            else:
                taken[file] = has[id] = True
    repeated = text_columns.as_column(found, pa.array([FILE, ID])).cast(pa.string())
    column = rows.column_names.index("reason")
    return rows.set_column(column, rows.schema.field(column), pc.coalesce(rows["reason"], repeated))


def pictures_of(rows: pa.Table) -> pa.ChunkedArray:
    """The file that each row is known by."""
    import pyarrow.compute as pc

    if not rows["cutout"].length() - rows["cutout"].null_count:
        return rows["file"]
    return pc.if_else(pc.not_equal(rows["file"], ""), rows["file"], rows["cutout"])


def _several(hashes: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether another usable row has the same hash."""
    order = np.argsort(hashes)
    order = order[usable[order]]
    same = hashes[order[1:]] == hashes[order[:-1]]
    found = np.zeros(len(hashes), np.bool_)
    found[order[1:][same]] = found[order[:-1][same]] = True
    return found
