"""Proportions with exact intervals."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

CONFIDENCE = 0.95  # of intervals


class Proportion(BaseModel):
    """A share of some rows, 0..1, with its interval by Clopper and Pearson, which holds for any number of rows."""

    model_config = ConfigDict(frozen=True)

    count: int
    rows: int  # more than none
    share: float
    low: float
    high: float


def proportion(count: int, rows: int) -> Proportion | None:
    """So many of some rows; none: there are no rows."""
    if not rows:
        return None
    from scipy import stats

    found = stats.binomtest(count, rows).proportion_ci(CONFIDENCE, "exact")
    return Proportion(count=count, rows=rows, share=count / rows, low=float(found.low), high=float(found.high))
