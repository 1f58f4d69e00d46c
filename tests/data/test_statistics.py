"""Figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data import statistics, writing
from p2i_ray.data.schema import INGESTED, SCHEMA
from tests.support.write_split import write_split


def sample(id: str, name: str, category: str, *, grey: int, product_rows: int) -> dict[str, Any]:
    mask = np.zeros((10, 10), np.uint8)
    mask[:product_rows] = 255
    picture = np.full((10, 10, 3), grey, np.uint8)
    return writing.sample(id, name, category, cutout=np.dstack([picture, mask]), picture=picture, lossless=True)


def test_figures(tmp_path: Path, ray_cluster: None) -> None:
    data = str(tmp_path / "data")
    broken = sample("d", "Bag", "Bag", grey=9, product_rows=5)
    broken["cutout"]["bytes"] = b"broken"
    mug, mugs = (
        sample("a", "Mug", "Cup", grey=1, product_rows=2),
        sample("b", "Mugs", "Cup", grey=2, product_rows=4),
    )
    lamp, bag = (
        sample("a", "Lamp 5", "Lamp", grey=1, product_rows=6),
        sample("e", "Bag", "Bag", grey=7, product_rows=6),
    )
    write_split(data, "train", [mug, mugs, broken])
    write_split(data, "test_unseen", [lamp, bag])
    done: list[int] = []
    table = statistics.measure(data, str(tmp_path / "work"), ImageConfig(), done.append)
    figures = statistics.summarise(table)
    assert sum(done) == figures["rows"] == 5
    assert figures["splits"] == {"train": 3, "test_unseen": 2}
    assert figures["categories"] == 3 and figures["unseen_categories_elsewhere"] == ["bag"]
    assert figures["name_chars"]["median"] == 3 and figures["name_chars"]["max"] == 6
    assert figures["image_sizes"] == {"10x10": 5}
    assert figures["product_share"] == {"min": 0.2, "p25": 0.35, "median": 0.5, "p75": 0.6, "max": 0.6}
    assert (figures["repeated_ids"], figures["repeated_images"], figures["images_in_several_splits"]) == (1, 1, 1)
    # "Bag" only names its category. Plain pictures of nearly one grey are near each other.
    assert (figures["products"], figures["products_in_several_splits"], figures["names_in_several_splits"]) == (5, 0, 0)
    assert figures["near_duplicates_in_several_splits"] > 0
    assert figures["unusable"] == {"unreadable": 1}
    assert statistics.plot(table, "five rows").startswith(b"\x89PNG")


def test_dollars_in_categories_and_paths_are_no_formulas() -> None:
    table = pa.table({"category": ["$10_to_$20", "Cup"], "name": ["Mug", "Jug"], "product_share": [0.2, None]})
    assert statistics.plot(table, "data/$_$: 2 rows").startswith(b"\x89PNG")


def test_a_cutout_without_a_scene_is_measured_by_itself() -> None:
    row = sample("a", "Mug", "Cup", grey=1, product_rows=2) | {"image": None}
    found = statistics._measure_row(row, ImageConfig())
    assert (found["scene"], found["width"], found["product_share"], found.get("error")) == (False, 10, 0.2, None)
    with_scene = statistics._measure_row(sample("a", "Mug", "Cup", grey=1, product_rows=2), ImageConfig())
    assert with_scene["scene"] and with_scene["digest"] != found["digest"]


def pictures(height: int, width: int, *, of: str = "image cutout") -> dict[str, Any]:
    """Some of a row's pictures, of this size; the upper half is the product."""
    cutout = np.zeros((height, width, 4), np.uint8)
    cutout[: height // 2] = 255
    row = writing.sample("", "", "", cutout=cutout, picture=cutout[..., :3], lossless=True)
    return {column: row[column] for column in of.split()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": " "}, "no name"),
        (pictures(8, 8, of="cutout"), "another size"),
        (pictures(10, 8), "another shape"),
    ],
)
def test_what_encoding_sets_aside_cannot_be_used(change: dict[str, Any], reason: str) -> None:
    row = sample("a", "Mug", "Cup", grey=1, product_rows=2) | change
    found = statistics._measure_row(row, ImageConfig())
    assert found["error"].partition(": ")[0] == reason and found["product_share"] > 0


def test_cutouts_are_counted_by_where_their_masks_are_from(tmp_path: Path) -> None:
    rows = [sample(str(i), "Mug", "Cup", grey=i, product_rows=2) for i in range(4)]
    for row, doubt in zip(rows, (0.25, 1.5, None), strict=False):
        row["quality"] = {"source": "grabcut", "doubt": doubt} if doubt else {"source": "alpha", "doubt": 0.0}
    measured = [statistics._measure_row(row, ImageConfig()) | {"split": "train"} for row in rows]
    kinds = statistics._schema().append(pa.field("split", pa.string()))
    found = statistics.summarise(pa.Table.from_pylist(measured, schema=kinds))["cutouts"]
    assert list(found) == ["grabcut", "alpha"] and found["grabcut"]["rows"] == 2
    assert (found["grabcut"]["beyond"], found["grabcut"]["doubt"]["max"], found["alpha"]["beyond"]) == (1, 1.5, 0)


def test_a_column_quality_of_another_writer_is_not_ours(tmp_path: Path) -> None:
    rows = [sample(str(i), "Mug", "Cup", grey=i, product_rows=2) for i in range(2)]
    schema = SCHEMA.append(pa.field("quality", pa.string()))
    writing.write_shard([row | {"quality": "good"} for row in rows], str(tmp_path / "train"), schema)
    assert "quality" not in statistics._known(str(tmp_path), "train")
    writing.write_shard([{**row, "group": "g"} for row in rows], str(tmp_path / "test"), INGESTED)
    assert {"quality", "group"} <= {*statistics._known(str(tmp_path), "test")}
