"""The footers of EPBD's files: the files of a split, their rows and types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from p2i_ray.data import conform
from p2i_ray.data.schema import SPLITS
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

AT_ONCE = 16  # footers
Found = TypeVar("Found")


def split_files(data: str, split: str) -> list[str]:
    """The Parquet files of a split, sorted.

    Raises:
        UserError: no such folder or split, or it is empty; the message lists the splits that are there.
    """
    if split not in SPLITS:
        raise UserError(f"split {split!r} is none of {', '.join(SPLITS)}")
    if not locations.exists(data):
        raise UserError(f"data {data} is not there; jobs/ingest.py makes such a folder from photos")
    found = folders.files(locations.join(data, split), ".parquet")
    if not found:
        others = [other for other in SPLITS if folders.files(locations.join(data, other), ".parquet")]
        has = f"it has {', '.join(others)}" if others else "and no other split; is it an EPBD folder?"
        raise UserError(f"data {data} has no split {split!r} ({split}/*.parquet); {has}")
    return found


def each(files: Sequence[str], look: Callable[[str, pq.FileMetaData], Found]) -> list[Found]:
    """Results of `look` for the footer of each of a split's files, in their order.

    No footer is held: one takes about 35 kB, and there are thousands a million rows.

    Args:
        files: of a split.
        look: called with a file and its footer, by several threads.

    Raises:
        UserError: a file is no Parquet file, or none has rows; and what `look` raises.
    """

    def look_at(file: str) -> tuple[int, Found]:
        footer = read(file)
        return footer.num_rows, look(file, footer)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(look_at, files))
    if not any(rows for rows, _ in found):
        raise UserError(f"{files[0].rpartition('/')[0]} has no rows")
    return [one for _, one in found]


def read(file: str) -> pq.FileMetaData:
    """The footer of a Parquet file.

    Raises:
        UserError: it is none, maybe half of one; or two of its columns have one name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    try:
        with filesystem.open(path, "rb") as opened:
            footer = pq.read_metadata(opened)
    except pa.ArrowInvalid as error:
        raise UserError(f"{file} is no Parquet file: {str(error).splitlines()[0]}") from None
    names = footer.schema.to_arrow_schema().names
    conform.check_once(names, names, file)  # all: Ray reads no file in which any two columns have one name
    return footer


def check(file: str, footer: pq.FileMetaData, columns: Sequence[str]) -> pa.Schema:
    """The schema of a file whose columns can be read.

    Raises:
        UserError: a column is lacking or of a type that can't be read, or rows have no id.
    """
    schema = footer.schema.to_arrow_schema()
    lacking = [column for column in columns if column not in schema.names]
    if lacking:
        raise UserError(f"{file} lacks the column {', '.join(lacking)}; it has {', '.join(schema.names)}")
    for column in columns:
        if wrong := conform.complaint(schema, column):
            raise UserError(f"{file}: column {column} {wrong}")
    if nameless := footer.num_rows - _filled(footer, "id"):
        raise UserError(f"{file}: {nameless} of {footer.num_rows} rows have no id; give each one of its own")
    return schema


def has_nulls(footer: pq.FileMetaData, column: str) -> bool:
    """Whether rows lack a value in a column without parts; a file whose footer counts no nulls may have some."""
    return any(count is None or count > 0 for count in _nulls(footer, column))


def count(data: str, split: str) -> int:
    """The number of rows of a split, from the footers of its files."""
    return sum(each(split_files(data, split), lambda _, footer: int(footer.num_rows)))


def columns(data: str, split: str) -> list[str]:
    """The columns that all files of a split have."""
    first, *others = each(split_files(data, split), lambda _, footer: footer.schema.to_arrow_schema().names)
    return [column for column in first if all(column in names for names in others)]


def columns_of_any(data: str, split: str) -> list[str]:
    """The columns that at least one file of a split has."""
    names = each(split_files(data, split), lambda _, footer: footer.schema.to_arrow_schema().names)
    return list(dict.fromkeys(column for own in names for column in own))


def count_scenes(data: str, split: str) -> int:
    """The number of rows of a split with a picture of the product in a scene, from the footers of its files.

    A file whose footer counts no nulls is taken to have one in every row.
    """
    return sum(each(split_files(data, split), lambda _, footer: _filled(footer, "image.bytes", "image")))


def _filled(footer: pq.FileMetaData, *names: str) -> int:
    """Rows that have a value in a column, which has one of these names in Parquet."""
    return int(footer.num_rows) - sum(count or 0 for count in _nulls(footer, *names))


def _nulls(footer: pq.FileMetaData, *names: str) -> Iterator[int | None]:
    """The nulls of each row group's column, which has one of these names in Parquet; None: they weren't counted."""
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema in names:
                counted = chunk.statistics and chunk.statistics.has_null_count
                yield int(chunk.statistics.null_count) if counted else None
