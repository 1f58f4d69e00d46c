"""CMMD by its definition, written out, and by torch-fidelity's unbiased estimate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from p2i_ray.evaluate.metrics.cmmd import cmmd

pytestmark = pytest.mark.long


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.sqrt((features**2).sum(1, keepdims=True))


def test_both_estimates() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 16)), rng.normal(0.4, 1, size=(40, 16))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.exp(-((one - other) ** 2).sum() / 200) for one in unit(a) for other in unit(b)]))

    found = cmmd(3 * x, 5 * y)  # lengths of features don't count
    assert found["cmmd"] == pytest.approx(1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y)), rel=1e-6)
    expected = kid_features_to_metric(
        torch.tensor(unit(x)),
        torch.tensor(unit(y)),
        kid_subsets=1,
        kid_subset_size=40,
        kid_kernel="rbf",
        kid_kernel_rbf_sigma=10,
        verbose=False,
    )
    assert found["cmmd_unbiased"] == pytest.approx(1000 * expected[KEY_METRIC_KID_MEAN], rel=1e-6)
    assert 0 < found["cmmd_unbiased"] < found["cmmd"]
    assert found["cmmd_low"] < found["cmmd_high"]
