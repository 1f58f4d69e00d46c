"""Read EPBD from disk or bucket as a Ray Dataset: rows stream through the workers, the driver sees footers only."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster.resources import READ
from p2i_ray.data.schema import IMAGE, SCHEMA, SPLITS
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray.data

FOOTERS_AT_ONCE = 16
# Ray would read columns from folders named key=value, and leave out files whose path has a ? as not ending in .parquet.
_AS_LISTED: dict[str, Any] = {"num_cpus": READ.cpus, "partitioning": None, "file_extensions": None}


def read_split(
    data: str, split: str, keep: str | None = None, columns: Sequence[str] | None = None
) -> ray.data.Dataset:
    """Stream the rows of a split: id, name, category, image and cutout (structs {bytes, path}).

    Args:
        data: EPBD folder, a path or URI that all nodes reach.
        split: train, validation, test or test_unseen.
        keep: location of a Parquet file whose column `id` lists the rows to keep; None keeps all. Workers read it.
        columns: those wanted; None: all five.

    Raises:
        UserError: the folder, split or keep file isn't there or is empty, or a column is lacking or of another type.
    """
    import ray.data

    files = split_files(data, split)
    wanted = list(columns or SCHEMA.names)
    read = wanted if not keep or "id" in wanted else ["id", *wanted]
    for file, footer in zip(files, _footers(files), strict=True):
        _check(file, footer.schema.to_arrow_schema(), read)
    filesystem, paths = _for_arrow(files)
    rows = ray.data.read_parquet(paths, filesystem=filesystem, columns=read, **_AS_LISTED)
    if not keep:
        return rows
    version = _version(keep)
    return rows.map_batches(
        _keep_listed,  # type: ignore[arg-type]  # Ray types a batch as any of its formats
        fn_kwargs={"keep": keep, "version": version, "columns": wanted},
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
        num_cpus=READ.cpus,
    )


def read_files(folder: str, names: Sequence[str]) -> ray.data.Dataset:
    """Stream the rows of the files that a step's manifest lists, with all their columns.

    Args:
        folder: the step's output folder.
        names: of the files that the manifest lists; other files there were left by a killed attempt.

    Raises:
        UserError: one is no Parquet file, maybe half of one.
    """
    import ray.data

    files = [locations.join(folder, name) for name in names]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        list(pool.map(_footer, files))
    filesystem, paths = _for_arrow(files)
    return ray.data.read_parquet(paths, filesystem=filesystem, **_AS_LISTED)


def count(data: str, split: str) -> int:
    """The number of rows of a split, from the footers of its files."""
    return sum(footer.num_rows for footer in _footers(split_files(data, split)))


def count_scenes(data: str, split: str) -> int:
    """The number of rows of a split with a picture of the product in a scene, from the footers of its files.

    A file whose footer counts no nulls is taken to have one in every row.
    """
    return sum(_filled(footer, "image.bytes") for footer in _footers(split_files(data, split)))


def _filled(footer: pq.FileMetaData, column: str) -> int:
    """Rows that have a value in a column, which is named as Parquet names it."""
    empty = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema == column and chunk.statistics and chunk.statistics.has_null_count:
                empty += chunk.statistics.null_count
    return footer.num_rows - empty


def count_listed(data: str, split: str, keep: str) -> int:
    """The number of rows of a split that a keep file lists.

    Raises:
        UserError: the keep file isn't there, has no column `id`, or lists no row of the split.
    """
    _version(keep)
    listed = set(ids_of(keep))
    found = sum(row in listed for file in split_files(data, split) for row in ids_of(file))
    if not found:
        raise UserError(f"keep {keep} lists {len(listed)} ids, none of them in {split} of {data}; is it another set's?")
    return found


def split_files(data: str, split: str) -> list[str]:
    """The Parquet files of a split, sorted.

    Raises:
        UserError: no such folder or split, or it is empty; the message lists the splits that are there.
    """
    if split not in SPLITS:
        raise UserError(f"split {split!r} is none of {', '.join(SPLITS)}")
    if not locations.exists(data):
        raise UserError(f"data {data} is not there; jobs/ingest.py makes such a folder from photos")
    found = locations.files(locations.join(data, split), ".parquet")
    if not found:
        others = [other for other in SPLITS if locations.files(locations.join(data, other), ".parquet")]
        has = f"it has {', '.join(others)}" if others else "and no other split; is it an EPBD folder?"
        raise UserError(f"data {data} has no split {split!r} ({split}/*.parquet); {has}")
    return found


def _footers(files: list[str]) -> list[pq.FileMetaData]:
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        footers = list(pool.map(_footer, files))
    if not any(footer.num_rows for footer in footers):
        raise UserError(f"{files[0].rpartition('/')[0]} has no rows")
    return footers


def _footer(file: str) -> pq.FileMetaData:
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    try:
        with filesystem.open(path, "rb") as opened:
            return pq.read_metadata(opened)
    except pa.ArrowInvalid as error:
        raise UserError(f"{file} is no Parquet file: {str(error).splitlines()[0]}") from None


def _check(file: str, schema: pa.Schema, columns: Sequence[str]) -> None:
    import pyarrow as pa

    lacking = [column for column in columns if column not in schema.names]
    if lacking:
        raise UserError(f"{file} lacks the column {', '.join(lacking)}; it has {', '.join(schema.names)}")
    for column in columns:
        kind = schema.field(column).type
        is_picture = column in SCHEMA.names and SCHEMA.field(column).type == IMAGE
        if is_picture and not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
            raise UserError(f"{file}: column {column} must be an image struct {{bytes, path}}, not {kind}")


def _for_arrow(files: list[str]) -> tuple[Any, list[str]]:
    opened = [locations.open_for_arrow(file) for file in files]
    return opened[0][0], [path for _, path in opened]


def _keep_listed(batch: pa.Table, keep: str, version: str, columns: list[str]) -> pa.Table:
    import pyarrow.compute as pc

    return batch.filter(pc.is_in(batch["id"], value_set=_listed(keep, version))).select(columns)


@functools.lru_cache(maxsize=4)
def _listed(keep: str, version: str) -> Any:
    """The ids of a keep file, cached; `version` changes when the file is rewritten."""
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(keep)
    return pq.read_table(path, columns=["id"], filesystem=filesystem)["id"].combine_chunks()


def _version(keep: str) -> str:
    found = locations.kind(keep)
    if found is None:
        raise UserError(f"keep {keep} is not there; it is a Parquet file with a column id")
    if found == "directory":
        raise UserError(f"keep {keep} is a folder; name a Parquet file with a column id")
    schema = _footer(keep).schema.to_arrow_schema()
    if "id" not in schema.names:
        raise UserError(f"keep {keep} lacks the column id; it has {', '.join(schema.names)}")
    filesystem, path = locations.open_location(keep)
    return str(filesystem.ukey(path))


def ids_of(file: str) -> list[str]:
    """The ids in a Parquet file, in order."""
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    return list(pq.read_table(path, columns=["id"], filesystem=filesystem)["id"].to_pylist())


def rows_of(file: str, ids: Sequence[str], columns: Sequence[str], batch_size: int) -> Iterator[pa.Table]:
    """Yield the rows of one Parquet file that have these ids, read in this process `batch_size` rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    wanted = pa.array(ids, pa.string())
    with filesystem.open(path, "rb") as content:
        for batch in pq.ParquetFile(content).iter_batches(batch_size=batch_size, columns=list(columns)):
            chosen = batch.filter(pc.is_in(batch["id"], value_set=wanted))
            if chosen.num_rows:
                yield pa.Table.from_batches([chosen])
