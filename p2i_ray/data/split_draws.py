"""Draw the products of each split: those with the smallest hashes go to the small ones.

Products are columns of numbers, in the order of their draws: there may be as many as rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import numbers, text_columns
from p2i_ray.data.schema import SPLITS
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST = 8  # products that a split of a fraction has, where they are not more than a tenth of all
LARGE = 0.1  # fraction of all rows above which a product is trained on; drawn for a small split, it would fill it
TRAIN, VALIDATION, TEST, UNSEEN = range(len(SPLITS))
NONE = -1  # of a product that has no rows yet
AT_ONCE = 10_000  # products that are Python objects at once


class Products(NamedTuple):
    """Products in the order of their draws, a value each."""

    draw: NDArray[np.float64]  # uniform in [0, 1)
    rows: NDArray[np.int32]
    scenes: NDArray[np.int32]  # rows with a scene, which can be trained on
    home: NDArray[np.int8]  # the split in which it has rows already, or NONE


def order(keys: pa.Array, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The places of products by their draws, which depend on key and seed alone, and the draws in that order."""
    drawn = text_columns.draws(keys, seed, "split")
    places, ordered = spilled.array(len(keys), np.int32), spilled.array(len(keys), np.float64)
    end = 0
    for some in numbers.parted(drawn, bits=63):
        start, end = end, end + len(some)
        draws = drawn[some].astype(np.float64) / 2.0**63
        by_draw = np.argsort(draws, kind="stable")
        places[start:end], ordered[start:end] = some[by_draw], draws[by_draw]
    if (ordered[1:] == ordered[:-1]).any():  # the first in the alphabet comes first
        places = np.lexsort((text_columns.ranks(keys)[0], drawn.astype(np.float64) / 2.0**63)).astype(np.int32)
    return places, ordered


def homes(products: Products, *, validation: float, test: float) -> NDArray[np.int8]:
    """The split of each product.

    Args:
        products: in the order of their draws.
        validation: a fraction of the rows if below 1, else a number of rows.
        test: as `validation`.
    """
    found = np.where(products.home == NONE, TRAIN, products.home)
    rows, number = products.rows, len(products.rows)
    large = max(LARGE * rows.sum(), 2 * np.sort(rows)[(number - 1) // 2]) if number else 0
    free = np.flatnonzero((products.home == NONE) & (rows <= large))
    free = free[free != _kept_for_training(products)]
    above = 0.0
    for split, wanted in ((VALIDATION, validation), (TEST, test)):
        if not wanted:
            continue
        there = products.home == split
        if wanted >= 1:
            left = int(wanted) - int(rows[there].sum())
            taken = free[_by_number(rows[free], left, at_least_one=not there.any())]
        else:
            few = min(FEWEST, max(1, number // 10)) - int(there.sum())
            taken = free[(np.arange(len(free)) < few) | (products.draw[free] < above + wanted)]
        found[taken] = split
        free = free[found[free] == TRAIN]
        above = max(wanted % 1, products.draw[taken].max(initial=0.0))
    return found


def _kept_for_training(products: Products) -> int:
    """The product that stays in train, so that it isn't empty; NONE if there is one in it."""
    if not len(products.home) or (products.home == TRAIN).any():
        return NONE
    with_scene = np.flatnonzero(products.scenes)
    return int(with_scene[-1]) if len(with_scene) else len(products.home) - 1


def _by_number(sizes: NDArray[np.int32], wanted: int, *, at_least_one: bool) -> list[int]:
    """The places of products of so many rows together, or the nearest below."""
    taken: list[int] = []
    left = max(wanted, 0)
    for start in range(0, len(sizes), AT_ONCE):
        for place, size in enumerate(sizes[start : start + AT_ONCE].tolist(), start):
            if not left:
                break
            if size <= left:
                taken.append(place)
                left -= size
    return taken or ([0] if at_least_one and len(sizes) else [])
