"""The categories of a split, whatever types its files have."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.data import categories
from p2i_ray.errors import UserError


def write(folder: Path, file: str, **columns: pa.Array) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"id": pa.array([f"{file}{i}" for i in range(3)]), **columns}), folder / f"{file}.parquet")


def test_each_once_over_all_files(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", category=pa.array(["tent", "sofa", "tent"]))
    write(tmp_path / "test", "b", category=pa.array(["lamp", None, "sofa"], pa.large_string()).dictionary_encode())
    write(tmp_path / "test", "c", category=pa.nulls(3))
    assert categories.read(str(tmp_path), "test") == ["", "lamp", "sofa", "tent"]


def test_a_split_without_them(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", name=pa.array(["x", "y", "z"]))
    with pytest.raises(UserError, match="lacks the column category"):
        categories.read(str(tmp_path), "test")
