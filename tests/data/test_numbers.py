"""Arrays with a number for each row, over more than one piece."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from p2i_ray.data import numbers
from p2i_ray.storage import spilled


@pytest.mark.parametrize("count", [0, 5, 2 * spilled.ROWS + 3])
def test_values_are_looked_up_and_counted(count: int) -> None:
    places = np.random.default_rng(0).integers(0, 7, count).astype(np.int32)
    values = np.arange(7, dtype=np.int8) * 3
    assert numbers.look_up(values, places).tolist() == (places * 3).tolist()
    assert numbers.count(places, 7).tolist() == [int((places == value).sum()) for value in range(7)]
    assert numbers.places_of(4, places).tolist() == np.flatnonzero(places == 4).tolist()
    assert numbers.upto(count).tolist() == [*range(count)] and numbers.filled(count, -1).tolist() == [-1] * count
    assert sum(len(some) for some, _ in numbers.views(places, places)) == count


@pytest.mark.parametrize("count", [0, 1, 3 * numbers.ROWS_OF_A_PART])
@pytest.mark.parametrize("kind", [np.uint16, np.uint64])
def test_parts_are_in_the_order_of_values_and_have_each_place_once(count: int, kind: type) -> None:
    bits = 8 * np.dtype(kind).itemsize
    values = np.random.default_rng(1).integers(0, 1 << bits, count, kind)
    parts = [*numbers.parted(values, bits)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    assert all((np.diff(part) > 0).all() for part in parts)  # in the order of the places
    ends = [(values[part].min(), values[part].max()) for part in parts if len(part)]
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    assert len(parts) == (1 if count < numbers.ROWS_OF_A_PART else 4)
