"""Selection: S = {x : R(x) >= gamma}."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config import LoopConfig
from p2i_ray.errors import UserError
from p2i_ray.run.manifests import Manifest
from p2i_ray.steps.round import Output
from p2i_ray.steps.selection import keep, keep_best, write_selection

SCORES = pa.table(
    {"id": ["c", "a", "b", "d"], "score": [4, 5, 3, None], "expected_score": [3.9, 4.8, 3.4, None]},
    schema=pa.schema([("id", pa.string()), ("score", pa.int32()), ("expected_score", pa.float64())]),
)


def test_the_threshold_is_inclusive_and_ids_are_sorted() -> None:
    assert keep(SCORES, LoopConfig(gamma=4))["id"].to_pylist() == ["a", "c"]


def test_the_expected_score_can_decide() -> None:
    assert keep(SCORES, LoopConfig(gamma=4, threshold_on="expected_score"))["id"].to_pylist() == ["a"]


def test_nothing_kept_says_what_to_change() -> None:
    with pytest.raises(
        UserError, match=r"keeps none of 4 rows: the highest expected_score is 4.8, idr.gamma is 5; lower idr.gamma"
    ):
        keep(SCORES, LoopConfig(gamma=5, threshold_on="expected_score"))
    with pytest.raises(UserError, match="no row has a score"):
        keep(SCORES.slice(3), LoopConfig())


@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), min_size=1, max_size=30), st.integers(1, 5))
def test_kept_and_dropped_are_all(scores: list[int | None], gamma: int) -> None:
    ids = [f"{i:02}" for i in range(len(scores))]
    table = pa.table(
        {"id": ids, "score": pa.array(scores, pa.int32()), "expected_score": pa.array(scores, pa.float64())}
    )
    wanted = [i for i, s in zip(ids, scores, strict=True) if s is not None and s >= gamma]
    if wanted:
        assert keep(table, LoopConfig(gamma=gamma))["id"].to_pylist() == wanted
    else:
        with pytest.raises(UserError):
            keep(table, LoopConfig(gamma=gamma))


def test_only_the_files_that_count_are_read(tmp_path) -> None:
    pq.write_table(SCORES.slice(0, 2), tmp_path / "one.parquet")
    pq.write_table(SCORES.slice(2, 2), tmp_path / "two.parquet")
    pq.write_table(SCORES, tmp_path / "left-by-a-killed-attempt.parquet")
    out = tmp_path / "kept.parquet"
    files = ["one.parquet", "two.parquet"]
    scores = Output(str(tmp_path), Manifest(step="score", round=1, seconds=1, files=files))
    assert write_selection(scores, LoopConfig(), str(out)) == 2
    assert pq.read_table(out)["id"].to_pylist() == ["a", "c"]


def scored(*expected: float | None) -> pa.Table:
    ids = [f"{i:02}" for i in range(len(expected))]
    whole = [None if e is None else round(e) for e in expected]
    columns = {"id": ids, "score": pa.array(whole, pa.int32()), "expected_score": pa.array(expected, pa.float64())}
    return pa.table(columns)


def test_a_share_of_the_rows_instead_of_gamma() -> None:
    table = scored(1.5, 4.9, None, 2.2, 3.1)
    kept = keep(table, LoopConfig(gamma=5, keep_fraction=0.5))
    assert kept["id"].to_pylist() == ["01", "04"]
    assert kept.schema == table.schema
    assert keep(table, LoopConfig(keep_fraction=1))["id"].to_pylist() == ["00", "01", "03", "04"]


@pytest.mark.parametrize(
    ("rows", "share", "count"),
    [(10, 0.15, 2), (10, 0.25, 3), (10, 0.14, 1), (10, 0.01, 1), (3, 0.5, 2), (100, 0.145, 15), (1, 0.2, 1)],
)
def test_a_half_is_rounded_up_and_one_row_is_always_kept(rows: int, share: float, count: int) -> None:
    assert keep_best(scored(*(1 + i / 1000 for i in range(rows))), share).num_rows == count


def test_a_number_of_rows_in_each_round() -> None:
    table = scored(1.5, 4.9, None, 2.2, 3.1)
    settings = LoopConfig(gamma=5, keep_rows=(3, 1))
    assert keep(table, settings, 1)["id"].to_pylist() == ["01", "03", "04"]
    assert keep(table, settings, 2)["id"].to_pylist() == ["01"]
    assert keep(table, LoopConfig(keep_rows=(9,)))["id"].to_pylist() == ["00", "01", "03", "04"]


def test_no_row_with_an_expected_score() -> None:
    with pytest.raises(UserError, match=r"keeps none of 2 rows: none has an expected score, which idr\.keep_fraction"):
        keep(scored(None, None), LoopConfig(keep_fraction=0.5))


@given(
    st.lists(st.one_of(st.none(), st.sampled_from([1.0, 2.5, 2.75, 4.0, 5.0])), min_size=1, max_size=40),
    st.integers(1, 100),
    st.randoms(),
)
def test_the_best_share(expected: list[float | None], percent: int, dice) -> None:
    table = scored(*expected)
    valid = sum(e is not None for e in expected)
    if not valid:
        return
    kept = keep_best(table, percent / 100)
    assert kept.num_rows == max(1, (percent * valid + 50) // 100)
    ids = kept["id"].to_pylist()
    assert ids == sorted(set(ids))
    dropped = [e for i, e in enumerate(expected) if e is not None and f"{i:02}" not in ids]
    assert min(kept["expected_score"].to_pylist()) >= max(dropped, default=1)
    shuffled = table.take(dice.sample(range(table.num_rows), table.num_rows))
    assert keep_best(shuffled, percent / 100).equals(kept)


def test_level_rows_are_not_kept_by_their_place() -> None:
    kept = keep_best(scored(*[3.0] * 90), 0.5)["id"].to_pylist()
    assert len(kept) == 45
    assert 10 < sum(int(id_) < 45 for id_ in kept) < 35
