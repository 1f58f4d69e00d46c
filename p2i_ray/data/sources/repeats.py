"""Rows that name the photo or have the id of an earlier row: they are set aside."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from p2i_ray.data import mapped_rows, numbers, text_columns
from p2i_ray.storage import spilled

FILE = "duplicate file: an earlier row has it"
ID = "duplicate id: an earlier row has it"
HASHES = pa.schema([("hash of picture", pa.int64()), ("hash of id", pa.int64())])


def hashes(rows: Iterable[tuple[str, str]]) -> dict[str, NDArray[np.int64]]:
    """Columns of numbers that are equal where the pictures that rows are known by, or their ids, are.

    Args:
        rows: picture and id of each.
    """
    found = np.array([(hash(picture), hash(id)) for picture, id in rows], np.int64).reshape(-1, 2)
    return dict(zip(HASHES.names, found.T, strict=True))


def set_aside(rows: pa.Table, hashed: pa.Table) -> pa.Table:
    """Rows with a reason for each that repeats an earlier one; a row that has a reason itself is none to repeat.

    Args:
        rows: of a source, with the reason of those that can't be used.
        hashed: their hashes, see `hashes`.
    """
    usable = pc.is_null(rows["reason"]).to_numpy()
    # A row whose hashes no other has can neither repeat one nor be repeated.
    several = [_several(column, usable) for column in hashed.columns]
    places = np.flatnonzero(several[0] | several[1])
    if not len(places):
        return rows
    some = mapped_rows.take(rows.select(["id", "file", "cutout"]), places)
    (files, names), (ids, texts) = text_columns.encode(pictures_of(some)), text_columns.encode(some["id"])
    taken, has = bytearray(len(names)), bytearray(len(texts))
    found = numbers.filled(rows.num_rows, -1)
    for own, file_numbers, id_numbers in numbers.views(places, files, ids):
        for place, file, id in zip(own.tolist(), file_numbers.tolist(), id_numbers.tolist(), strict=True):
            if taken[file]:
                found[place] = 0
            elif has[id]:
                found[place] = 1
            else:
                taken[file] = has[id] = True
    kinds = pa.array([FILE, ID])
    reasons = (
        pc.coalesce(reason, text_columns.as_column(own, kinds).cast(pa.string()))
        for (own,), reason in zip(numbers.views(found), mapped_rows.pieces(rows["reason"]), strict=True)
    )
    column = rows.column_names.index("reason")
    return rows.set_column(column, rows.schema.field(column), mapped_rows.column(reasons, pa.string()))


def pictures_of(rows: pa.Table) -> pa.ChunkedArray:
    """The file that each row is known by."""
    if not rows["cutout"].length() - rows["cutout"].null_count:
        return rows["file"]
    return mapped_rows.column(
        (
            pc.if_else(pc.not_equal(some["file"], ""), some["file"], some["cutout"])
            for some in mapped_rows.pieces(rows.select(["file", "cutout"]))
        ),
        pa.string(),
    )


def _several(column: pa.ChunkedArray, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a row is usable, and another usable row has its value."""
    ordered, end = spilled.array(int(np.count_nonzero(usable)), np.int64), 0
    for (counts,), some in zip(numbers.views(usable), mapped_rows.pieces(column), strict=True):
        start, end = end, end + int(np.count_nonzero(counts))
        ordered[start:end] = some.to_numpy()[counts]
    ordered.sort()
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    found = np.zeros(len(usable), np.bool_)
    if len(again):
        for (own, counts), some in zip(numbers.views(found, usable), mapped_rows.pieces(column), strict=True):
            values = some.to_numpy()
            nearest = np.minimum(np.searchsorted(again, values), len(again) - 1)
            own[:] = counts & (again[nearest] == values)
    return found
