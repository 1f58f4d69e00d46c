"""The categories of the rows to train on, from their columns alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.errors import UserError
from p2i_ray.generators import row_categories


def test_counts_of_all_files_and_of_kept_rows(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    parts = [
        {"id": ["a", "b", "c"], "category": ["cup", None, "bag"]},
        {"id": ["d", "e", "f", "g"], "category": ["cup", "", " ", None]},
    ]
    for number, part in enumerate(parts):
        pq.write_table(pa.table(part), tmp_path / "train" / f"{number}.parquet")
    found = row_categories.read(str(tmp_path), "train")
    assert found.counts == {"": 4, "bag": 1, "cup": 2} and found.without == ["b", "e", "f"]
    keep = tmp_path / "keep.parquet"
    pq.write_table(pa.table({"id": ["c", "d", "g"]}), keep)
    kept = row_categories.read(str(tmp_path), "train", str(keep))
    assert kept.counts == {"": 1, "bag": 1, "cup": 1} and kept.without == ["g"]
    pq.write_table(pa.table({"id": ["h"]}), tmp_path / "train" / "2.parquet")
    with pytest.raises(UserError, match="lacks the column category"):
        row_categories.read(str(tmp_path), "train")
