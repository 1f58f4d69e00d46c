"""The inputs of the steps that touch all rows, and those steps that need no cluster."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench import scale_steps


@pytest.mark.parametrize("step", [name for name in scale_steps.STEPS if name not in scale_steps.ON_RAY])
def test_each_step_runs_on_inputs_made_for_it(step: str, tmp_path: Path) -> None:
    assert scale_steps.write_inputs(tmp_path, 300) == {"data": 3, "index": 2, "cache": 2, "scores": 2}
    scale_steps.STEPS[step](tmp_path / "300", 300)
    if step == "select":
        scores = pq.read_table(tmp_path / "300" / "scores").to_pylist()
        kept = pq.read_table(tmp_path / "300" / "selected.parquet")["id"].to_pylist()
        assert kept == sorted(row["id"] for row in scores if row["score"] >= 4) and 0 < len(kept) < 300


def test_ids_differ() -> None:
    assert len({scale_steps.id_for(row) for row in range(100_000)}) == 100_000
