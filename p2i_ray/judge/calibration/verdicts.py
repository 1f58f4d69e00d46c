"""Whether a judge passes a check that needs no gold: figures of scores before and after, and a rule said in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

MOVED = 1e-3  # a smaller change of an expected score is none
NEARLY_ALL = 0.95  # share of rows that must move
MOST_RISE = 0.1  # of the mean expected score, by orders in names
MOST_BOUGHT = 0.02  # share of rows that orders in names may get into the selection
MOST_FLIPS = 0.05  # share of rows whose decision may hang on the exemplars' order

TITLES = {
    "swapped": "swapped picture",
    "blank": "blank picture",
    "overlay": "sale banner",
    "orders": "order in the name",
    "exemplars": "exemplars reordered",
}


def percent(share: float) -> str:
    """A share in percent, with a digit behind the point only where it has one."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


_SEES = f"the score must change on at least {percent(NEARLY_ALL)} of the rows, and fall on average"
RULES = {
    "swapped": _SEES,
    "blank": _SEES,
    "overlay": "the score must fall on average",
    "orders": (
        f"the mean rise must not exceed {MOST_RISE:g}, and at most {percent(MOST_BOUGHT)} of the rows may newly be kept"
    ),
    "exemplars": f"the decision may change on at most {percent(MOST_FLIPS)} of the rows",
}


class Scores(NamedTuple):
    """Some rows' scores, in one order of rows."""

    expected: np.ndarray  # (n,) 1..5
    kept: np.ndarray  # (n,) bool: at least gamma


class Check(BaseModel):
    """One check. Shares are 0..1; None where no row could be compared."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    rule: str
    rows: int  # that were judged in all their variations
    passed: bool | None  # None: not checked
    verdict: str  # what was found, in words


class Shift(Check):
    """Rows as they are, against one variation of them."""

    before: float | None = None  # mean expected score
    after: float | None = None
    shift: float | None = None  # mean difference
    moved: float | None = None  # share of rows whose expected score changed at all
    fell: float | None = None  # share of rows whose expected score fell
    newly_kept: float | None = None  # share of rows that only the variation would keep
    no_longer_kept: float | None = None  # share of rows that only the row as it is would keep


class Spread(Check):
    """The same rows, with the exemplars in several orders."""

    orders: int
    spread: float | None = None  # mean over rows of the standard deviation of the expected score over the orders
    flips: float | None = None  # share of rows that some orders keep and others don't


def shifted(name: str, before: Scores, after: Scores, why_not: str = "no row was judged in both forms") -> Shift:
    """Figures and verdict of one variation; `why_not` is said when there is nothing to compare."""
    about = {"name": name, "title": TITLES[name], "rule": RULES[name], "rows": len(before.expected)}
    if not len(before.expected):
        return Shift(**about, passed=None, verdict=f"not checked: {why_not}")
    difference = after.expected - before.expected
    figures = {
        "before": float(before.expected.mean()),
        "after": float(after.expected.mean()),
        "shift": float(difference.mean()),
        "moved": float((abs(difference) > MOVED).mean()),
        "fell": float((difference < -MOVED).mean()),
        "newly_kept": float((after.kept & ~before.kept).mean()),
        "no_longer_kept": float((before.kept & ~after.kept).mean()),
    }
    passed = _passed(name, figures)
    return Shift(**about, **figures, passed=passed, verdict=f"{_word(passed)}: {_found(name, figures)}")


def spread(scores: Sequence[Scores], why_not: str = "no row was judged in all orders") -> Spread:
    """Figures and verdict of the exemplars' orders.

    Args:
        scores: of the same rows, one an order.
        why_not: said when there is nothing to compare.
    """
    name, rows = "exemplars", len(scores[0].expected) if scores else 0
    about = {"name": name, "title": TITLES[name], "rule": RULES[name], "rows": rows, "orders": len(scores)}
    if not rows or len(scores) < 2:
        return Spread(**about, passed=None, verdict=f"not checked: {why_not}")
    expected, kept = np.stack([s.expected for s in scores]), np.stack([s.kept for s in scores])  # (orders, n)
    mean_spread, flips = float(expected.std(0).mean()), float((kept.any(0) & ~kept.all(0)).mean())
    passed = flips <= MOST_FLIPS
    told = (
        f"the decision changes on {percent(flips)} of the rows, the score by a standard deviation of {mean_spread:.2f}"
    )
    return Spread(**about, spread=mean_spread, flips=flips, passed=passed, verdict=f"{_word(passed)}: {told}")


def _passed(name: str, figures: dict[str, float]) -> bool:
    if name == "orders":
        return figures["shift"] <= MOST_RISE and figures["newly_kept"] <= MOST_BOUGHT
    sees = name == "overlay" or figures["moved"] >= NEARLY_ALL
    return sees and figures["shift"] < 0


def _found(name: str, figures: dict[str, float]) -> str:
    shift = figures["shift"]
    mean = f"{'falls' if shift < 0 else 'rises'} by {abs(shift):.2f} on average"
    if name == "orders":
        return f"the score {mean}, and {percent(figures['newly_kept'])} of the rows would newly be kept"
    if name == "overlay":
        return f"the score {mean}"
    return f"the score changes on {percent(figures['moved'])} of the rows, and {mean}"


def _word(passed: bool) -> str:
    return "passes" if passed else "fails"
