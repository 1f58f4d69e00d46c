"""Scores that a file gives in the judge's place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.tasks import SCORES
from p2i_ray.steps import given_scores


def test_each_row_has_its_score_or_is_set_aside() -> None:
    found = given_scores.given_to(pa.table({"id": ["a", "b", "c"]}), {"a": 4.5, "c": 1, "other": 3})
    assert found.schema == SCORES
    assert found.select(["id", "score", "expected_score", "error"]).to_pylist() == [
        {"id": "a", "score": 5, "expected_score": 4.5, "error": None},
        {"id": "b", "score": None, "expected_score": None, "error": "idr.given_scores has no score for it"},
        {"id": "c", "score": 1, "expected_score": 1.0, "error": None},
    ]


def test_rows_of_a_data_set(ray_cluster: None, tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("id,score\n1,2.5\n2,5\n")
    rows = ray.data.from_arrow(pa.table({"id": ["2", "1", "3"]}))
    written = given_scores.write(rows, str(tmp_path / "given.csv"), str(tmp_path / "scores"))
    assert (written.rows, written.set_aside) == (3, 1)
    table = pa.concat_tables(pq.read_table(tmp_path / "scores" / name) for name in written.files).sort_by("id")
    assert table["expected_score"].to_pylist() == [2.5, 5.0, None]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are not there"):
        given_scores.write(None, str(tmp_path / "none.csv"), str(tmp_path / "out"))  # type: ignore[arg-type]
