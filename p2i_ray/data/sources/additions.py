"""Rows that are new in a source of which a folder holds some already, and what becomes of the others."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from p2i_ray.data import mapped_rows
from p2i_ray.data.schema import REJECTED, REJECTED_SCHEMA
from p2i_ray.data.sources import ledger
from p2i_ray.data.sources.repeats import pictures_of
from p2i_ray.data.sources.rows import INSIDE, id_of
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations, parquet, spilled

if TYPE_CHECKING:
    import pyarrow as pa


BY_PLACE = rf"(\.parquet|\.arrow|\.tar){INSIDE}"  # in front of a picture's place


class Divided(NamedTuple):
    """Outcomes of a source's rows: a mask each over all rows; one that can't be used is in none."""

    new: pa.ChunkedArray
    there: pa.ChunkedArray  # in a split already
    taken: pa.ChunkedArray  # new, and its id is that of another picture, which the source still has


def divide(rows: pa.Table, before: pa.Table) -> Divided:
    """Tell rows that are new, and rows that are known by their pictures or ids.

    A picture that is there stays the row that it is, whatever its id is now: a list that numbers a product's pictures
    gives each another one where a new one comes first. A row whose id is there shows its product anew, unless the
    source still has the picture that has the id.

    Args:
        rows: of the source.
        before: the ledger's lines.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    usable = pc.is_null(rows["reason"])
    pictures = pictures_of(rows)
    shown = pc.and_(usable, pc.and_not(_among(pictures, before["file"]), by_place(pictures)))
    named = pc.and_(pc.and_not(usable, shown), _among(rows["id"], before["id"]))
    taken = named.to_numpy().copy()
    if taken.any():
        lines = pc.index_in(rows["id"].filter(named), value_set=before["id"])
        owners = mapped_rows.some(before, lines.to_numpy())["file"]
        taken[taken] = pc.and_not(_among(owners, pictures.filter(usable)), by_place(owners)).to_numpy()
    is_taken = pa.chunked_array([pa.array(taken)])
    there = pc.or_(shown, pc.and_not(named, is_taken))
    return Divided(pc.and_not(usable, there), there, is_taken)


def changed(there: pa.Table, before: pa.Table) -> pa.Table:
    """Lines of rows that are there, with the files, group, name or category that the source has now: another one.

    A new row may show their product by what they are called now, as well as by what they were called.
    """
    return spilled.table(_changed(there, before), ledger.schema())


def gone(rows: pa.Table, before: pa.Table) -> int:
    """Number of rows that are there and that the source no longer has."""
    import pyarrow.compute as pc

    if not before.num_rows:
        return 0
    pictures = pictures_of(rows)
    shown = pc.and_not(_among(before["file"], pictures), by_place(before["file"]))
    return len(before["id"].filter(pc.invert(pc.or_(shown, _among(before["id"], rows["id"])))).unique())


def as_lines(rows: pa.Table) -> pa.Table:
    """Rows with fingerprint, scene, product and split as lines of the ledger, whose types they have when written."""
    lines = _from_source(rows)
    for column in ledger.schema().names[len(ledger.FROM_SOURCE) :]:
        lines = lines.append_column(column, rows[column])
    return lines


def rejected_elsewhere(rows: pa.Table, out: str) -> pa.Table:
    """Rows that earlier ingestions set aside and that the source no longer has, by id and by file; they stay there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folder = locations.join(out, REJECTED)
    names = folders.names(folder, ".parquet")
    if not names:
        return REJECTED_SCHEMA.empty_table()
    old = parquet.read_parquet(folder, names).select(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA)
    is_there = np.zeros(old.num_rows, np.bool_)
    for some in mapped_rows.pieces(rows):
        lines = aside(some, some["reason"])
        same = pc.and_not(_among(old["source"], lines["source"]), by_place(old["source"]))
        is_there |= pc.or_(_among(old["id"], lines["id"]), same).to_numpy()
    return old.filter(pa.array(~is_there))


def aside(rows: pa.Table, reasons: pa.ChunkedArray) -> pa.Table:
    """Rows of the source as rows of rejected/, as tasks.set_aside makes them.

    Args:
        rows: of the source.
        reasons: of each.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    sources = [pc.if_else(pc.equal(rows[column], ""), None, rows[column]) for column in ("file", "cutout", "origin")]
    return pa.table([rows["id"], pc.coalesce(*sources, ""), reasons], schema=REJECTED_SCHEMA)


def by_place(pictures: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each picture is known by its place in a table or tar, which says nothing: what is in front moves it."""
    import pyarrow.compute as pc

    found = pc.match_substring_regex(pictures, BY_PLACE, ignore_case=True)
    return pc.fill_null(found, False)


def check_ids(rows: pa.Table, out: str) -> None:
    """Raise a UserError if rows of tables are there under ids of their places, which they had in earlier versions.

    Args:
        rows: of the source.
        out: folder of the earlier ingestion.
    """
    import pyarrow.compute as pc

    if not any(pc.any(by_place(pictures_of(some))).as_py() for some in mapped_rows.pieces(rows)):
        return
    before = ledger.read(out).select(["id", "file"])
    cells = before.filter(by_place(before["file"]))
    if any(line["id"] == id_of(line["file"]) for batch in cells.to_batches() for line in batch.to_pylist()):
        raise UserError(
            f"out {out} has rows of tables without ids, from a version that knew them by their places there; now they "
            "are known by their pictures: ingest all of them into a new folder"
        )


def _changed(there: pa.Table, before: pa.Table) -> Iterator[pa.Table]:
    """See `changed`; some rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pictures = pictures_of(there)
    by_picture = pc.index_in(pictures, value_set=before["file"])
    by_picture = pc.if_else(by_place(pictures), None, by_picture)
    places = pc.coalesce(by_picture, pc.index_in(there["id"], value_set=before["id"]))
    for some, place in zip(mapped_rows.pieces(there), mapped_rows.pieces(places), strict=True):
        was, now = mapped_rows.some(before, place.to_numpy()), _from_source(some)
        differ = {
            name: pc.or_(pc.xor(a.is_null(), b.is_null()), pc.fill_null(pc.not_equal(a, b), False))
            for name, a, b in ((name, now[name], was[name]) for name in ledger.FROM_SOURCE if name != "id")
        }
        for name in ("file", *ledger.BESIDE):
            differ[name] = pc.and_not(differ[name], by_place(now[name]))
        for name in ledger.BESIDE:
            differ[name] = pc.and_(differ[name], pc.is_valid(was[name]))
        kept = {"id", *ledger.schema().names[len(ledger.FROM_SOURCE) :]}
        lines = {name: (was if name in kept else now)[name] for name in ledger.schema().names}
        yield pa.table(lines, schema=ledger.schema()).filter(functools.reduce(pc.or_, differ.values()))


def _from_source(rows: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {name: rows[name] for name in ledger.FROM_SOURCE} | {"file": pictures_of(rows)}
    return pa.table(columns | {name: pc.fill_null(rows[name], "") for name in ledger.BESIDE})


def _among(values: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each value is one of those that are known."""
    import pyarrow.compute as pc

    return pc.is_in(values, value_set=known)
