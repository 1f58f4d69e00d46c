"""Columns of text without a Python object a row: numbers of their distinct texts, a batch at a time, and draws."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import mapped_rows, numbers
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 10_000  # rows that are Python objects at once


def encode(*columns: pa.ChunkedArray) -> tuple[NDArray[np.int32], pa.Array]:
    """The place of each row's text among the distinct ones, -1 where it is null; and those, in order of appearance.

    Args:
        columns: of text, perhaps dictionary-encoded; the rows of the second come behind those of the first.
    """
    import pyarrow as pa

    coded = [_encoded(column) for column in columns if len(column)]
    whole = pa.concat_arrays([pa.array([], pa.string()), *(chunks[0].dictionary for chunks in coded)])
    whole, places = (whole, None) if len(coded) == 1 else _distinct(whole)
    found, end, known = spilled.array(sum(map(len, columns)), np.int32), 0, 0
    for chunks in coded:
        count = len(chunks[0].dictionary)
        own = None if places is None else np.append(places[known : known + count], np.int32(-1))
        for chunk in chunks:
            start, end = end, end + len(chunk)
            some = chunk.indices.fill_null(-1).to_numpy()
            found[start:end] = some if own is None else own[some]
        known += count
    return found, whole


def counts(*columns: pa.ChunkedArray) -> dict[str, int]:
    """Number of rows of each text; texts are few."""
    places, texts = encode(*columns)
    return dict(zip(texts.to_pylist(), numbers.count(places, len(texts)).tolist(), strict=True))


def as_column(numbers: NDArray[Any], texts: pa.Array) -> pa.DictionaryArray:
    """The column of such numbers; -1 is null."""
    import pyarrow as pa

    mask = numbers < 0
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32(), mask=mask if mask.any() else None), texts)


def each(column: pa.ChunkedArray | pa.Array, function: Callable[[Any], str | None]) -> pa.ChunkedArray:
    """Results of a function for each text."""
    import pyarrow as pa

    return mapped_rows.column((pa.array(map(function, texts), pa.string()) for texts in batches(column)), pa.string())


def batches(column: pa.ChunkedArray | pa.Array | pa.Table) -> Iterator[list[Any]]:
    """The values of a column, or the rows of a table, in lists of a batch each."""
    for start in range(0, len(column), BATCH):
        yield column.slice(start, BATCH).to_pylist()


def batched(column: pa.ChunkedArray | pa.Array | pa.Table) -> Iterator[Any]:
    """Each value of a column, or row of a table."""
    return chain.from_iterable(batches(column))


def ranks(texts: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Distinct texts in the order of Python's strings: the place that each has there, and which text has each place."""
    import pyarrow.compute as pc

    order = pc.sort_indices(texts).to_numpy().astype(np.int32)  # by UTF-8 bytes, which is the same order
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank, order


def draws(column: pa.ChunkedArray | pa.Array, seed: int, purpose: str) -> NDArray[np.uint64]:
    """`seed_for(seed, purpose, text)` of each text, which is never null."""
    import pyarrow as pa

    start = f"{seed}\x1f{purpose}\x1f".encode()
    hashed = hashlib.sha256
    found = spilled.array(len(column), np.uint64)
    for place in range(0, len(column), BATCH):
        texts = column.slice(place, BATCH).cast(pa.binary()).to_pylist()
        content = b"".join([hashed(start + text).digest()[:8] for text in texts])
        found[place : place + len(texts)] = np.frombuffer(content, ">u8") >> np.uint64(1)
    return found


def _encoded(column: pa.ChunkedArray | pa.Array) -> list[pa.DictionaryArray]:
    """The chunks of a column, dictionary-encoded, all with the same dictionary."""
    import pyarrow as pa

    kind = pa.dictionary(pa.int32(), pa.string())
    if pa.types.is_dictionary(column.type):
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return [whole.cast(kind)]
    found = column.dictionary_encode().cast(kind)
    return list(found.chunks) if isinstance(found, pa.ChunkedArray) else [found]


def _distinct(texts: pa.Array) -> tuple[pa.Array, NDArray[np.int32]]:
    """The distinct ones of texts, and the place of each among them."""
    coded = texts.dictionary_encode()
    return coded.dictionary, coded.indices.to_numpy()
