"""Columns of text without a Python object a row: numbers of their distinct texts, a batch at a time, and draws."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 10_000  # rows that are Python objects at once


def encode(*columns: pa.ChunkedArray) -> tuple[NDArray[np.intp], pa.Array]:
    """The place of each row's text among the distinct ones, -1 where it is null; and those, in order of appearance.

    Args:
        columns: of text, perhaps dictionary-encoded; the rows of the second come behind those of the first.
    """
    import pyarrow as pa

    kind = pa.dictionary(pa.int32(), pa.string())
    whole = [_encoded(column).cast(kind) for column in columns if len(column)]
    if not whole:
        return np.empty(0, np.intp), pa.array([], pa.string())
    found = pa.chunked_array(whole, kind).unify_dictionaries()
    numbers = [chunk.indices.fill_null(-1).to_numpy().astype(np.intp) for chunk in found.chunks]
    return numbers[0] if len(numbers) == 1 else np.concatenate(numbers), found.chunk(found.num_chunks - 1).dictionary


def as_column(numbers: NDArray[Any], texts: pa.Array) -> pa.DictionaryArray:
    """The column of such numbers; -1 is null."""
    import pyarrow as pa

    mask = numbers < 0
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32(), mask=mask if mask.any() else None), texts)


def each(column: pa.ChunkedArray | pa.Array, function: Callable[[Any], str | None]) -> pa.ChunkedArray:
    """What a function makes of each text."""
    import pyarrow as pa

    made = [pa.array(map(function, texts), pa.string()) for texts in batches(column)]
    return pa.chunked_array(made, pa.string())


def batches(column: pa.ChunkedArray | pa.Array | pa.Table) -> Iterator[list[Any]]:
    """The values of a column, or the rows of a table, in lists of a batch each."""
    for start in range(0, len(column), BATCH):
        yield column.slice(start, BATCH).to_pylist()


def batched(column: pa.ChunkedArray | pa.Array | pa.Table) -> Iterator[Any]:
    """Each value of a column, or row of a table."""
    return chain.from_iterable(batches(column))


def ranks(texts: pa.Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Distinct texts in the order of Python's strings: the place that each has there, and which text has each place."""
    import pyarrow.compute as pc

    order = pc.sort_indices(texts).to_numpy().astype(np.intp)  # by UTF-8 bytes, which is the same order
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank, order


def draws(column: pa.ChunkedArray | pa.Array, seed: int, purpose: str) -> NDArray[np.uint64]:
    """`locations.seed_for(seed, purpose, text)` of each text, which is never null."""
    import pyarrow as pa

    start = f"{seed}\x1f{purpose}\x1f".encode()
    hashed = hashlib.sha256
    found = np.empty(len(column), np.uint64)
    for place, texts in enumerate(batches(column.cast(pa.binary()))):
        content = b"".join([hashed(start + text).digest()[:8] for text in texts])
        found[place * BATCH : place * BATCH + len(texts)] = np.frombuffer(content, ">u8") >> np.uint64(1)
    return found


def _encoded(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    import pyarrow as pa

    found = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
