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
from p2i_ray.judge.calibration.conformal import DOUBTFUL, FLOOR, Group, Judged

COVERAGES = st.sampled_from([0.55, 0.7, 0.8, 0.9, 0.95])
NONCONFORMITIES = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)

ROWS = st.lists(  # whole score, expected score, entropy
    st.tuples(st.integers(1, 5), st.none() | st.floats(1, 5), st.none() | st.floats(0, DOUBTFUL)), min_size=1
)
QUANTILES = st.dictionaries(st.integers(1, 5), st.none() | st.floats(0, 9))


def table(*rows: tuple[int | None, float | None, float | None]) -> pa.Table:
    whole, expected, entropy = zip(*rows, strict=True)
    columns = {
        "score": pa.array(whole, pa.int64()),
        "expected_score": pa.array(expected, pa.float64()),
        "entropy": pa.array(entropy, pa.float64()),
    }
    return pa.table({"id": [f"{place:04}" for place in range(len(rows))], **columns})


def groups(quantiles: dict[int, float | None]) -> dict[int, Group]:
    return {score: Group(rows=9, quantile=quantile) for score, quantile in quantiles.items()}


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


@given(ROWS, QUANTILES)
def test_intervals_are_around_the_score_and_within_the_scale(
    rows: list[tuple[int, float | None, float | None]], quantiles: dict[int, float | None]
) -> None:
    judged = Judged(table(*rows))
    low, high = conformal.intervals(judged, groups(quantiles))
    assert (low >= 1).all() and (high <= 5).all() and (low <= judged.expected).all() and (judged.expected <= high).all()
    unknown = np.array([quantiles.get(row[0]) is None for row in rows])
    assert (low[unknown] == 1).all() and (high[unknown] == 5).all()


def test_the_doubtful_and_the_often_wrong_have_wider_intervals() -> None:
    judged = Judged(table((4, 4.2, 0.0), (4, 4.2, 0.75), (5, 4.9, 0.75), (5, None, None), (3, 3.0, 0.1)))
    low, high = conformal.intervals(judged, groups({4: 0.5, 5: 0.1}))
    widest = 0.1 * (FLOOR + math.log(5))
    assert low == pytest.approx([4.2 - 0.125, 3.7, 4.8, 5 - widest, 1])  # surely 4, perhaps 4, and too few threes
    assert high == pytest.approx([4.325, 4.7, 5, 5, 5])


def scored(number: int, seed: int = 0) -> tuple[dict[str, float], pa.Table]:
    """Rows whose judge gives 5 or 4, and is off by as much as it is doubtful: of fours more than of fives."""
    rng = np.random.default_rng(seed)
    entropy, whole = rng.uniform(0, 1.2, number), np.tile([5, 4], number)[:number]
    expected = whole - 0.2
    people = (expected - abs(rng.normal(0, 1, number)) * (6 - whole) * (entropy + FLOOR)).clip(1, 5)
    scores = table(*zip(whole.tolist(), expected.tolist(), entropy.tolist(), strict=True))
    return dict(zip(scores["id"].to_pylist(), people.tolist(), strict=True)), scores


def calibrated(people: dict[str, float], scores: pa.Table) -> tuple[conformal.Conformal, pa.Table]:
    return conformal.calibrated(people, scores, coverage=0.9, gamma=4, threshold_on="score", seed=0)


def test_the_other_half_of_each_score_is_covered_as_promised() -> None:
    """Over many data sets the mean coverage is what was asked for, and hardly more, of fours and of fives."""
    tables = [calibrated(*scored(80, seed))[1] for seed in range(60)]
    for score in (4, 5):
        rows = [row for found in tables for row in found.to_pylist() if row["tested"] and row["score"] == score]
        covered = float(np.mean([row["low"] <= row["gold"] <= row["high"] for row in rows]))
        # Without ties ceil(21 x 0.9) / 21 = 19 / 21; each data set's quantile has a standard deviation of 0.064.
        assert covered == pytest.approx(19 / 21, abs=3 * 0.064 / math.sqrt(60) + 0.02)


def test_a_calibration_by_hand() -> None:
    people, scores = scored(60)
    found, rows = calibrated(people, scores)
    every = rows.to_pylist()
    assert found.rows == 30 and found.covered is not None and found.covered.rows == 30
    for score in (4, 5):
        own = [row for row in every if row["score"] == score and not row["tested"]]
        off = sorted(abs(row["gold"] - row["expected_score"]) / (FLOOR + row["entropy"]) for row in own)
        assert found.groups[score] == Group(rows=15, quantile=off[15 - 1])  # ceil(16 x 0.9) = 15
    tested = [row for row in every if row["tested"]]
    assert found.covered.count == sum(row["low"] <= row["gold"] <= row["high"] for row in tested)
    assert found.surely is not None and found.kept_right is not None
    assert (found.surely.count, found.surely.rows) == (sum(row["low"] >= 4 for row in tested), 30)
    assert found.kept_right.count == sum(row["gold"] >= 4 for row in tested)
    again, shuffled = calibrated(people, scores.take(list(reversed(range(60)))))
    assert again == found and shuffled.equals(rows)


def test_too_few_rows_leave_every_score_possible() -> None:
    found, rows = calibrated(*scored(30))  # of each score eight to calibrate, and nine are needed
    assert {group.quantile for group in found.groups.values()} == {None} and found.mean_width == 4
    assert set(rows["low"].to_pylist()) == {1} and set(rows["high"].to_pylist()) == {5}
    assert found.surely is not None and found.surely.count == 0


def test_rows_that_were_set_aside_have_no_interval() -> None:
    scores = table((4, 4.0, None), (None, None, None))
    found, rows = calibrated({"0000": 4.0, "0001": 2.0}, scores)
    assert rows["id"].to_pylist() == ["0000"] and found.rows == 1 and found.covered is None
    nothing, rows = calibrated({"0001": 2.0}, scores.slice(1))
    assert nothing.rows == 0 and rows.num_rows == 0
    assert conformal.Conformal.model_validate(found.model_dump(mode="json")) == found
