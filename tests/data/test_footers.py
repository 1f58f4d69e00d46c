"""What is found in the footers of a split's files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.data import footers
from p2i_ray.errors import UserError


def write(file: Path, rows: int) -> str:
    pq.write_table(pa.table({"id": [f"{file.stem}-{row}" for row in range(rows)]}), file)
    return str(file)


def test_every_footer_is_looked_at_in_the_files_order(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{number:02}.parquet", number) for number in range(40)]
    found = footers.each(files, lambda file, footer: (file, footer.num_rows))
    assert found == [(file, number) for number, file in enumerate(files)]


def test_what_is_wrong_with_a_footer_is_told(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.parquet", 1), write(tmp_path / "b.parquet", 2)]

    def look(file: str, _: object) -> None:
        if file.endswith("b.parquet"):
            raise UserError(f"{file} is not wanted")

    with pytest.raises(UserError, match=r"b\.parquet is not wanted"):
        footers.each(files, look)


def test_files_without_rows_are_no_split(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{number}.parquet", 0) for number in range(2)]
    with pytest.raises(UserError, match="has no rows"):
        footers.each(files, lambda *_: None)


@pytest.mark.parametrize("column", ["id", "reference", "note"])
def test_a_column_that_is_there_twice_is_named(tmp_path: Path, column: str) -> None:
    """Also one that is not ours, as Ray reads no such file; every count of rows finds it, before Ray starts."""
    (tmp_path / "test").mkdir()
    write(tmp_path / "test" / "a.parquet", 2)
    table = pa.table({"id": ["b"], "reference": [b"1"], "note": [1]})
    pq.write_table(table.append_column(column, table[column]), tmp_path / "test" / "b.parquet")
    with pytest.raises(UserError) as refused:
        footers.count(str(tmp_path), "test")
    says = f"{tmp_path}/test/b.parquet: 2 columns are called {column}; keep one, and rename or drop the rest"
    assert str(refused.value) == says


def test_nulls_are_found_in_the_footer(tmp_path: Path) -> None:
    """In the second group of rows, and where nothing was counted."""
    table = pa.table({"id": list("abcd"), "name": ["mug", "cup", None, "jar"], "category": ["", "", "", ""]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    pq.write_table(table, tmp_path / "b.parquet", write_statistics=False)
    counted, not_counted = (footers.read(str(tmp_path / f"{name}.parquet")) for name in "ab")
    columns = ("id", "name", "category", "lacking")
    assert [footers.has_nulls(counted, column) for column in columns] == [False, True, False, False]
    assert [footers.has_nulls(not_counted, column) for column in columns] == [True, True, True, False]
