"""The values of single pictures: the figures are their means, and features give the figures of sets again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.evaluate import picture_values
from p2i_ray.evaluate.measure import MetricSet
from p2i_ray.evaluate.metrics.kid import kid
from p2i_ray.evaluate.picture_values import Side
from tests.support.generated_rows import SCHEMA, generated, picture, png, real

MEANS = ("clip_c_i", "clip_c_b", "product_unchanged", "product_colour", "seam_contrast")


def test_figures_are_the_means_of_the_values(settings: EvaluateConfig, image: ImageConfig, tmp_path: Path) -> None:
    """Batches in another order than the ids'; a row with an error and one that can't be read are left out."""
    broken = {"id": "x", "image": {"bytes": b"no picture", "path": None}, "cutout": png(picture(1)), "error": None}
    rows = generated(13, seed=50, failed=1)
    running = MetricSet(settings, image, ("fid", *MEANS, "kid"))
    for batch in (real(7).slice(3), real(7).slice(0, 3), real(12).slice(7)):
        running.add_real(batch)
    for batch in (rows.slice(5), pa.Table.from_pylist([broken], SCHEMA), rows.slice(0, 5)):
        running.add_generated(batch)
    figures, out = running.figures(), str(tmp_path)
    running.write_values(out)

    table = pq.read_table(tmp_path / picture_values.FILE)
    assert table.column_names == ["id", *MEANS]
    assert table["id"].to_pylist() == [f"{i:03d}" for i in range(12)]
    for name in MEANS:
        values = list((picture_values.read(out, name) or {}).values())
        assert len(set(values)) > 1 or name == "product_unchanged"  # noise, which shares no pixel with its cutout
        assert np.mean(values) == pytest.approx(figures[name], rel=1e-6)
    alone = MetricSet(settings, image, ("clip_c_b",))
    alone.add_generated(rows.slice(7, 1))
    assert table["clip_c_b"][7].as_py() == pytest.approx(alone.figures()["clip_c_b"], rel=1e-5)  # each has its own

    sides = picture_values.read_features(out, "kid") or {}
    assert {name: list(side.ids) for name, side in sides.items()} == {
        "generated": [f"{i:03d}" for i in range(12)],
        "real": [f"{i:03d}" for i in range(12)],
    }
    assert kid(sides["generated"].features, sides["real"].features)["kid"] == pytest.approx(figures["kid"], rel=1e-9)
    assert sides["real"].features[9] == pytest.approx(running.encoder.embed([picture(9)])[0].numpy(), rel=1e-4)
    assert picture_values.read_features(out, "fid") is None


def test_a_picture_without_a_value(tmp_path: Path) -> None:
    out = str(tmp_path)
    picture_values.write(out, ["b", "a"], {"m": np.array([np.nan, 0.5])}, {})
    assert picture_values.read(out, "m") == {"a": 0.5}
    assert pq.read_table(tmp_path / picture_values.FILE).to_pylist() == [{"id": "a", "m": 0.5}, {"id": "b", "m": None}]


def test_the_judges_values_join_the_others_or_stand_alone(tmp_path: Path) -> None:
    out = str(tmp_path)
    picture_values.add(out, "available_rate", {"c": 1.0, "a": 0.0})
    picture_values.add(out, "vqa_score", {"c": 0.25, "b": 0.75})
    assert pq.read_table(tmp_path / picture_values.FILE).to_pylist() == [
        {"id": "a", "available_rate": 0, "vqa_score": None},
        {"id": "b", "available_rate": None, "vqa_score": 0.75},
        {"id": "c", "available_rate": 1, "vqa_score": 0.25},
    ]


def test_what_another_folder_has_of_the_same_pictures_joins_and_counts(tmp_path: Path) -> None:
    out, other = str(tmp_path / "out"), str(tmp_path / "other")
    side = {"generated": Side(["a"], np.array([[1.0]])), "real": Side(["c"], np.array([[2.0]]))}
    picture_values.write(out, ["a", "b"], {"m": np.array([1.0, 2.0]), "n": np.array([8.0, 9.0])}, {})
    picture_values.write(other, ["b", "a"], {"n": np.array([4.0, 3.0])}, {"kid": side})
    for _ in range(2):  # also after an attempt that ended here
        picture_values.join(other, out, ["n", "kid"])
    assert picture_values.read(out, "m") == {"a": 1, "b": 2} and picture_values.read(out, "n") == {"a": 3, "b": 4}
    assert (picture_values.read_features(out, "kid") or {})["real"].features.tolist() == [[2]]


@pytest.mark.parametrize("value", [0.5, 0.1])
def test_features_come_back_as_they_were(tmp_path: Path, value: float) -> None:
    """Also those that single precision does not hold."""
    given = {
        "generated": Side(["b", "a"], np.array([[1.0, value], [2.0, 3.0]])),
        "real": Side(["c"], np.array([[4.0, 5.0]])),
    }
    picture_values.write(str(tmp_path), ["b", "a"], {}, {"kid": given})
    found = picture_values.read_features(str(tmp_path), "kid") or {}
    assert found["generated"].ids == ["a", "b"] and found["real"].ids == ["c"]
    assert found["generated"].features.tolist() == [[2, 3], [1, value]] and found["real"].features.tolist() == [[4, 5]]


def test_files_of_an_unfinished_attempt_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("values.parquet", "features-kid.parquet", "metrics.json", "other.parquet"):
        (tmp_path / name).write_bytes(b"")
    picture_values.clear(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "other.parquet"}
