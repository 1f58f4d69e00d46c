"""Intervals against the textbook's standard error."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.evaluate.metrics import bootstrap


def test_the_interval_of_a_mean_is_two_standard_errors_wide() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = bootstrap.of_mean("m", values)
    error = values.std() / np.sqrt(400)
    assert found["m"] == pytest.approx(values.mean(), rel=1e-12)
    assert found["m_low"] == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found["m_high"] == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_a_resample_draws_as_many_as_there_are_and_the_two_sides_differ() -> None:
    one, other = bootstrap.weights(7), bootstrap.weights(7, side=1)
    assert one.shape == (1 + bootstrap.RESAMPLES, 7)
    assert (one[0] == 1).all() and (one.sum(1) == 7).all()
    assert (one != other).any() and (one == bootstrap.weights(7)).all()


def test_the_order_of_batches_does_not_matter() -> None:
    a, b = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([[2.0, 0.0]])
    assert bootstrap.ordered([a, b]).tolist() == bootstrap.ordered([b, a]).tolist() == [[1, 2], [2, 0], [3, 1]]
