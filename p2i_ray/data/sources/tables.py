"""Parquet files, and the Arrow files of Hugging Face `datasets`: rows by their columns, pictures by their cells.

Of the columns with pictures nothing is read before a worker asks for a cell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from p2i_ray.data.errors import ImageError

PARQUET, ARROW = ".parquet", ".arrow"
ROWS_AT_ONCE = 16  # of a column with pictures; it bounds a worker's memory
OF = ":"  # in a cell's row: between the row and the place in its list
TEXT_ROWS = 10_000  # of columns without pictures
BUFFER = 1 << 20  # bytes; without it, Arrow holds a row group's whole column


class TableFile:
    """A Parquet or Arrow file, whose batches are its row groups or record batches.

    Args:
        opened: the file.
        name: by which its kind is known.

    Raises:
        ImageError: it is none.
    """

    def __init__(self, opened: BinaryIO, name: str) -> None:
        self._opened = opened
        self._parquet: pq.ParquetFile | None = None
        with _as_reasons("no Parquet or Arrow file"):
            if name.lower().endswith(PARQUET):
                self._parquet = pq.ParquetFile(opened, pre_buffer=False, buffer_size=BUFFER)
                self.schema: pa.Schema = self._parquet.schema_arrow
            else:
                self.schema = _arrow(opened).schema
            self.names: list[str] = self.schema.names

    def batches(
        self, columns: list[str], pictures: Sequence[str] = (), *, paths_alone: bool = False
    ) -> Iterator[tuple[int, int, pa.RecordBatch]]:
        """Batches of some columns, each with the number of its row group and the place of its first row there.

        Args:
            columns: without pictures.
            pictures: columns with pictures; then a batch has few rows, unless only their paths are read.
            paths_alone: of image structs, only the paths are needed.

        Raises:
            ImageError: the file is broken, or cut off.
        """
        with _as_reasons("broken, or cut off"):
            if self._parquet is None:
                for number, batch in enumerate(self._arrow_batches()):
                    yield number, 0, _checked(batch.select([*columns, *pictures]))
                return
            read = [*columns, *(map(self._smallest, pictures) if paths_alone else pictures)]
            rows = ROWS_AT_ONCE if pictures and not paths_alone else TEXT_ROWS
            for group in range(self._parquet.num_row_groups):
                start = 0
                for batch in self._parquet.iter_batches(batch_size=rows, row_groups=[group], columns=read):
                    yield group, start, batch
                    start += batch.num_rows

    def paths(self, column: str) -> Iterator[bytes | None]:
        """The paths that image structs of a column have beside the bytes, in UTF-8; of the bytes nothing is kept.

        Raises:
            ImageError: the file is broken, or cut off.
        """
        if not has_paths(self.schema.field(column).type):
            return
        for _, _, batch in self.batches([], [column], paths_alone=True):
            pictures = batch.column(column)
            if holds_pictures(self.schema.field(column).type):
                pictures = pictures.flatten()
            yield from pc.struct_field(pictures, "path").cast(pa.large_string()).cast(pa.large_binary()).to_pylist()

    def lengths(self, column: str) -> dict[int, list[int]]:
        """Count the pictures of each row's list: row group -> its rows; of the pictures nothing is kept.

        Raises:
            ImageError: the file is broken, or cut off.
        """
        with _as_reasons("broken, or cut off"):
            if self._parquet is None:
                return {group: _list_lengths(batch) for group, _, batch in self.batches([column])}
            leaf = self._smallest(column)
            return {
                group: [
                    length
                    for batch in self._parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[leaf])
                    for length in _list_lengths(batch)
                ]
                for group in range(self._parquet.num_row_groups)
            }

    def _smallest(self, column: str) -> str:
        """The part of a Parquet column of pictures that takes the fewest bytes: their paths, where it has them."""
        assert self._parquet is not None
        schema = self._parquet.schema
        parts = [path for k in range(len(schema)) if (path := schema.column(k).path).startswith(f"{column}.")]
        return next((path for path in parts if path.endswith(".path")), column)

    def cells(self, group: int, column: str) -> Iterator[pa.RecordBatch]:
        """One column of a row group, few rows at a time."""
        if self._parquet is not None:
            yield from self._parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column])
            return
        for number, batch in enumerate(self._arrow_batches()):
            if number == group:
                yield _checked(batch.select([column]))
                return

    def _arrow_batches(self) -> Iterator[pa.RecordBatch]:
        self._opened.seek(0)
        yield from _batches(_arrow(self._opened))


class CellReader:
    """Reads cells of pictures; from front to back, nothing is read twice."""

    def __init__(self, opened: BinaryIO, name: str) -> None:
        self._file = TableFile(opened, name)
        self._at: dict[tuple[int, str], tuple[Iterator[pa.RecordBatch], int, pa.RecordBatch | None]] = {}

    def cell(self, where: str) -> bytes | str | None:
        """A picture's bytes, or the path that the cell names; None if it is empty.

        Args:
            where: "GROUP/ROW/COLUMN", of a list "GROUP/ROW:PLACE/COLUMN".

        Raises:
            ImageError: no such cell, or the file is broken.
        """
        group, row, column = where.split("/", 2)
        row, _, place = row.partition(OF)
        with _as_reasons("broken in the table"):
            value = self._value(int(group), int(row), column)
            return picture(value[int(place)] if place else value)

    def _value(self, group: int, row: int, column: str) -> Any:
        batches, start, batch = self._at.get((group, column), (None, 0, None))
        if batches is None or row < start:
            self._at = {key: held for key, held in self._at.items() if key[0] == group}  # of this row group only
            batches, start, batch = self._file.cells(group, column), 0, None
        while batch is None or row >= start + batch.num_rows:
            start += batch.num_rows if batch is not None else 0
            batch = next(batches, None)
            if batch is None:
                raise ImageError("unreadable: the table has no such row")
        self._at[group, column] = (batches, start, batch)
        return batch.column(0)[row - start].as_py()


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold pictures: an image struct {bytes, path}, or bytes."""
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return any((pa.types.is_binary(kind), pa.types.is_large_binary(kind), pa.types.is_binary_view(kind)))


def holds_pictures(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold several pictures a row."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and is_picture(kind.value_type))


def has_paths(kind: pa.DataType) -> bool:
    """Whether a column of this type has image structs with a path beside the bytes, each or in lists."""
    one = kind.value_type if holds_pictures(kind) else kind
    return bool(pa.types.is_struct(one) and is_picture(one) and one.get_field_index("path") >= 0)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The columns that hold numbers of classes, as `datasets` marks them -> the classes' names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {
        column: list(feature["names"])
        for column, feature in features.items()
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and "names" in feature
    }


def text(value: Any, names: list[str] | None = None) -> str:
    """A cell as text, whatever type a writer gave it; `names` are those of a column of classes."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float) and value.is_integer():  # a number column with empty cells, as pandas writes it
        value = int(value)
    if names and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return "\n".join(text(one) for one in value)
    if isinstance(value, Mapping):
        return next((text(value[key]) for key in ("file_name", "path", "src", "url") if value.get(key)), "")
    return str(value)


def _list_lengths(batch: pa.RecordBatch) -> list[int]:
    return [length or 0 for length in pc.list_value_length(batch.column(0)).to_pylist()]


def picture(value: Any) -> bytes | str | None:
    """A cell's picture, or the path of the file that has it; None if the cell is empty."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    return value or None


def _arrow(opened: BinaryIO) -> Any:
    try:
        return pa.ipc.open_stream(opened)
    except pa.ArrowInvalid:
        opened.seek(0)
        return pa.ipc.open_file(opened)


def _batches(stream: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(stream, pa.ipc.RecordBatchFileReader):
        yield from (stream.get_batch(number) for number in range(stream.num_record_batches))
        return
    yield from stream


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of an Arrow file, whose bytes are taken as they lie: a broken one would crash the process."""
    batch.validate(full=True)
    return batch


@contextmanager
def _as_reasons(what: str) -> Iterator[None]:
    """Turn what Arrow says of a broken file into an ImageError; a disk or bucket that doesn't answer is none.

    A MemoryError comes of lengths that no file has.
    """
    try:
        yield
    except (pa.ArrowException, ValueError, LookupError, MemoryError, OSError) as error:
        if isinstance(error, ImageError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImageError(f"unreadable: {what} ({line})") from None
