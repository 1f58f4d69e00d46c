"""What is new in a source of which a folder holds rows already, and what becomes of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p2i_ray.data.schema import REJECTED
from p2i_ray.data.sources import ledger, tasks
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa


def divide(rows: pa.Table, before: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Rows that are new, those that are in a split already, and those whose picture is there under another id.

    Args:
        rows: usable ones of the source.
        before: the ledger's lines.
    """
    import pyarrow as pa

    ids, files = set(before["id"].to_pylist()), set(before["file"].to_pylist())
    there = [id in ids for id in rows["id"].to_pylist()]
    again = [file in files and not old for file, old in zip(_pictures(rows), there, strict=True)]
    new = [not (old or double) for old, double in zip(there, again, strict=True)]
    first, second, third = (rows.filter(pa.array(mask, pa.bool_())) for mask in (new, there, again))
    return first, second, third


def changed(there: pa.Table, before: pa.Table) -> pa.Table:
    """Lines of rows that are there, with the picture, group, name or category that the source has now: another one.

    A new row may show their product by what they are called now, as well as by what they were called.
    """
    import pyarrow as pa

    was = {line["id"]: line for line in before.to_pylist()}
    now = [{**was[line["id"]], **line} for line in _from_source(there).to_pylist()]
    return pa.Table.from_pylist([line for line in now if line != was[line["id"]]], schema=ledger.schema())


def gone(rows: pa.Table, before: pa.Table) -> int:
    """How many rows are there that the source no longer has."""
    return len(set(before["id"].to_pylist()) - set(rows["id"].to_pylist()))


def as_lines(rows: pa.Table) -> pa.Table:
    """Rows with fingerprint, scene, product and split as lines of the ledger."""
    found = _from_source(rows)
    for column in ledger.schema().names[len(ledger.FROM_SOURCE) :]:
        found = found.append_column(column, rows[column])
    return found.cast(ledger.schema())


def rejected_elsewhere(rows: pa.Table, out: str) -> list[dict[str, Any]]:
    """Rows that earlier ingestions set aside and that the source no longer has, by id and by file; they stay there."""
    folder = locations.join(out, REJECTED)
    names = locations.names(folder, ".parquet")
    if not names:
        return []
    lines = [tasks.set_aside(row, "") for row in rows.to_pylist()]
    ids, sources = {line["id"] for line in lines}, {line["source"] for line in lines}
    old = parquet.read_parquet(folder, names).to_pylist()
    return [line for line in old if line["id"] not in ids and line["source"] not in sources]


def _from_source(rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    pictures = pa.array(_pictures(rows), pa.string())
    return pa.table({name: pictures if name == "file" else rows[name] for name in ledger.FROM_SOURCE})


def _pictures(rows: pa.Table) -> list[str]:
    """The file that each row is known by."""
    return [file or cutout for file, cutout in zip(rows["file"].to_pylist(), rows["cutout"].to_pylist(), strict=True)]
