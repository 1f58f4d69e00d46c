"""KID against torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from p2i_ray.evaluate.metrics.kid import kid


def test_as_torch_fidelity() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 16)), rng.normal(0.3, 1.2, size=(60, 16))
    expected = kid_features_to_metric(
        torch.tensor(x), torch.tensor(y), kid_subsets=1, kid_subset_size=60, verbose=False
    )
    found = kid(x, y)
    assert found["kid"] == pytest.approx(expected[KEY_METRIC_KID_MEAN], rel=1e-9)
    assert found["kid_low"] < found["kid"] < found["kid_high"]


def test_it_is_unbiased_for_few_pictures() -> None:
    """Over many sets of twenty from one source the mean is 0, within its own standard error."""
    rng = np.random.default_rng(1)
    found = [kid(rng.normal(size=(20, 4)), rng.normal(size=(20, 4)))["kid"] for _ in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
