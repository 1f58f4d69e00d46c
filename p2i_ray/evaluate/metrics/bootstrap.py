"""Bootstrap intervals: how far a figure would move with other pictures from the same source.

A resample draws as many pictures as there are, with replacement. It is kept as a weight for each picture: how often it
was drawn. Resample 0 is the pictures as they are, so that a figure and its resamples are computed alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
COVERAGE = 95  # per cent
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
