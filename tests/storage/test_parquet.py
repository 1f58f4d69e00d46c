"""Datasets go to Parquet files and back; every row once."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.errors import UserError
from p2i_ray.storage import locations, parquet


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "out") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"


def test_a_table_is_one_file_and_is_read_back_sorted_by_id(folder: str) -> None:
    parquet.write_table(pa.table({"id": ["c", "a"], "n": [3, 1]}), locations.join(folder, "one.parquet"))
    parquet.write_table(pa.table({"id": ["b"], "n": [2]}), locations.join(folder, "two.parquet"))
    parquet.write_table(pa.table({"id": ["x"], "n": [9]}), locations.join(folder, "of-a-dead-attempt.parquet"))
    read = parquet.read_parquet(folder, ["two.parquet", "one.parquet"])
    assert read.to_pydict() == {"id": ["a", "b", "c"], "n": [1, 2, 3]}
    assert parquet.read_parquet(folder, ["two.parquet"], ["n"]).to_pydict() == {"n": [2]}


def test_half_a_file_is_named(folder: str) -> None:
    parquet.write_table(pa.table({"id": ["c", "a"]}), locations.join(folder, "one.parquet"))
    whole = locations.read_bytes(locations.join(folder, "one.parquet"))
    for content in (whole[: len(whole) // 2], b"", b"\x00\xff" * 99):
        locations.write_bytes(locations.join(folder, "one.parquet"), content)
        with pytest.raises(UserError, match=r"one.parquet is no whole Parquet file \(.*restore it") as raised:
            parquet.read_parquet(folder, ["one.parquet"])
        assert "\n" not in str(raised.value)


def test_row_groups_are_as_large_as_given(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"n": range(10)}), str(tmp_path / "t.parquet"), row_group_size=4)
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.num_row_groups == 3


def test_every_row_is_written_once_and_only_counts_come_back(ray_cluster: None, tmp_path: Path) -> None:
    import ray

    def rows(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        odd = batch["id"] % 2 == 1
        error = np.where(batch["id"] % 10 == 0, "cut off", None)
        return {"id": batch["id"].astype(str), "odd": odd, "error": error, "more": batch["id"]}

    seen: list[int] = []
    data = ray.data.range(100, override_num_blocks=4).map_batches(rows, num_cpus=0.1)
    schema = pa.schema({"id": pa.string(), "error": pa.string()})
    written = parquet.write_parquet(data, str(tmp_path), schema, seen.append, rows_per_file=30, tally=("odd",))
    assert (written.rows, written.set_aside, dict(written.facts)) == (100, 10, {"odd": 50})
    assert sum(seen) == 100 and len(seen) == len(written.files) and written.files == sorted(written.files)
    assert sorted(path.name for path in tmp_path.iterdir()) == written.files
    assert max(pq.read_metadata(tmp_path / name).num_rows for name in written.files) <= 30
    table = parquet.read_parquet(str(tmp_path), written.files)
    assert table.schema == schema  # also of a file in which no row has an error
    assert sorted(map(int, table["id"].to_pylist())) == list(range(100))
