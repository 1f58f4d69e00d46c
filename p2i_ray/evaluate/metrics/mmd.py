"""The squared maximum mean discrepancy (MMD) of two sets of features under a kernel.

MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y). Unbiased, the first two means leave out each picture's pair with
itself: then the figure's expectation doesn't depend on the number of pictures, and it may be slightly below 0. Biased,
they don't, which adds about the same for all models but less the more pictures there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.batch import Features
from p2i_ray.evaluate.metrics.metric import blocks

BLOCK = 1024  # columns of a kernel matrix that are in memory at once
FEWEST = 10  # pictures a side, for an interval that says something

Kernel = Callable[[Features, Features], Features]  # (N, D), (M, D) to (N, M)
Resampled = NDArray[np.float64]  # (1 + RESAMPLES,)


def squared(x: Features, y: Features, kernel: Kernel, *, biased: bool = False) -> Resampled:
    """MMD^2 of x (N, D) and y (M, D), and of resamples of both.

    Returns:
        (1 + RESAMPLES,): the figure first, then those of the resamples, in which a picture that was drawn twice is not
        paired with itself either.
    """
    own = [bootstrap.weights(len(side), number) for number, side in enumerate((x, y))]
    within = [mean_within(side, kernel, drawn, biased=biased) for side, drawn in zip((x, y), own, strict=True)]
    return within[0] + within[1] - 2 * mean_across(x, y, kernel, own)


def mean_within(x: Features, kernel: Kernel, drawn: NDArray[np.float64], *, biased: bool = False) -> Resampled:
    """The mean of k(x, x') over pairs, with the weights of resamples (R, N)."""
    total, count = _sums(x, x, kernel, [drawn, drawn], diagonal=biased), float(len(x))
    return total / (count**2 if biased else count**2 - np.square(drawn).sum(1))


def mean_across(x: Features, y: Features, kernel: Kernel, drawn: list[NDArray[np.float64]]) -> Resampled:
    """The mean of k(x, y) over all pairs, with the weights of resamples (R, N) and (R, M)."""
    return _sums(x, y, kernel, drawn) / (len(x) * len(y))


def _sums(
    x: Features, y: Features, kernel: Kernel, drawn: list[NDArray[np.float64]], *, diagonal: bool = True
) -> Resampled:
    total = np.zeros(len(drawn[0]))
    for block in blocks(len(y), BLOCK):
        values = kernel(x, y[block])  # (N, block)
        if not diagonal:
            values[np.arange(block.start, block.stop), np.arange(values.shape[1])] = 0
        total += ((drawn[0] @ values) * drawn[1][:, block]).sum(1)
    return total
