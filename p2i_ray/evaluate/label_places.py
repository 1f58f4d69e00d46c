"""Places for labels of points, so that none prints over another, nor over a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = 16
NEAREST = 1.0  # the first distance of a label from its point, beyond both their sizes, in the unit of the points
STEP = 4.0
RINGS = 60


class Size(NamedTuple):
    """A label's, in the unit of the points."""

    width: float
    height: float


def places(points: NDArray[np.float64], sizes: Sequence[Size], radius: float) -> NDArray[np.float64]:
    """The middles of labels, each as near to its point as those before it leave room for.

    Args:
        points: (N, 2).
        sizes: N, of the labels.
        radius: of a point's mark, over which no label goes.

    Returns:
        (N, 2), in the unit of the points. The same input gives the same places.
    """
    taken: list[tuple[NDArray[np.float64], Size]] = []
    for point, size in zip(points, sizes, strict=True):
        tried = _around(point, size, radius)
        free = next((at for at in tried if not _hits(at, size, taken) and not _covers(at, size, points, radius)), None)
        taken.append((tried[0] if free is None else free, size))
    return np.array([at for at, _ in taken], np.float64).reshape(-1, 2)


def _around(point: NDArray[np.float64], size: Size, radius: float) -> list[NDArray[np.float64]]:
    """Places to try, the nearest first; the first of all is to the right, a little above."""
    found = []
    for ring in range(RINGS):
        for turn in range(DIRECTIONS):
            angle = 2 * math.pi * turn / DIRECTIONS + math.pi / DIRECTIONS
            away = np.array([math.cos(angle), math.sin(angle)])
            reach = radius + NEAREST + STEP * ring + abs(away[0]) * size.width / 2 + abs(away[1]) * size.height / 2
            found.append(point + reach * away)
    return found


def _hits(at: NDArray[np.float64], size: Size, taken: Sequence[tuple[NDArray[np.float64], Size]]) -> bool:
    return any(
        abs(at[0] - other[0]) < (size.width + own.width) / 2 and abs(at[1] - other[1]) < (size.height + own.height) / 2
        for other, own in taken
    )


def _covers(at: NDArray[np.float64], size: Size, points: NDArray[np.float64], radius: float) -> bool:
    """Whether a label lies over a mark, taken as a square."""
    distances = np.abs(points - at)
    return bool(((distances[:, 0] < size.width / 2 + radius) & (distances[:, 1] < size.height / 2 + radius)).any())
