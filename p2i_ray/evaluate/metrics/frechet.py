"""The Frechet distance of two sets of features: the squared 2-Wasserstein distance of Gaussians fitted to them.

|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with means m and covariances C (divided by N - 1); 0 or more, lower is
better. Fewer pictures make it larger: compare only values of the same number. With no more pictures than features the
covariances are singular, and most of the distance may be this bias.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from p2i_ray.evaluate.metrics.batch import Features


def distance(x: Features, y: Features) -> float:
    """The distance of features (N, D) and (M, D).

    The trace of the root is the sum of the singular values of A B^T, where A and B are the centred features divided by
    (N - 1)^(1/2): no root of a product of matrices, whose rounding leaves imaginary parts, and right also for few
    pictures.
    """
    roots = [_root(side) for side in (x, y)]
    trace = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    spread = sum(float(np.square(root).sum()) for root in roots)
    return float(np.square(x.mean(0) - y.mean(0)).sum() + spread - 2 * trace)


def _root(side: Features) -> Features:
    """A triangle R whose R^T R is the covariance."""
    triangle: Any = np.linalg.qr((side - side.mean(0)) / np.sqrt(len(side) - 1), mode="r")
    return np.asarray(triangle)


def named(name: str) -> Callable[[Features, Features], dict[str, float]]:
    """A function that returns the distance as NAME, with NAME_features: D, of which the bias depends."""
    return lambda x, y: {name: distance(x, y), f"{name}_features": float(x.shape[1])}
