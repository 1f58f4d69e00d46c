"""Bootstrap intervals: how far a figure would move with other pictures from the same source.

A resample draws as many pictures as there are, with replacement. It is kept as a weight for each picture: how often it
was drawn. Resample 0 is the pictures as they are, so that a figure and its resamples are computed alike.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
COVERAGE = 95  # per cent
Z = 1.959963984540054  # of a normal distribution's middle 95 %
SEED = 0  # the same pictures have the same interval


def weights(count: int, side: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Weights (1 + resamples, count), whole numbers that sum to `count` in each row; the first row is all ones.

    Args:
        count: pictures.
        side: another number gives other draws, for the other side of a comparison.
        resamples: how many.
    """
    draws = np.random.default_rng((SEED, side)).multinomial(count, np.full(count, 1 / count), resamples)
    return np.vstack([np.ones(count), draws])


def ordered(found: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Values (N,) or features (N, D) of batches as one, sorted: batches come in any order, and draws go by place."""
    every = np.concatenate(found)
    return every[np.argsort(every.reshape(len(every), -1)[:, 0], kind="stable")]


def interval(name: str, found: NDArray[np.float64]) -> dict[str, float]:
    """A figure and its interval: NAME, NAME_low and NAME_high.

    Args:
        name: of the metric.
        found: (1 + RESAMPLES,), as `weights` has the resamples. The interval is where the middle 95 % of them lie.
    """
    low, high = np.percentile(found[1:], [(100 - COVERAGE) / 2, (100 + COVERAGE) / 2])
    return {name: float(found[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def of_mean(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    """The mean of values (N,), and its interval."""
    return interval(name, weights(len(values)) @ values / len(values))


def of_share(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    """The share of pictures that have something, and its interval.

    Where all have it, or none, so do all resamples, which would give an interval of no width; there it is Wilson's.

    Args:
        name: of the metric.
        values: (N,), 1 or 0.
    """
    found = of_mean(name, values)
    if values.min() < values.max():
        return found
    low, high = wilson(found[name], len(values))
    return {name: found[name], f"{name}_low": low, f"{name}_high": high}


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many observations."""
    middle = share + Z * Z / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    scale = 1 + Z * Z / count
    return min(share, (middle - half) / scale), max(share, (middle + half) / scale)  # for 0 and 1: rounding
