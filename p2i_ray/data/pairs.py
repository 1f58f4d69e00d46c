"""Join the pairs of BG-Pair: an ingested pair is two rows, and painting in a reference's style reads it from one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.data import reading
from p2i_ray.data.schema import REFERENCES, SCHEMA
from p2i_ray.data.statistics import splits_of
from p2i_ray.errors import UserError
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = "-reference"  # of the id of a pair's second row, as sources/bg60k.py gives it
SPLIT = "test"  # that joined pairs are written to: all of them are for testing
BATCH = 64  # rows that are read at a time


class Joined(NamedTuple):
    """What became of the pairs."""

    pairs: int  # written
    alone: tuple[str, ...]  # ids of rows whose other one isn't there


def join(data: str, out: str, progress: parquet.Progress | None = None) -> Joined:
    """Write each product once, with its pair's other row in the columns `reference` and `reference_cutout`.

    The pairs of all splits are written into one.

    Args:
        data: location of the EPBD folder.
        out: location of the folder to write.
        progress: called with the number of pairs just written.

    Raises:
        UserError: it has no pairs.
    """
    files = [file for split in splits_of(data) for file in reading.split_files(data, split)]
    place = {id_: file for file in files for id_ in reading.ids_of(file)}
    whole = [id_ for id_ in place if not id_.endswith(SUFFIX) and f"{id_}{SUFFIX}" in place]
    if not whole:
        raise UserError(f"{data} has no pairs: no row whose id is another one's and {SUFFIX}; ingest bgpair_info.txt")
    joined = set(whole)
    for start in range(0, len(whole), BATCH):
        ids = whole[start : start + BATCH]
        table = _joined(ids, place)
        parquet.write_table(table, locations.join(out, SPLIT, f"part-{start // BATCH:05}.parquet"))
        if progress:
            progress(len(ids))
    alone = tuple(id_ for id_ in place if id_.removesuffix(SUFFIX) not in joined)
    return Joined(len(whole), alone)


def _joined(ids: list[str], place: dict[str, str]) -> pa.Table:
    """Rows with their references, (len(ids),)."""
    import pyarrow as pa

    products = pa.concat_tables(_rows(ids, place, SCHEMA.names))
    others = pa.concat_tables(_rows([f"{id_}{SUFFIX}" for id_ in ids], place, ["id", "image", "cutout"]))
    order = {id_: row for row, id_ in enumerate(others["id"].to_pylist())}
    others = others.take([order[f"{id_}{SUFFIX}"] for id_ in products["id"].to_pylist()])
    for field, column in zip(REFERENCES, ("image", "cutout"), strict=True):
        products = products.append_column(field, others[column].cast(field.type))
    return products


def _rows(ids: list[str], place: dict[str, str], columns: list[str]) -> Iterator[pa.Table]:
    for file in dict.fromkeys(place[id_] for id_ in ids):
        yield from reading.rows_of(file, [id_ for id_ in ids if place[id_] == file], columns, BATCH)
