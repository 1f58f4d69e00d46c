"""KID, the kernel Inception distance (Binkowski et al. 2018): unbiased also for few pictures.

KID = MMD^2 with the kernel k(x, y) = (x.y / D + 1)^3 in D features, over all pairs of pictures at once (published
implementations average over subsets, which has the same expectation). About 0 for sets from the same source, and then
below 0 as often as above; lower is better. Its scale depends on the features: compare only values that share them.
"""

from __future__ import annotations

from p2i_ray.evaluate.metrics import bootstrap, mmd
from p2i_ray.evaluate.metrics.batch import Features


def cubic(x: Features, y: Features) -> Features:
    """The kernel: (N, D), (M, D) to (N, M)."""
    values: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def kid(generated: Features, real: Features) -> dict[str, float]:
    """KID of features (N, D) and (M, D), and its interval."""
    return bootstrap.interval("kid", mmd.squared(generated, real, cubic))
