"""The names of a source's files, mapped from a temporary file: there may be millions, and a string each is large."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.data import mapped_rows, numbers
from p2i_ray.data.text_columns import BATCH
from p2i_ray.storage import spilled

SCHEMA = pa.schema([("name", pa.binary()), ("read", pa.binary())])
HASH = (1 << 64) - 1  # of the bits that count


class FileNames(Mapping[str, str]):
    """Names of files -> how they are read, in order; a name has a place.

    Args:
        written: the names, each once, and how they are read where that is not the name, as SCHEMA.
    """

    def __init__(self, written: pa.Table) -> None:
        self._names, self._reads = (column.chunks for column in written.columns)  # each but the last of `ROWS`
        self._count = int(written.num_rows)
        self._by_name = written["read"].null_count == self._count
        hashes = spilled.array(len(self), np.uint64)
        for place, name in enumerate(self):
            hashes[place] = hash(name) & HASH
        places, end = spilled.array(len(self), np.int32), 0
        for some in numbers.parted(hashes, bits=64):
            start, end = end, end + len(some)
            places[start:end] = some[np.argsort(hashes[some])]
        # Single numbers are read from these, which is quicker than from arrays.
        self._places, self._hashes = places.data, numbers.look_up(hashes, places).data

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (_text(name) for some in self._names for name in some.to_pylist())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.place(name) is not None

    def __getitem__(self, name: str) -> str:
        place = self.place(name)
        if place is None:
            raise KeyError(name)
        return self.read_as(place, name)

    def place(self, name: str) -> int | None:
        """The place of a name; None if no file has it."""
        wanted, content = hash(name) & HASH, _bytes(name)
        number = bisect_left(self._hashes, wanted)
        while number < len(self._hashes) and self._hashes[number] == wanted:
            place = self._places[number]
            if self._names[place // spilled.ROWS][place % spilled.ROWS].as_py() == content:
                return place
            number += 1
        return None

    def read_as(self, place: int, name: str) -> str:
        """The way to read the file of a name, which is at this place."""
        read = None if self._by_name else self._reads[place // spilled.ROWS][place % spilled.ROWS].as_py()
        return name if read is None else _text(read)


def listed(files: Iterable[tuple[str, str]]) -> FileNames:
    """Files in this order: their names, each once, and how they are read."""
    return FileNames(spilled.table(_batches(iter(files)), SCHEMA))


def ordered(names: Iterable[str]) -> FileNames:
    """Files that are read by their names, of which each is there once; they are put in order."""
    written = spilled.table(_batches((name, name) for name in names), SCHEMA)
    order = pc.sort_indices(written["name"]).to_numpy()  # by UTF-8 bytes, which is the order of Python's strings
    return FileNames(mapped_rows.take(written, order))


def _batches(files: Iterator[tuple[str, str]]) -> Iterator[pa.Table]:
    while some := list(islice(files, BATCH)):
        names = [_bytes(name) for name, _ in some]
        reads = [None if name == read else _bytes(read) for name, read in some]
        yield pa.table([pa.array(names, pa.binary()), pa.array(reads, pa.binary())], schema=SCHEMA)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a disk's names need not be UTF-8


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")
