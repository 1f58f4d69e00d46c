"""The driver's benchmark does an ingestion's own steps, for all rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from bench import children, ingest_driver
from p2i_ray.data.near_duplicates import pairs
from p2i_ray.data.sources import ledger
from p2i_ray.data.sources.slices import Slices


def test_all_rows_end_in_splits_and_in_the_ledger(tmp_path: Path) -> None:
    text = ingest_driver.write_list(tmp_path / "few", 1500)
    assert text == (tmp_path / "few" / "names.csv").stat().st_size
    seen = []

    def work(slices: Slices) -> pa.Table:
        seen.extend(row for one in slices for row in one["id"].to_pylist())
        return ingest_driver.reported(slices)

    counts, _ = ingest_driver.drive(tmp_path / "few", work)
    assert sorted(seen) == sorted(f"sku-{row}" for row in range(1500))
    lines = ledger.read(str(tmp_path / "few-out"))
    assert sum(counts.values()) == lines.num_rows == 1500
    alike = pairs(lines["fingerprint"].to_pylist())
    assert len(alike) == 2  # one row of a thousand
    assert all(lines["product"][a] == lines["product"][b] for a, b in alike.tolist())


@pytest.mark.slow
@pytest.mark.heavy
def test_memory_hardly_grows_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (150_000, 450_000):
        ingest_driver.write_list(tmp_path / str(rows), rows)
        peaks.append(children.measure("bench.ingest_driver", tmp_path / str(rows)).peak_mb)
    assert peaks[1] - peaks[0] < 20  # rows in memory took 150
