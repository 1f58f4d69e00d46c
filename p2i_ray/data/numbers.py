"""Arrays with a number for each row, looked up and counted a piece at a time.

Of an array of places, numpy would make a copy of 8 bytes a place whenever something is looked up by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.storage import spilled

ROWS_OF_A_PART = 1 << 16  # of what is sorted at once, where values are spread evenly
MOST_BITS = 8  # by which values are parted


def views(*arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Views of arrays of one length, some values at a time."""
    for start in range(0, len(arrays[0]), spilled.ROWS):
        yield tuple(one[start : start + spilled.ROWS] for one in arrays)


def upto(count: int) -> NDArray[np.int64]:
    """The numbers from 0 to below `count`, mapped."""
    found = spilled.array(count, np.int64)
    for start, (some,) in enumerate(views(found)):
        some[:] = np.arange(start * spilled.ROWS, start * spilled.ROWS + len(some))
    return found


def filled(count: int, value: int) -> NDArray[np.int32]:
    """So many times a number, mapped."""
    found = spilled.array(count, np.int32)
    found[:] = value
    return found


def look_up(values: NDArray[Any], places: NDArray[np.integer]) -> NDArray[Any]:
    """The value at each place, mapped."""
    found = spilled.array(len(places), values.dtype)
    for own, some in views(found, places):
        own[:] = values[some]
    return found


def places_of(value: int, values: NDArray[np.integer]) -> NDArray[np.int32]:
    """The places of a value, mapped."""
    found, end = spilled.array(int(np.count_nonzero(values == value)), np.int32), 0
    for number, (some,) in enumerate(views(values)):
        own = np.flatnonzero(some == value)
        start, end = end, end + len(own)
        found[start:end] = own + number * spilled.ROWS
    return found


def count(places: NDArray[np.integer], size: int) -> NDArray[np.int32]:
    """Counts of each place below `size`, mapped."""
    found = spilled.array(size, np.int32)
    for (some,) in views(places):
        np.add.at(found, some, 1)
    return found


def parted(values: NDArray[np.unsignedinteger], bits: int) -> Iterator[NDArray[np.intp]]:
    """The places of values by their first bits, in the order of those: what is sorted by parts takes little memory.

    Args:
        values: below 2 ** bits.
        bits: how many bits they have.
    """
    used = min(MOST_BITS, (len(values) // ROWS_OF_A_PART).bit_length())
    first = spilled.array(len(values), np.uint8)
    for own, some in views(first, values):
        own[:] = some >> (bits - used)
    for part in range(1 << used):
        yield np.flatnonzero(first == part)
