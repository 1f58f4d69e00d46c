"""Win rates: counted by hand, their intervals against scipy and a plain resampling of votes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from p2i_ray.evaluate.study.win_rates import FEWEST, Outcome, Rate, rate


def rated(outcomes: list[Outcome]) -> Rate:
    return rate(outcomes, first="ours", second="lama", criterion="appeal")


def test_counts_by_hand() -> None:
    found = rated([Outcome("p1", "a", 1), Outcome("p1", "b", 0.5), Outcome("p2", "a", 0), Outcome("p2", "b", 1)])
    assert (found.wins, found.ties, found.losses, found.votes) == (2, 1, 1, 4)
    assert found.rate == 2.5 / 4
    assert (found.products, found.raters) == (2, 2)
    assert (found.low, found.high) == (None, None) and "10 products" in found.note


def test_no_votes_have_no_rate() -> None:
    found = rated([])
    assert found.rate is None and found.low is None and found.note == "no votes"


def test_unanimous_votes_have_an_interval_of_some_width() -> None:
    found = rated([Outcome(f"p{n}", rater, 1) for n in range(FEWEST) for rater in "abc"])
    assert found.rate == found.high == 1
    # ten products, however many raters: Wilson's lower bound for 10 of 10
    assert found.low == pytest.approx(stats.binomtest(10, 10).proportion_ci(method="wilson").low)


def test_one_rater_is_a_bootstrap_over_products() -> None:
    values = np.array([1, 1, 1, 0, 0.5, 1, 0, 1, 1, 0.5, 1, 0, 1, 1, 1, 0, 1, 1, 0.5, 1])
    found = rated([Outcome(f"p{n:02}", "a", float(one)) for n, one in enumerate(values)])
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1), vectorized=True
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.03)
    assert found.high == pytest.approx(expected.high, abs=0.03)


def test_products_and_raters_are_both_drawn() -> None:
    """Against draws of votes by a loop, with votes missing; and wider than over products alone."""
    rng = np.random.default_rng(3)
    taste = {"a": 0.9, "b": 0.5, "c": 0.6, "d": 0.2}
    outcomes = [
        Outcome(f"p{n:02}", rater, float(rng.random() < share))
        for n in range(30)
        for rater, share in taste.items()
        if rng.random() < 0.9
    ]
    table = {(one.product, one.rater): one.value for one in outcomes}
    rates = []
    for _ in range(3000):
        products = rng.integers(0, 30, 30)
        raters = rng.choice(list(taste), len(taste))
        drawn = [table[key] for n in products for rater in raters if (key := (f"p{n:02}", rater)) in table]
        rates.append(np.mean(drawn))
    low, high = np.percentile(rates, [2.5, 97.5])
    found = rated(outcomes)
    assert found.low == pytest.approx(low, abs=0.04) and found.high == pytest.approx(high, abs=0.04)
    alone = rated([one._replace(rater="a", product=f"{one.product}{one.rater}") for one in outcomes])
    assert found.high - found.low > 1.5 * (alone.high - alone.low)
