"""Tables, arrays and bytes in temporary files: as they were written, and nothing is left of them."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.errors import UserError
from p2i_ray.storage import spilled

SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int64()), ("bytes", pa.binary(3)), ("is", pa.bool_())])


def rows(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    columns = [
        pa.array([f"row {number}" if number % 3 else None for number in numbers], pa.string()),
        pa.array(numbers, pa.int64()),
        pa.array([b"%03d" % (number % 1000) for number in numbers], pa.binary(3)),
        pa.array([number % 2 == 0 for number in numbers]),
    ]
    return pa.table(columns, schema=SCHEMA)


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@contextmanager
def little_room() -> Iterator[None]:
    """No file may grow beyond 4 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (5, 0, 7), (spilled.ROWS,), (spilled.ROWS - 1, 2, 2 * spilled.ROWS)])
def test_a_table_is_as_its_pieces_were(sizes: tuple[int, ...]) -> None:
    ends = np.cumsum([0, *sizes]).tolist()
    found = spilled.table((rows(start, end - start) for start, end in pairwise(ends)), SCHEMA)
    assert found.schema == SCHEMA and found.equals(rows(0, ends[-1]))
    chunks = [len(chunk) for chunk in found["text"].chunks]
    assert all(length == spilled.ROWS for length in chunks[:-1]) and sum(chunks) == ends[-1]


def test_an_array_is_of_zeros_and_is_written() -> None:
    for shape in (0, 3, (2, 0), (spilled.SMALL, 3)):
        found = spilled.array(shape, np.int16)
        assert found.dtype == np.int16 and not found.any() and found.shape == np.zeros(shape).shape
    found[-1] = 5
    assert found.sum() == 15


def test_bytes_are_as_their_pieces_were() -> None:
    assert spilled.content([]) == b"" and spilled.content([b"ab", b"", b"c"])[:] == b"abc"


def test_memory_is_not_taken_and_nothing_is_left() -> None:
    files, memory = open_files(), pa.total_allocated_bytes()
    table, array = spilled.table([rows(0, spilled.ROWS)], SCHEMA), spilled.array(spilled.SMALL, np.int32)
    held = table["text"].slice(3, 2)
    assert pa.total_allocated_bytes() - memory < 1000 and open_files() == files + 2
    del table, array
    assert held.to_pylist() == [None, "row 4"] and open_files() == files + 1
    del held
    assert open_files() == files


def test_what_making_the_pieces_raises_is_handed_on() -> None:
    def pieces() -> Iterator[pa.Table]:
        yield rows(0, spilled.ROWS)
        raise PermissionError("the list is closed")

    files = open_files()
    with pytest.raises(PermissionError, match="the list is closed"):
        spilled.table(pieces(), SCHEMA)
    assert open_files() == files


def test_a_file_that_finds_no_room_is_one_line() -> None:
    says = r"^temporary files can't be written to /.*: File too large; make room .*, or have TMPDIR name a folder"
    for write in (
        lambda: spilled.table([rows(0, 1000)], SCHEMA),
        lambda: spilled.array(spilled.SMALL, np.int32),
        lambda: spilled.content([bytes(5000)]),
    ):
        with little_room(), pytest.raises(UserError, match=says):
            write()
