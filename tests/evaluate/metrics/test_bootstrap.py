"""Intervals against the textbook's standard error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

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


def test_wilson_is_scipys() -> None:
    for won, count in ((0, 10), (7, 12), (40, 40)):
        expected = stats.binomtest(won, count).proportion_ci(method="wilson")
        assert bootstrap.wilson(won / count, count) == pytest.approx((expected.low, expected.high))


def test_a_share_of_all_or_none_has_an_interval_of_some_width() -> None:
    """16 of 16 come about in 44 of 100 cases where the truth is 0.95; any other share is a mean as others."""
    for value in (0.0, 1.0):
        expected = stats.binomtest(int(16 * value), 16).proportion_ci(method="wilson")
        found = bootstrap.of_share("s", np.full(16, value))
        assert list(found.values()) == pytest.approx([value, expected.low, expected.high])
    some = np.array([0.0, 1.0, 1.0, 1.0])
    assert bootstrap.of_share("s", some) == bootstrap.of_mean("s", some)
