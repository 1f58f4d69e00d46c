"""Checksums, against sha256sum's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from p2i_ray.data import checksums


def test_a_file_is_read_whole_and_its_line_is_sha256sums(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than is read at once
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.parquet").write_bytes(content)
    found = checksums.of_file(str(tmp_path / "train" / "a.parquet"), "train/a.parquet")
    assert found == ("train/a.parquet", hashlib.sha256(content).hexdigest(), len(content))
    assert checksums.text([found]) == f"{found.digest}  train/a.parquet\n"


def test_names_are_those_below_the_folder() -> None:
    assert checksums.names({"train": ["b", "a"], "rejected": ["rejected.csv"], "test": []}) == [
        "rejected/rejected.csv",
        "train/a",
        "train/b",
    ]
    assert checksums.of_files("/nowhere", []) == []
