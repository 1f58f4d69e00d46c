"""The painting method of a job: what it says of categories that weren't trained, and of metrics that would mislead."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.data.schema import IMAGE, SCHEMA
from p2i_ray.errors import UserError
from p2i_ray.generators.methods import beside, check_compared, warn_of_stand_ins
from tests.support.generator_folders import make_folders
from tests.support.make_requests import DIFFUSION


def write(folder: Path, categories: list[str], **columns: Any) -> str:
    (folder / "test").mkdir(parents=True)
    rows = [{"id": str(i), "name": "cup", "category": name, **columns} for i, name in enumerate(categories)]
    schema = pa.schema([*SCHEMA, *(pa.field(name, IMAGE) for name in columns)])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "test" / "0.parquet")
    return str(folder)


def test_categories_that_stand_in_are_told_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = make_folders(tmp_path / "generators").model_copy(update={"personality": None})
    data = write(tmp_path / "data", ["cup", "CUP ", "cups", "cups", "", "0000", "bags"])
    with caplog.at_level(logging.WARNING):
        warn_of_stand_ins(beside(DIFFUSION, settings, data, "test"), data, "test")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "category 'bags' was not trained; it is painted as 'bag'",
        "category 'cups' was not trained; it is painted as 'cup'",
    ]
    caplog.clear()
    strict = settings.model_copy(update={"unknown_category": "error"})
    warn_of_stand_ins(beside(DIFFUSION, strict, data, "test"), data, "test")
    assert not caplog.records


def test_similarity_to_another_reference_is_not_measured(tmp_path: Path) -> None:
    settings = make_folders(tmp_path / "generators")
    data = write(tmp_path / "data", ["cup"], reference=None)
    check_compared(beside(DIFFUSION, settings, data, "test"), data, "test")
    with pytest.raises(UserError, match=r"compares with the column reference, and reference=self has pictures"):
        check_compared(beside(DIFFUSION, settings, data, "test", own=True), data, "test")
    plain = write(tmp_path / "plain", ["cup"])
    with pytest.raises(UserError, match=r"test has no column reference; add it"):
        check_compared(beside(DIFFUSION, settings, plain, "test", own=True), plain, "test")
