"""The rows to train on, joined from a step's index and the shards that runs share.

    <step's folder>/part-*.parquet                                      the index: each row's id, name, key and shard
    <cache>/<fingerprint of VAE, CLIP and resolution>/part-*.parquet    the shards: features by key

encode.py writes both.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.diffusion.features import schema
from p2i_ray.diffusion.features.shards import FILES_AT_ONCE, UnusableError, opened, read
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

NAMED = 3  # ids in the line of an error


@dataclass(frozen=True)
class FeatureIndex:
    """The locations of some rows' features.

    Attributes:
        index: location of the folder of the index files.
        files: the names of those that count.
        shards: location of the folder of the shards.
        pictures: whether rows have pictures, masks and categories as well, for generators.
    """

    index: str
    files: list[str]
    shards: str
    pictures: bool = False

    @property
    def columns(self) -> schema.Columns:
        """Of its files."""
        return schema.columns(pictures=self.pictures)


def count(features: FeatureIndex, keep: str | None) -> int:
    """Number of rows to train on: kept, and not set aside.

    Args:
        features: of the rows.
        keep: location of a Parquet file whose `id` column lists the rows to keep; none: all.

    Raises:
        UserError: a file of the index can't be used, or `keep` lists a row that the index doesn't have.
    """
    return int(_usable(features, keep, []).num_rows)


def ids(features: FeatureIndex, keep: str | None) -> pa.LargeStringArray:
    """The ids of the rows to train on, sorted; see `count`. As Arrow has them, since there may be very many."""
    return _sorted(_usable(features, keep, []))


def by_size(features: FeatureIndex, keep: str | None) -> dict[str, pa.LargeStringArray]:
    """The ids of the rows to train on, sorted, by the size of their pictures, as in 512x512; see `count`.

    An index of an earlier version has no sizes: all rows are then under one empty name.
    """
    rows = _usable(features, keep, ["size"] if _has_sizes(features) else [])
    if "size" not in rows.column_names:
        return {"": _sorted(rows)}
    found = sorted(rows["size"].unique().to_pylist())
    return {size: _sorted(rows.filter(pc.equal(rows["size"], size))) for size in found}


def _sorted(rows: pa.Table) -> pa.LargeStringArray:
    return rows["id"].cast(pa.large_string()).combine_chunks().sort()  # large: may be 2 GB


def _has_sizes(features: FeatureIndex) -> bool:
    """Whether the index says how large pictures are; what is wrong with a file is said where its rows are read."""
    try:
        with opened(locations.join(features.index, features.files[0]), pa.schema([])) as file:
            return "size" in file.schema_arrow.names
    except UnusableError:
        return False


def categories(features: FeatureIndex, keep: str | None) -> dict[str, int]:
    """The rows to train on of each category, by its name, sorted; of an index with pictures.

    A row without a category counts under an empty name. See `count`.
    """
    found = _usable(features, keep, ["category"])["category"].fill_null("").value_counts()
    return dict(sorted((one["values"].as_py(), one["counts"].as_py()) for one in found))


def row_bytes(features: FeatureIndex) -> int:
    """The size of a row's features, about.

    Raises:
        UserError: there are none, or a shard can't be read.
    """
    for file in folders.files(features.shards, ".parquet"):
        try:
            with opened(file, features.columns.shard) as shard:
                group = shard.metadata.row_group(0)
        except UnusableError as error:
            raise UserError(f"{error}; it should hold features: {_again(features, file)}") from None
        return int(group.total_byte_size // group.num_rows)
    raise UserError(f"{features.shards} has no features; {_again(features)}")


def check(features: FeatureIndex, keep: str | None) -> None:
    """Find out before anything starts whether the features of all rows are there, without reading them.

    Raises:
        UserError: as `batches`, but for what only reading all of a shard shows.
    """

    def look(part: tuple[str, pa.Table]) -> None:
        shard, rows = part
        file = locations.join(features.shards, shard)
        try:
            with opened(file, features.columns.shard) as content:
                keys = content.read(columns=["key"])["key"]
        except UnusableError as error:
            raise _unusable(features, file, rows, error) from None
        _demand(features, file, rows.filter(pc.invert(pc.is_in(rows["key"], value_set=keys))))

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        list(pool.map(look, _by_shard(features, keep)))


def batches(features: FeatureIndex, keep: str | None) -> Iterator[pa.RecordBatch]:
    """The rows to train on, with the columns of schema.columns().features, in any order.

    Memory holds the index and a part of one shard. Shards that nobody needs are not opened.

    Raises:
        UserError: as `count`, or a shard is gone, broken, or has not what it should.
    """
    for shard, rows in _by_shard(features, keep):
        yield from _join(features, shard, rows)


def _by_shard(features: FeatureIndex, keep: str | None) -> Iterator[tuple[str, pa.Table]]:
    """The shards that are needed, and the index rows (id, name, category, key) whose features each has."""
    rows = _usable(features, keep, [*_of_rows(features), "key", "shard"]).sort_by("shard")
    runs = pc.run_end_encode(rows["shard"].combine_chunks())
    start = 0
    for shard, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield shard, rows.slice(start, end - start)
        start = end


def _usable(features: FeatureIndex, keep: str | None, columns: list[str]) -> pa.Table:
    """Ids and these columns of the index's rows that are kept and not set aside."""
    wanted = pa.schema([features.columns.index.field(name) for name in ("id", *columns, "error")])
    parts: list[pa.RecordBatch] = []
    try:
        for name in features.files:
            parts += read(locations.join(features.index, name), wanted)
    except UnusableError as error:
        raise UserError(f"{error}; it lists which rows are encoded: {_again(features)}") from None
    rows = pa.Table.from_batches(parts, wanted)
    good = pc.is_null(rows["error"])
    if keep is not None:
        kept = _kept(keep)
        unknown = kept.filter(pc.invert(pc.is_in(kept, value_set=rows["id"])))
        if len(unknown):
            raise UserError(
                f"{keep} lists {_named(unknown)}, of which {features.index} knows nothing; list rows of the data that "
                f"was encoded, or {_again(features)}"
            )
        good = pc.and_(good, pc.is_in(rows["id"], value_set=kept))
    return rows.filter(good)


def _of_rows(features: FeatureIndex) -> list[str]:
    """Columns of a row, beside its id, that training gets from the index."""
    return ["name", *(["category"] if features.pictures else [])]


def _kept(keep: str) -> pa.Array:
    column = pa.schema([("id", pa.string())])
    try:
        return pa.Table.from_batches(read(keep, column), column)["id"].combine_chunks()
    except UnusableError as error:
        raise UserError(f"{error}; it is a Parquet file whose column id lists the rows to train on") from None


def _join(features: FeatureIndex, shard: str, rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Index rows with their features from one shard."""
    file = locations.join(features.shards, shard)
    keys = rows["key"].combine_chunks()
    found = np.zeros(len(keys), bool)
    try:
        for batch in read(file, features.columns.shard):
            places = pc.index_in(keys, value_set=batch["key"])  # two rows may have the same key
            here = places.is_valid().to_numpy(zero_copy_only=False) & ~found
            if not here.any():
                continue
            found |= here
            mask = pa.array(here)
            columns = dict(zip(batch.schema.names, batch.take(places.filter(mask)).columns, strict=True))
            columns |= {name: rows[name].combine_chunks().filter(mask) for name in ("id", *_of_rows(features))}
            joined = features.columns.features
            yield pa.record_batch([columns[name] for name in joined.names], schema=joined)
    except UnusableError as error:
        raise _unusable(features, file, rows, error) from None
    _demand(features, file, rows.filter(pa.array(~found)))


def _unusable(features: FeatureIndex, file: str, rows: pa.Table, why: UnusableError) -> UserError:
    return UserError(f"{why}; it has the features of {_named(rows['id'])}: {_again(features, file)}")


def _demand(features: FeatureIndex, file: str, lost: pa.Table) -> None:
    if lost.num_rows:
        raise UserError(f"{file} has no features of {_named(lost['id'])}, though the index says so: {_again(features)}")


def _again(features: FeatureIndex, broken: str | None = None) -> str:
    """Advice against it."""
    also = f"{broken} and " if broken and locations.exists(broken) else ""
    return f"remove {also}{features.index}, and run again to encode what is missing"


def _named(ids: pa.Array | pa.ChunkedArray) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids.slice(0, NAMED).to_pylist()) + more
