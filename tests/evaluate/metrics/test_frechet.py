"""The Frechet distance of Gaussians whose distance is known, and by SciPy and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from p2i_ray.evaluate.metrics import frechet


def gaussian(mean: list[float], spread: list[float]) -> np.ndarray:
    """Points whose mean and covariance (a diagonal) are exactly those asked for: two on each axis."""
    count = 2 * len(mean)
    axes = np.diag(np.sqrt(np.array(spread) * (count - 1) / 2))
    return np.vstack([axes, -axes]) + np.array(mean)


def test_analytic_gaussians() -> None:
    """Of diagonal covariances the distance is |m1 - m2|^2 + sum (s1 - s2)^2: 9 + 16 + (2 - 1)^2 + (3 - 5)^2 = 30."""
    x, y = gaussian([0, 0], [4, 9]), gaussian([3, 4], [1, 25])
    assert np.cov(x, rowvar=False) == pytest.approx(np.diag([4, 9]))
    assert frechet.distance(x, y) == pytest.approx(30, rel=1e-12)
    assert frechet.distance(gaussian([0] * 8, [1] * 8), gaussian([0.5] * 8, [1] * 8)) == pytest.approx(2.0, rel=1e-12)
    assert frechet.distance(x, x) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("many", "few"), [(300, 200), (12, 9)])
def test_as_scipy_and_torch_fidelity(many: int, few: int) -> None:
    """Also with fewer pictures than features, where the covariances are singular."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(16, 16))
    x, y = rng.normal(size=(many, 16)) @ mixing, rng.normal(0.2, 1.3, size=(few, 16)) @ mixing
    covariances = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert frechet.distance(x, y) == pytest.approx(expected, rel=1e-4)
    sides = [fid_features_to_statistics(torch.tensor(side)) for side in (x, y)]
    assert frechet.distance(x, y) == pytest.approx(fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID])
