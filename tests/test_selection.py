"""Selection: S = {x : R(x) >= gamma}."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config import LoopConfig
from p2i_ray.errors import UserError
from p2i_ray.selection import keep, select

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
    assert select(str(tmp_path), ["one.parquet", "two.parquet"], LoopConfig(), str(out)) == 2
    assert pq.read_table(out)["id"].to_pylist() == ["a", "c"]
