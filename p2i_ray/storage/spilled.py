"""Tables, arrays and bytes of a process that lie in temporary files and are mapped into memory.

The system writes their pages back and drops them when memory is short, and reads them again when they are asked for.
The files have no name: nothing is left of them when they are no longer used, however the process ends. They lie in the
folder that TMPDIR names, /tmp if there is none, which should be a disk: one that is held in memory saves none.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from p2i_ray.errors import UserError, reason
from p2i_ray.storage.disk_full import REMEDY

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1 << 15  # of each chunk of a table, and so of what is in memory at once
SMALL = 1 << 20  # bytes; no file is made for a smaller array
ALIGNED = 64  # bytes; where Arrow likes its buffers to begin
ZEROS = bytes(1 << 20)


def table(pieces: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Write pieces of a table as they come; returns the whole, mapped, in chunks of `ROWS` rows.

    Args:
        pieces: of the schema, none of them large.
        schema: without dictionaries.

    Raises:
        UserError: the temporary file can't be written; one line says why. What making the pieces raises is not touched.
    """
    import pyarrow as pa

    with _opened() as file:
        places: list[tuple[int, int]] = []
        end = 0
        for chunk in _chunks(pieces):
            message = chunk.serialize()
            padding = -message.size % ALIGNED
            _write(file, message, ZEROS[:padding])
            places.append((end, message.size))
            end += message.size + padding
        if not end:
            return schema.empty_table()
        mapped = pa.py_buffer(mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ))
    batches = [pa.ipc.read_record_batch(mapped.slice(*place), schema) for place in places]
    return pa.Table.from_batches(batches, schema)


def array(shape: int | tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
    """An array of zeros, mapped; it is written as any other.

    Raises:
        UserError: the temporary file can't be written; one line says why.
    """
    size = math.prod([shape] if isinstance(shape, int) else shape) * np.dtype(kind).itemsize
    if size < SMALL:
        return np.zeros(shape, kind)
    with _opened() as file:
        for start in range(0, size, len(ZEROS)):  # now, as a disk that is full later would end the process
            _write(file, ZEROS[: size - start])
        mapped = mmap.mmap(file.fileno(), size)
    return np.frombuffer(mapped, kind).reshape(shape)


def content(pieces: Iterable[bytes]) -> bytes | mmap.mmap:
    """Bytes that come in pieces, mapped.

    Raises:
        UserError: the temporary file can't be written; one line says why. What making the pieces raises is not touched.
    """
    with _opened() as file:
        end = 0
        for piece in pieces:
            _write(file, piece)
            end += len(piece)
        return mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) if end else b""


def written(write: Callable[[IO[bytes]], None]) -> bytes | mmap.mmap:
    """The content that a function writes into a file, mapped.

    Raises:
        UserError: the temporary file can't be written; one line says why.
    """
    with _explained(), tempfile.TemporaryFile(prefix="p2i_") as file:
        write(file)
        file.flush()
        size = file.seek(0, os.SEEK_END)
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""


def _chunks(pieces: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Rows in chunks of `ROWS`, but for the last: many small ones would be slow to look rows up in."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        while sum(one.num_rows for one in waiting) >= ROWS:
            whole = pa.concat_tables(waiting)
            yield _chunk(whole.slice(0, ROWS))
            waiting = [whole.slice(ROWS)]
    if any(one.num_rows for one in waiting):
        yield _chunk(pa.concat_tables(waiting))


def _chunk(rows: pa.Table) -> pa.RecordBatch:
    return rows.combine_chunks().to_batches()[0]


@contextmanager
def _opened() -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        with _explained():
            file = stack.enter_context(tempfile.TemporaryFile(prefix="p2i_", buffering=0))
        yield file


def _write(file: IO[bytes], *pieces: Any) -> None:
    with _explained():
        for piece in pieces:
            left = memoryview(piece)
            while len(left):  # a file may take a part of it
                left = left[file.write(left) :]


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the system says of a temporary file into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"temporary files can't be written to {tempfile.tempdir or 'any folder'}: {reason(error)}; {REMEDY}, or "
            "have TMPDIR name a folder on another disk"
        ) from error
