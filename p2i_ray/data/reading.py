"""Read EPBD from disk or bucket as a Ray Dataset: rows stream through the workers, the driver sees footers only."""

from __future__ import annotations

import bisect
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster.resources import READ
from p2i_ray.data import conform, footers
from p2i_ray.data.footers import count as count
from p2i_ray.data.footers import count_scenes as count_scenes
from p2i_ray.data.footers import split_files as split_files
from p2i_ray.data.schema import SCHEMA
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray.data

ROWS_READ = 64  # rows with pictures that are in memory at once
# Ray would read columns from folders named key=value, and leave out files whose path has a ? as not ending in .parquet.
_AS_LISTED: dict[str, Any] = {"ray_remote_args": READ.task_options(), "partitioning": None, "file_extensions": None}


def read_split(
    data: str, split: str, keep: str | None = None, columns: Sequence[str] | None = None
) -> ray.data.Dataset:
    """Stream the rows of a split: id, name, category, image and cutout (structs {bytes, path}).

    Files may have other types than EPBD's own, and each file its own, and names and categories may be null: see
    conform.

    Args:
        data: EPBD folder, a path or URI that all nodes reach.
        split: train, validation, test or test_unseen.
        keep: location of a Parquet file whose column `id` lists the rows to keep; None keeps all. Workers read it.
        columns: those wanted; None: all five.

    Raises:
        UserError: the folder, split or keep file isn't there or is empty, a column is lacking or of a type that can't
            be read, or rows have no id.
    """
    files = split_files(data, split)
    wanted = list(columns or SCHEMA.names)
    read = wanted if not keep or "id" in wanted else ["id", *wanted]
    checked = footers.each(files, lambda file, footer: _checked(file, footer, read))
    own, foreign = [], []
    for file, (is_own, groups) in zip(files, checked, strict=True):
        if is_own:
            own.append(file)
        else:
            foreign += [{"file": file, "group": group} for group in range(groups)]
    parts = ([_read_own(own, read)] if own else []) + ([_read_foreign(foreign, read)] if foreign else [])
    rows = parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]
    if not keep:
        return rows
    version = _version(keep)
    return rows.map_batches(
        _keep_listed,  # type: ignore[arg-type]  # Ray types a batch as any of its formats
        fn_kwargs={"keep": keep, "version": version, "columns": wanted},
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
        **READ.task_options(),
    )


def _checked(file: str, footer: pq.FileMetaData, columns: list[str]) -> tuple[bool, int]:
    """Whether nothing of a file must be conformed, and how many row groups it has."""
    schema = footers.check(file, footer, columns)
    is_filled = not any(footers.has_nulls(footer, column) for column in conform.FILLED if column in columns)
    return is_filled and conform.is_own(schema, columns), footer.num_row_groups


def _read_own(files: list[str], columns: list[str]) -> ray.data.Dataset:
    import ray.data

    filesystem, paths = _for_arrow(files)
    return ray.data.read_parquet(paths, filesystem=filesystem, columns=columns, **_AS_LISTED)


def _read_foreign(groups: list[dict[str, Any]], columns: list[str]) -> ray.data.Dataset:
    """The rows of row groups {file, group} in EPBD's own types; Ray's reader wants one schema, and not every type."""
    import ray.data

    return ray.data.from_items(groups).map_batches(
        _conformed,  # type: ignore[arg-type]  # Ray types a batch as any of its formats
        fn_kwargs={"columns": columns},
        batch_format="pyarrow",
        batch_size=1,
        **READ.task_options(),
    )


def _conformed(groups: pa.Table, columns: list[str]) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for row in groups.to_pylist():
        filesystem, path = locations.open_location(row["file"])
        with filesystem.open(path, "rb") as content:
            batches = pq.ParquetFile(content).iter_batches(ROWS_READ, row_groups=[row["group"]], columns=columns)
            for batch in batches:
                yield conform.conform(pa.Table.from_batches([batch]))


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
    with ThreadPoolExecutor(footers.AT_ONCE) as pool:
        list(pool.map(footers.read, files))
    filesystem, paths = _for_arrow(files)
    return ray.data.read_parquet(paths, filesystem=filesystem, **_AS_LISTED)


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


def _for_arrow(files: list[str]) -> tuple[Any, list[str]]:
    opened = [locations.open_for_arrow(file) for file in files]
    return opened[0][0], [path for _, path in opened]


def _keep_listed(batch: pa.Table, keep: str, version: str, columns: list[str]) -> pa.Table:
    import pyarrow as pa

    # Not `is_in`, which would make a hash table of all listed ids for every batch.
    listed = _listed(keep, version)
    chosen = [_is_listed(id_, listed) for id_ in batch["id"].to_pylist()]
    return batch.filter(pa.array(chosen, pa.bool_())).select(columns)


def _is_listed(id_: str, listed: pa.Array) -> bool:
    """Whether an id is among sorted ones; Arrow sorts by UTF-8 bytes, which is Python's order of strings."""
    place = bisect.bisect_left(listed, id_, key=lambda scalar: scalar.as_py())
    return place < len(listed) and listed[place].as_py() == id_


@functools.lru_cache(maxsize=4)
def _listed(keep: str, version: str) -> pa.Array:
    """The ids of a keep file, sorted, cached; `version` changes when the file is rewritten."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(keep)
    ids = conform.as_text(pq.read_table(path, columns=["id"], filesystem=filesystem)["id"])
    return ids.cast(pa.large_string()).drop_null().combine_chunks().sort()  # large: may be 2 GB


def check_keep(keep: str) -> None:
    """Raise a UserError unless a keep list is there, and has ids."""
    _version(keep)


def _version(keep: str) -> str:
    found = locations.kind(keep)
    if found is None:
        raise UserError(f"keep {keep} is not there; it is a Parquet file with a column id")
    if found == "directory":
        raise UserError(f"keep {keep} is a folder; name a Parquet file with a column id")
    schema = footers.read(keep).schema.to_arrow_schema()
    if "id" not in schema.names:
        raise UserError(f"keep {keep} lacks the column id; it has {', '.join(schema.names)}")
    filesystem, path = locations.open_location(keep)
    return str(filesystem.ukey(path))


def ids_of(file: str) -> list[str]:
    """The ids in a Parquet file, in order, as text."""
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    return list(conform.as_text(pq.read_table(path, columns=["id"], filesystem=filesystem)["id"]).to_pylist())


def check_ids(data: str, split: str) -> None:
    """Check that each row of a split has an id of its own: what is known of rows is kept by their ids.

    Raises:
        UserError: several rows have the same, or some have none.
    """
    files = split_files(data, split)
    footers.each(files, lambda file, footer: footers.check(file, footer, ["id"]))
    found = Counter(id_ for file in files for id_ in ids_of(file))
    id_, rows = found.most_common(1)[0]
    if rows > 1:
        raise UserError(f"data {data}: {rows} rows of {split} have the id {id_}; give each row one of its own")


def rows_of(file: str, ids: Sequence[str], columns: Sequence[str], batch_size: int) -> Iterator[pa.Table]:
    """Yield the rows of one Parquet file that have these ids, read in this process `batch_size` rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    wanted = pa.array(ids, pa.string())
    with filesystem.open(path, "rb") as content:
        for batch in pq.ParquetFile(content).iter_batches(batch_size=batch_size, columns=list(columns)):
            rows = conform.conform(pa.Table.from_batches([batch]))
            chosen = rows.filter(pc.is_in(rows["id"], value_set=wanted))
            if chosen.num_rows:
                yield chosen
