"""Conformal intervals of the judge's scores: where people's score lies, at a chosen coverage, without assumptions.

Split-conformal prediction: gold scores of one half of the rows tell how far the judge is off, the other half tells
whether the intervals hold. How far it is off depends on the score that it gives, so rows with the same whole score are
a group of their own (Mondrian conformal prediction); within a group it is measured by how doubtful the judge is of it,

    nonconformity = |gold - expected score| / (FLOOR + entropy)

and a row's interval is expected score ± its group's quantile (FLOOR + entropy), within 1..5. Of rows that are drawn as
those with gold were, judged under the same prompt, and given the same score, at least the coverage lies within, on
average over draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from p2i_ray.config.seeds import seed_for
from p2i_ray.judge.calibration.proportions import Proportion, proportion

if TYPE_CHECKING:
    import pyarrow as pa

FLOOR = 0.25  # nats: the surest rows are off, too
DOUBTFUL = math.log(5)  # entropy where none is known, of an endpoint without probabilities or of a cascade's head
LOWEST, HIGHEST = 1.0, 5.0  # scores
COLUMNS = ["id", "score", "expected_score", "entropy"]  # of the judge's scores
Values = NDArray[np.float64]  # (N,)


class Group(BaseModel):
    """The rows that the judge gives the same whole score."""

    model_config = ConfigDict(frozen=True)

    rows: int  # with gold, from which the quantile comes
    quantile: float | None  # of their nonconformities; none: too few rows, their intervals are all of 1..5


class Conformal(BaseModel):
    """The intervals' width, and whether they hold."""

    model_config = ConfigDict(frozen=True)

    coverage: float  # that was asked for
    groups: dict[int, Group]  # by whole score; those that no row with gold has are not there
    covered: Proportion | None = None  # rows of the other half whose gold lies within; none: it has no rows
    mean_width: float | None = None  # of the other half's intervals
    surely: Proportion | None = None  # of the other half's kept rows those that are surely at least gamma
    kept_right: Proportion | None = None  # of the same, those whose gold is at least gamma

    @property
    def rows(self) -> int:
        """With gold, from which the quantiles come."""
        return sum(group.rows for group in self.groups.values())


class Judged:
    """The judge's scores as intervals need them, sorted by id; rows that were set aside are left out.

    Args:
        scores: columns COLUMNS. Without an expected score the whole one counts.
    """

    def __init__(self, scores: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self.table = scores.filter(scores["score"].is_valid()).sort_by("id")
        self.ids: list[str] = self.table["id"].to_pylist()
        self.whole = self.table["score"].to_numpy().astype(int)
        expected = pc.coalesce(self.table["expected_score"], self.table["score"].cast(pa.float64()))
        self.expected: Values = np.asarray(expected, np.float64)
        self.doubts = doubt(self.table["entropy"].to_pylist())


def quantile(nonconformities: Values, coverage: float) -> float | None:
    """The exact finite-sample quantile: of n values the ceil((n + 1) coverage)-th smallest; none: there are too few."""
    place = int((Decimal(str(coverage)) * (len(nonconformities) + 1)).to_integral_value(ROUND_CEILING))
    return float(np.sort(nonconformities)[place - 1]) if place <= len(nonconformities) else None


def fewest(coverage: float) -> int:
    """The rows with gold that a quantile needs."""
    asked = Decimal(str(coverage))
    return int((asked / (1 - asked)).to_integral_value(ROUND_CEILING))


def doubt(entropy: Sequence[float | None]) -> Values:
    """FLOOR + entropy of rows, nats."""
    return FLOOR + np.array([DOUBTFUL if one is None else one for one in entropy], np.float64)


def intervals(judged: Judged, groups: Mapping[int, Group]) -> tuple[Values, Values]:
    """The rows' lowest and highest scores, each (N,); rows of a group without a quantile may have any score."""
    quantiles = {score: group.quantile for score, group in groups.items()}
    found = np.array([quantiles.get(score) for score in judged.whole.tolist()], np.float64)  # none: NaN
    half = np.where(np.isnan(found), HIGHEST - LOWEST, found * judged.doubts)
    return (judged.expected - half).clip(LOWEST, HIGHEST), (judged.expected + half).clip(LOWEST, HIGHEST)


def halves(judged: Judged, seed: int) -> NDArray[np.bool_]:
    """A mask of the rows in the half of their group that tests the intervals; the other half is the larger one.

    The seed and the ids alone decide.
    """
    hashes = [seed_for(seed, "conformal", id_) for id_ in judged.ids]
    tested = np.zeros(len(judged.ids), bool)
    for score in np.unique(judged.whole):
        group = sorted(np.flatnonzero(judged.whole == score), key=hashes.__getitem__)
        tested[group[(len(group) + 1) // 2 :]] = True
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
    """Find the quantiles from one half of the rows with gold, and try them on the other.

    Args:
        gold: id -> score, 1..5.
        scores: COLUMNS of rows that are all in gold; a null score was set aside.
        coverage: share of people's scores that must lie within.
        gamma: lowest score that is kept.
        threshold_on: the judge's score that gamma is compared with.
        seed: of the halves.

    Returns:
        What was found, and the rows: id, gold, score, expected_score, entropy, low, high, and whether they were
        `tested`.
    """
    import pyarrow as pa

    judged = Judged(scores)
    given = np.array([gold[id_] for id_ in judged.ids], np.float64)
    tested = halves(judged, seed)
    off = abs(given - judged.expected) / judged.doubts
    groups = {}
    for score in np.unique(judged.whole).tolist():
        own = off[(judged.whole == score) & ~tested]
        groups[score] = Group(rows=len(own), quantile=quantile(own, coverage))
    low, high = intervals(judged, groups)
    kept = tested & (judged.table[threshold_on].to_numpy() >= gamma)
    result = Conformal(
        coverage=coverage,
        groups=groups,
        covered=_share((low <= given) & (given <= high), tested),
        mean_width=float((high - low)[tested].mean()) if tested.any() else None,
        surely=_share(low >= gamma, kept),
        kept_right=_share(given >= gamma, kept),
    )
    columns = {"gold": given, **{name: judged.table[name] for name in COLUMNS[1:]}, "low": low, "high": high}
    return result, pa.table({"id": pa.array(judged.ids, pa.string()), **columns, "tested": tested})


def _share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> Proportion | None:
    return proportion(int((right & among).sum()), int(among.sum()))
