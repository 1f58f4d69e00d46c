"""The longest names of a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.data import longest_names
from p2i_ray.errors import UserError


def data(folder: Path, *files: Any) -> str:
    (folder / "train").mkdir()
    for number, names in enumerate(files):
        table = pa.table({"id": list(map(str, range(len(names)))), "name": names})
        pq.write_table(table, folder / "train" / f"{number}.parquet", row_group_size=2)
    return str(folder)


def test_names_of_all_files_are_sorted_by_their_bytes(tmp_path: Path) -> None:
    where = data(tmp_path, ["mug", "a cup", None, "mug"], ["büro", "ääää", "", "a cup"])
    assert longest_names.read(where, "train", 300) == ["ääää", "büro", "a cup", "mug", ""]
    assert longest_names.read(where, "train", 300, number=2) == ["ääää", "büro"]
    assert longest_names.read(where, "train", 2, number=2) == ["ää", "bü"]


def test_names_of_other_types_are_read(tmp_path: Path) -> None:
    where = data(tmp_path, pa.array(["mug", "cups"]).dictionary_encode(), pa.array(["jar"], pa.large_string()))
    assert longest_names.read(where, "train", 300) == ["cups", "mug", "jar"]


def test_data_without_names_are_one_line(tmp_path: Path) -> None:
    where = data(tmp_path)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "train" / "0.parquet")
    with pytest.raises(UserError, match="lacks the column name"):
        longest_names.read(where, "train", 300)
