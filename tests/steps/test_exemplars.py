"""The exemplars that a round leaves for the next one's prompt."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.requests import exemplars
from p2i_ray.run.manifests import Manifest
from p2i_ray.steps.exemplars import FILE, write_chosen
from p2i_ray.steps.round import Output
from p2i_ray.storage import parquet
from tests.support.epbd_row import row
from tests.support.write_split import write_split

NAMES = {"a": "Mug", "b": "Lamp", "c": "Vase"}


@pytest.fixture
def data(tmp_path: Path) -> str:
    write_split(str(tmp_path / "data"), "train", [row(id_, name) for id_, name in NAMES.items()])
    return str(tmp_path / "data")


def scores(folder: Path, *rows: tuple[str, int, float]) -> Output:
    table = pa.Table.from_pylist([{"id": id_, "score": score, "entropy": entropy} for id_, score, entropy in rows])
    parquet.write_table(table, str(folder / "scores" / "part.parquet"))
    return Output(str(folder / "scores"), Manifest(step="score", round=1, seconds=0, files=["part.parquet"]))


def test_chosen_rows_become_exemplars_in_their_order(ray_cluster: None, data: str, tmp_path: Path) -> None:
    judged = scores(tmp_path, ("a", 3, 0.9), ("b", 5, 0.2), ("c", 1, 0.1))
    assert write_chosen(judged, data, 3, str(tmp_path / "out")) == 3
    found = exemplars.read(str(tmp_path / "out" / FILE), ImageConfig(resolution=64), 300)
    assert [(one.name, one.score) for one in found] == [("Lamp", 5), ("Vase", 1), ("Mug", 3)]


def test_a_row_that_has_gone_is_one_line(ray_cluster: None, data: str, tmp_path: Path) -> None:
    judged = scores(tmp_path, ("gone", 5, 0.2), ("a", 1, 0.1))
    with pytest.raises(UserError, match=r"the row gone, chosen as an exemplar, is not in .*/data/train"):
        write_chosen(judged, data, 2, str(tmp_path / "out"))
