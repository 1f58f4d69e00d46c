"""Conformal intervals of the judge's scores: where people's score lies, at a chosen coverage, without assumptions.

Split-conformal prediction: gold scores of one half of the rows tell how far the judge is off; the other half tells
whether the intervals hold. How far a row is off is measured by how doubtful the judge is of it,

    nonconformity = |gold - expected score| / (FLOOR + entropy)

and its interval is expected score ± quantile (FLOOR + entropy), within 1..5: narrow where the judge is sure. Of rows
that are drawn as those with gold were, and judged under the same prompt, at least the coverage lies within, on average
over draws. That is said of all rows together: not of the kept ones alone, nor of scores given with feedback.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from p2i_ray.judge.calibration.proportions import Proportion, proportion
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa

FLOOR = 0.25  # nats: the surest rows are off, too
DOUBTFUL = math.log(5)  # entropy where none is known, of an endpoint without probabilities or of a cascade's head
LOWEST, HIGHEST = 1.0, 5.0  # scores
Values = NDArray[np.float64]  # (N,)


class Conformal(BaseModel):
    """The intervals' width, and whether they hold."""

    model_config = ConfigDict(frozen=True)

    coverage: float  # that was asked for
    rows: int  # with gold, from which the quantile comes
    quantile: float | None  # of their nonconformities; none: too few rows, intervals are all of 1..5
    covered: Proportion | None = None  # rows of the other half whose gold lies within; none: it has no rows
    mean_width: float | None = None  # of the other half's intervals
    surely: Proportion | None = None  # of the other half's kept rows those that are surely at least gamma
    kept_right: Proportion | None = None  # of the same, those whose gold is at least gamma


def quantile(nonconformities: Values, coverage: float) -> float | None:
    """The exact finite-sample quantile: of n values the ceil((n + 1) coverage)-th smallest; none: there are too few."""
    place = int((Decimal(str(coverage)) * (len(nonconformities) + 1)).to_integral_value(ROUND_CEILING))
    return float(np.sort(nonconformities)[place - 1]) if place <= len(nonconformities) else None


def fewest(coverage: float) -> int:
    """The rows with gold that a quantile needs, in one half."""
    one = Decimal(1)
    return int((Decimal(str(coverage)) / (one - Decimal(str(coverage)))).to_integral_value(ROUND_CEILING))


def doubt(entropy: Sequence[float | None] | pa.ChunkedArray) -> Values:
    """FLOOR + entropy of rows, nats."""
    known = [DOUBTFUL if one is None else one for one in _plain(entropy)]
    return FLOOR + np.array(known, np.float64)


def intervals(expected: Values, doubts: Values, found: float | None) -> tuple[Values, Values]:
    """The rows' lowest and highest scores.

    Args:
        expected: scores, (N,).
        doubts: of `doubt`, (N,).
        found: the quantile; none: too few rows have gold, and any score is possible.
    """
    if found is None:
        return np.full_like(expected, LOWEST), np.full_like(expected, HIGHEST)
    half = found * doubts
    return (expected - half).clip(LOWEST, HIGHEST), (expected + half).clip(LOWEST, HIGHEST)


def halves(ids: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which rows are in the half that tests the intervals, by the seed and the ids alone; the other one is larger."""
    order = sorted(range(len(ids)), key=lambda place: locations.seed_for(seed, "conformal", ids[place]))
    tested = np.zeros(len(ids), bool)
    tested[order[(len(ids) + 1) // 2 :]] = True
    return tested


def calibrated(
    gold: Mapping[str, float],
    scores: pa.Table,
    *,
    coverage: float,
    gamma: float,
    threshold_on: str,
    seed: int,
) -> tuple[Conformal, pa.Table]:
    """Find the quantile from one half of the rows with gold, and try it on the other.

    Args:
        gold: id -> score, 1..5.
        scores: columns id, score, expected_score, entropy of rows that are all in gold; a null score was set aside.
        coverage: share of people's scores that must lie within.
        gamma: lowest score that is kept.
        threshold_on: the judge's score that gamma is compared with.
        seed: of the halves.

    Returns:
        What was found, and the rows: id, gold, expected_score, entropy, low, high, and whether they were `tested`.
    """
    import pyarrow as pa

    judged = scores.filter(scores["score"].is_valid()).sort_by("id")
    ids = judged["id"].to_pylist()
    given = np.array([gold[id_] for id_ in ids], np.float64)
    expected, doubts = judged["expected_score"].to_numpy().astype(np.float64), doubt(judged["entropy"])
    tested, kept = halves(ids, seed), judged[threshold_on].to_numpy() >= gamma
    found = quantile((abs(given - expected) / doubts)[~tested], coverage)
    low, high = intervals(expected, doubts, found)
    kept_ones = tested & kept
    result = Conformal(
        coverage=coverage,
        rows=int((~tested).sum()),
        quantile=found,
        covered=_share((low <= given) & (given <= high), tested),
        mean_width=float((high - low)[tested].mean()) if tested.any() else None,
        surely=_share(low >= gamma, kept_ones),
        kept_right=_share(given >= gamma, kept_ones),
    )
    columns = {"gold": given, "expected_score": expected, "entropy": judged["entropy"], "low": low, "high": high}
    return result, pa.table({"id": pa.array(ids, pa.string()), **columns, "tested": tested})


def _share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> Proportion | None:
    return proportion(int((right & among).sum()), int(among.sum()))


def _plain(values: Sequence[float | None] | pa.ChunkedArray) -> Sequence[float | None]:
    found: Sequence[float | None] = values.to_pylist() if hasattr(values, "to_pylist") else values
    return found
