"""Conformal intervals: the exact quantile by hand, and coverage as a property of any numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.judge.calibration import conformal
from p2i_ray.judge.calibration.conformal import DOUBTFUL, FLOOR

COVERAGES = st.sampled_from([0.55, 0.7, 0.8, 0.9, 0.95])
NONCONFORMITIES = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)

ROWS = st.lists(st.tuples(st.floats(1, 5), st.none() | st.floats(0, DOUBTFUL)), min_size=1)  # expected score, entropy


@pytest.mark.parametrize(
    ("rows", "coverage", "place"),
    [
        (9, 0.9, 9),  # 10 x 0.9 is the ninth
        (8, 0.9, None),  # ceil(8.1) is the ninth of eight
        (19, 0.9, 18),
        (20, 0.9, 19),  # ceil(18.9)
        (19, 0.55, 11),  # 20 x 0.55 is 11 exactly, which floating point makes a little more
        (0, 0.9, None),
    ],
)
def test_the_quantile_is_the_finite_samples_own(rows: int, coverage: float, place: int | None) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, rows + 1))
    assert conformal.quantile(values, coverage) == place
    assert rows >= conformal.fewest(coverage) or place is None


@given(NONCONFORMITIES, COVERAGES)
def test_of_exchangeable_rows_at_least_the_coverage_lies_within(values: list[float], coverage: float) -> None:
    """Whichever of n + 1 rows comes last is as likely as any other: so many are covered by the others' quantile."""
    rows = np.array(values)
    others = (conformal.quantile(np.delete(rows, place), coverage) for place in range(len(rows)))
    covered = sum(found is None or value <= found for value, found in zip(rows, others, strict=True))
    assert Fraction(covered, len(rows)) >= Fraction(str(coverage))
    if len(set(values)) == len(values) and len(rows) > conformal.fewest(coverage):  # and no more than it must be
        assert covered == math.ceil(Fraction(str(coverage)) * len(rows))


@given(ROWS, st.none() | st.floats(0, 9))
def test_intervals_are_around_the_score_and_within_the_scale(
    rows: list[tuple[float, float | None]], quantile: float | None
) -> None:
    expected = np.array([row[0] for row in rows])
    low, high = conformal.intervals(expected, conformal.doubt([row[1] for row in rows]), quantile)
    assert (low >= 1).all() and (high <= 5).all() and (low <= expected).all() and (expected <= high).all()


def test_the_doubtful_have_wider_intervals() -> None:
    low, high = conformal.intervals(np.array([4.2, 4.2, 4.9]), conformal.doubt([0.0, 0.75, None]), 0.5)
    assert low == pytest.approx([4.2 - 0.125, 3.7, 4.9 - 0.5 * (FLOOR + math.log(5))])
    assert high == pytest.approx([4.325, 4.7, 5])  # surely 4, perhaps 4, and no more than 5


def scored(number: int, seed: int = 0) -> tuple[dict[str, float], pa.Table]:
    """Rows whose judge is off by as much as it is doubtful."""
    rng = np.random.default_rng(seed)
    people, entropy = rng.integers(1, 6, number).astype(float), rng.uniform(0, 1.2, number)
    expected = (people + rng.normal(0, 1, number) * 0.5 * (entropy + FLOOR)).clip(1, 5)
    ids = [f"{place:04}" for place in range(number)]
    columns = {"score": np.round(expected).astype(int), "expected_score": expected, "entropy": entropy}
    return dict(zip(ids, people, strict=True)), pa.table({"id": ids, **columns})


def calibrated(people: dict[str, float], scores: pa.Table, **given: object) -> tuple[conformal.Conformal, pa.Table]:
    settings: dict[str, object] = {"coverage": 0.9, "gamma": 4, "threshold_on": "score", "seed": 0}
    return conformal.calibrated(people, scores, **{**settings, **given})  # type: ignore[arg-type]


def test_the_other_half_is_covered_as_promised() -> None:
    """Over many data sets the mean coverage of 20 rows each is what was asked for, and hardly more."""
    covered = [calibrated(*scored(40, seed))[0].covered for seed in range(200)]
    mean = float(np.mean([one.share for one in covered if one is not None]))
    # Exactly ceil(21 x 0.9) / 21 = 19 / 21 without ties; 4,000 rows, so three standard errors are below 0.02.
    assert mean == pytest.approx(19 / 21, abs=0.02)


def test_a_calibration_by_hand() -> None:
    people, scores = scored(30)
    found, rows = calibrated(people, scores)
    assert (found.rows, found.covered.rows if found.covered else 0) == (15, 15)
    table = {row["id"]: row for row in rows.to_pylist()}
    other = sorted(
        abs(row["gold"] - row["expected_score"]) / (FLOOR + row["entropy"])
        for row in table.values()
        if not row["tested"]
    )
    assert found.quantile == other[15 - 1]  # ceil(16 x 0.9) = 15
    tested = [row for row in table.values() if row["tested"]]
    assert found.covered is not None and found.covered.count == sum(r["low"] <= r["gold"] <= r["high"] for r in tested)
    kept = [row for row in tested if round(row["expected_score"]) >= 4]
    assert found.surely is not None and found.kept_right is not None
    assert (found.surely.count, found.surely.rows) == (sum(row["low"] >= 4 for row in kept), len(kept))
    assert found.kept_right.count == sum(row["gold"] >= 4 for row in kept)
    shuffled = calibrated(people, scores.take(list(reversed(range(30)))))
    assert shuffled[0] == found and shuffled[1].equals(rows)


def test_too_few_rows_leave_every_score_possible() -> None:
    found, rows = calibrated(*scored(10))  # five to calibrate, and nine are needed
    assert found.quantile is None and found.mean_width == 4
    assert set(rows["low"].to_pylist()) == {1} and set(rows["high"].to_pylist()) == {5}
    assert found.surely is None or found.surely.count == 0


def test_rows_that_were_set_aside_have_no_interval() -> None:
    scores = pa.table(
        {
            "id": ["a", "b"],
            "score": pa.array([4, None], pa.int64()),
            "expected_score": pa.array([4.0, None], pa.float64()),
            "entropy": pa.array([None, None], pa.float64()),
        }
    )
    found, rows = calibrated({"a": 4.0, "b": 2.0}, scores)
    assert rows["id"].to_pylist() == ["a"] and found.rows == 1 and found.covered is None
    nothing, rows = calibrated({"b": 2.0}, scores.slice(1))
    assert nothing.rows == 0 and rows.num_rows == 0
