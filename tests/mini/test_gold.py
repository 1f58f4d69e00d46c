"""The toy world's truth as gold scores."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from p2i_ray.judge.calibration import gold as calibration_gold
from p2i_ray.mini import gold


def test_the_truth_as_the_loop_reads_given_scores(mini_data: str, tmp_path: Path) -> None:
    out = tmp_path / "gold.parquet"
    count = gold.write(Path(mini_data), out)
    truth = pq.read_table(f"{mini_data}/truth.parquet").to_pylist()
    assert count == len(truth)
    scores = calibration_gold.read(str(out))
    assert scores == {row["id"]: min(max(row["quality"], 1), 5) for row in truth}
