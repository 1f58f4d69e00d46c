"""The rate at which one method is preferred to another, with an interval.

Votes are not independent: a product that one method painted badly loses with every rater, and a rater may have a taste
of his own. So the interval is a bootstrap over both: products and raters are drawn with replacement, and a vote counts
as often as its product was drawn times as often as its rater was (Owen's pigeonhole bootstrap). It says how far the
rate would move with other products and other raters, and is rather too wide than too narrow. With one rater it is over
products alone.

Where all votes are equal every draw is, too, and would give an interval of no width; there it is Wilson's, with one
observation a product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from p2i_ray.evaluate.metrics import bootstrap

FEWEST = 10  # products from which there is an interval


class Outcome(NamedTuple):
    """One vote on a pair of methods."""

    product: str
    rater: str
    value: float  # 1: the first is preferred; 0: the second; 0.5: no difference


class Rate(BaseModel):
    """The rate at which the first of two methods is preferred."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: str
    second: str
    criterion: str
    wins: int  # votes for the first
    ties: int  # no difference
    losses: int  # votes for the second
    rate: float | None  # share of votes for the first, 0..1; no difference counts half. None: no votes
    low: float | None  # of its 95 % interval
    high: float | None
    products: int
    raters: int
    note: str = ""  # why there is no interval

    @property
    def votes(self) -> int:
        """All votes."""
        return self.wins + self.ties + self.losses


def rate(outcomes: Sequence[Outcome], *, first: str, second: str, criterion: str) -> Rate:
    """The rate of these votes."""
    values = [one.value for one in outcomes]
    products = sorted({one.product for one in outcomes})
    raters = sorted({one.rater for one in outcomes})
    low = high = None
    note = "no votes"
    if outcomes:
        note = f"an interval needs {FEWEST} products" if len(products) < FEWEST else ""
        if not note:
            low, high = _interval(outcomes, products, raters)
    return Rate(
        first=first,
        second=second,
        criterion=criterion,
        wins=values.count(1),
        ties=values.count(0.5),
        losses=values.count(0),
        rate=sum(values) / len(values) if values else None,
        low=low,
        high=high,
        products=len(products),
        raters=len(raters),
        note=note,
    )


def _interval(outcomes: Sequence[Outcome], products: Sequence[str], raters: Sequence[str]) -> tuple[float, float]:
    if len({one.value for one in outcomes}) == 1:
        return bootstrap.wilson(outcomes[0].value, len(products))
    rows, columns = ({name: i for i, name in enumerate(names)} for names in (products, raters))
    sums, counts = np.zeros((2, len(products), len(raters)))  # a rater may be asked about a product more than once
    for one in outcomes:
        sums[rows[one.product], columns[one.rater]] += one.value
        counts[rows[one.product], columns[one.rater]] += 1
    of_products = bootstrap.weights(len(products))  # (B, P)
    of_raters = bootstrap.weights(len(raters), side=1)  # (B, R)
    total = ((of_products @ counts) * of_raters).sum(1)  # (B,)
    won = ((of_products @ sums) * of_raters).sum(1)
    drawn = total > 0  # where few have answered, a draw may hold no vote
    found = bootstrap.interval("rate", won[drawn] / total[drawn])
    return found["rate_low"], found["rate_high"]
