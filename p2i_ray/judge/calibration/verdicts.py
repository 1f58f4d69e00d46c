"""Verdicts of the checks without gold: figures of the scores before and after, and the rule in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

MIN_CHANGE = 1e-3  # of an expected score; a smaller one counts as none
MIN_MOVED = 0.95  # fraction of rows whose score must change
MAX_RISE = 0.1  # of the mean expected score, by instructions in names
MAX_NEWLY_KEPT = 0.02  # fraction of rows that instructions in names may get into the selection
MAX_FLIPS = 0.05  # fraction of rows whose decision may depend on the exemplars' order

TITLES = {
    "swapped": "swapped picture",
    "blank": "blank picture",
    "overlay": "sale banner",
    "orders": "instruction in the name",
    "exemplars": "exemplars reordered",
}


def percent(fraction: float) -> str:
    """A fraction as a percentage, with at most one decimal."""
    return f"{100 * fraction:.1f}".removesuffix(".0") + " %"


_MUST_FALL = f"the score must change on at least {percent(MIN_MOVED)} of the rows, and fall on average"
RULES = {
    "swapped": _MUST_FALL,
    "blank": _MUST_FALL,
    "overlay": "the score must fall on average",
    "orders": (
        f"the mean rise must not exceed {MAX_RISE:g}, "
        f"and at most {percent(MAX_NEWLY_KEPT)} of the rows may newly be kept"
    ),
    "exemplars": f"the decision may change on at most {percent(MAX_FLIPS)} of the rows",
}


class Scores(NamedTuple):
    """The scores of some rows, in one order."""

    expected: np.ndarray  # (n,) 1..5
    kept: np.ndarray  # (n,) bool: at least gamma


class Check(BaseModel):
    """One check. Fractions are 0..1; None where no row could be compared."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    rule: str
    rows: int  # judged in all their variations
    passed: bool | None  # None: not checked
    verdict: str  # the result in words


class Shift(Check):
    """Unchanged rows against one variation of them."""

    before: float | None = None  # mean expected score
    after: float | None = None
    shift: float | None = None  # mean difference
    moved: float | None = None  # fraction of rows whose expected score changed
    fell: float | None = None  # fraction of rows whose expected score fell
    newly_kept: float | None = None  # fraction of rows kept only in the variation
    no_longer_kept: float | None = None  # fraction of rows kept only unchanged


class Spread(Check):
    """The same rows with the exemplars in several orders."""

    orders: int
    spread: float | None = None  # mean over rows of the standard deviation of the expected score over the orders
    flips: float | None = None  # fraction of rows that some orders keep and others don't


def shifted(name: str, before: Scores, after: Scores, reason: str = "no row was judged in both forms") -> Shift:
    """Figures and verdict of one variation; `reason` explains a missing comparison."""
    about: dict[str, Any] = {"name": name, "title": TITLES[name], "rule": RULES[name], "rows": len(before.expected)}
    if not len(before.expected):
        return Shift(**about, passed=None, verdict=f"not checked: {reason}")
    difference = after.expected - before.expected
    figures = {
        "before": float(before.expected.mean()),
        "after": float(after.expected.mean()),
        "shift": float(difference.mean()),
        "moved": float((abs(difference) > MIN_CHANGE).mean()),
        "fell": float((difference < -MIN_CHANGE).mean()),
        "newly_kept": float((after.kept & ~before.kept).mean()),
        "no_longer_kept": float((before.kept & ~after.kept).mean()),
    }
    passed = _passed(name, figures)
    return Shift(**about, **figures, passed=passed, verdict=f"{_word(passed)}: {_found(name, figures)}")


def spread(scores: Sequence[Scores], reason: str = "no row was judged in all orders") -> Spread:
    """Figures and verdict of the exemplars' orders.

    Args:
        scores: scores of the same rows, one for each order.
        reason: explains a missing comparison.
    """
    name, rows = "exemplars", len(scores[0].expected) if scores else 0
    about: dict[str, Any] = {
        "name": name,
        "title": TITLES[name],
        "rule": RULES[name],
        "rows": rows,
        "orders": len(scores),
    }
    if not rows or len(scores) < 2:
        return Spread(**about, passed=None, verdict=f"not checked: {reason}")
    expected, kept = np.stack([s.expected for s in scores]), np.stack([s.kept for s in scores])  # (orders, n)
    mean_spread, flips = float(expected.std(0).mean()), float((kept.any(0) & ~kept.all(0)).mean())
    passed = flips <= MAX_FLIPS
    found = (
        f"the decision changes on {percent(flips)} of the rows, the score by a standard deviation of {mean_spread:.2f}"
    )
    return Spread(**about, spread=mean_spread, flips=flips, passed=passed, verdict=f"{_word(passed)}: {found}")


def _passed(name: str, figures: dict[str, float]) -> bool:
    if name == "orders":
        return figures["shift"] <= MAX_RISE and figures["newly_kept"] <= MAX_NEWLY_KEPT
    looks = name == "overlay" or figures["moved"] >= MIN_MOVED
    return looks and figures["shift"] < 0


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
