"""Write a Ray Dataset to Parquet files, with progress, and with only counts on the driver.

Workers write files under unique names and return one small row per file. The driver adds these up while they stream
in; the caller's manifest then lists the files that count, so files of an attempt that died are never read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import folders, locations, spilled

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

Progress = Callable[[int], None]
WRITE_CPUS = 0.1  # of a writing task: it mostly waits for disks, and must find room beside all other tasks
# Of a task whose process died. Ray Data's default is for ever, and a row that ends its process would loop.
RETRIES = 4


class Written(NamedTuple):
    """The result of one pass over a dataset."""

    files: list[str]  # names within the folder, sorted
    rows: int
    set_aside: int  # rows whose `error` is not null
    facts: Mapping[str, Any] = MappingProxyType({})  # further results of the pass, JSON values


def write_parquet(
    dataset: ray.data.Dataset,
    folder: str,
    schema: pa.Schema | None = None,
    progress: Progress | None = None,
    *,
    num_cpus: float = WRITE_CPUS,
    rows_per_file: int | None = 1000,
    tally: Sequence[str] = (),
) -> Written:
    """Write every row of a dataset once.

    Args:
        dataset: the rows; a column `error` says why a row was set aside.
        folder: location that all workers reach; created if needed.
        schema: columns to write, in order (none: as they come).
        progress: called with the number of rows of each finished file.
        num_cpus: logical CPUs that a writing task reserves.
        rows_per_file: upper bound of a file, and so of what one writing task holds (none: a block of the dataset).
        tally: boolean columns whose true rows are counted; the counts go into `facts`.
    """
    folders.make_folder(folder)
    counts = dataset.map_batches(
        cast(Any, _write_batch),  # Ray's type has no keyword arguments
        fn_kwargs={"folder": folder, "schema": schema, "tally": tuple(tally)},
        batch_format="pyarrow",
        batch_size=rows_per_file,
        num_cpus=num_cpus,
        max_retries=RETRIES,
    )
    files, rows, set_aside = [], 0, 0
    facts = dict.fromkeys(tally, 0)
    for batch in counts.iter_batches(batch_size=None, batch_format="numpy"):
        for name, count, failed in zip(batch["file"], batch["rows"], batch["set_aside"], strict=True):
            files.append(str(name))
            rows += int(count)
            set_aside += int(failed)
            if progress:
                progress(int(count))
        for column in tally:
            facts[column] += int(batch[column].sum())
    return Written(sorted(files), rows, set_aside, facts)


def write_table(table: pa.Table, location: str, row_group_size: int | None = None) -> None:
    """Write a table into one Parquet file atomically, with row groups of the given size or of pyarrow's default."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, row_group_size=row_group_size)
    locations.write_bytes(location, buffer.getvalue().to_pybytes())


def write_groups(groups: Iterable[pa.Table], location: str, schema: pa.Schema) -> None:
    """Write tables as the row groups of one Parquet file, atomically; one of them is in memory at a time."""
    import pyarrow.parquet as pq

    def write(file: IO[bytes]) -> None:
        with pq.ParquetWriter(file, schema) as writer:
            for group in groups:
                writer.write_table(group)

    locations.write_bytes(location, spilled.written(write))


def read_parquet(folder: str, names: list[str], columns: list[str] | None = None) -> pa.Table:
    """Read the files that a manifest lists into one small table on the driver, sorted by id if there is one.

    Raises:
        UserError: one is no whole Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for name in names:
        filesystem, path = locations.open_location(locations.join(folder, name))
        try:
            tables.append(pq.read_table(path, columns=columns, filesystem=filesystem))
        except pa.ArrowInvalid as error:
            raise UserError(
                f"{locations.join(folder, name)} is no whole Parquet file ({one_line(error)}); restore it from a copy, "
                "or have its step done anew with --redo-from"
            ) from None
    table = pa.concat_tables(tables)
    return table.sort_by("id") if "id" in table.column_names else table


def _write_batch(batch: pa.Table, folder: str, schema: pa.Schema | None, tally: tuple[str, ...]) -> Mapping[str, Any]:
    import pyarrow.compute as pc

    if batch.num_rows == 0:
        none = np.array([], np.int64)
        return {"file": np.array([], object), "rows": none, "set_aside": none, **dict.fromkeys(tally, none)}
    table = _fit(batch, schema) if schema else batch
    name = f"part-{uuid.uuid4().hex}.parquet"
    write_table(table, locations.join(folder, name))
    failed = table.num_rows - table["error"].null_count if "error" in table.column_names else 0
    true = {column: np.array([pc.sum(batch[column]).as_py() or 0]) for column in tally}
    counted = {"rows": np.array([table.num_rows]), "set_aside": np.array([failed])}
    return {"file": np.array([name], object), **counted, **true}


def _fit(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """The schema's columns, cast: a column that is all null in this batch has lost its type."""
    import pyarrow as pa

    return pa.table([batch[field.name].cast(field.type) for field in schema], schema=schema)
