from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.epbd.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.lmm import exemplars

PICTURE = encode_png(np.full((64, 64, 3), 100, np.uint8))
LIMITS = ImageConfig(resolution=64)


def file(folder: Path, rows: list[dict]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), folder / "exemplars.parquet")
    return str(folder / "exemplars.parquet")


def row(**changes: object) -> dict:
    return {"name": "mug", "image": {"bytes": PICTURE, "path": ""}, "score": 4, **changes}


def test_exemplars_are_read(tmp_path: Path) -> None:
    (shown,) = exemplars.read(file(tmp_path, [row(reason="fine light")]), LIMITS, 300)
    assert (shown.name, shown.score, shown.reason, shown.image_part["image"]) == ("mug", 4, "fine light", PICTURE)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([{"name": "mug", "image": {"bytes": PICTURE}}], "lack the column score"),
        ([row(score=None)], "row 0: the score is None"),
        ([row(), row(score=6)], "row 1: the score is 6"),
        ([row(name=" ")], "no name"),
        ([row(image={"bytes": b"x", "path": ""})], "row 0: .*not a"),
        ([row()] * 9, "9 rows"),
    ],
)
def test_what_is_no_exemplar_is_refused(tmp_path: Path, rows: list[dict], line: str) -> None:
    with pytest.raises(UserError, match=line):
        exemplars.read(file(tmp_path, rows), LIMITS, 300)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not there"):
        exemplars.read(str(tmp_path / "none.parquet"), LIMITS, 300)
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(UserError, match="can't be read"):
        exemplars.read(str(tmp_path / "bad.parquet"), LIMITS, 300)
