"""The page of a data set: its figures, what people wrote in it, and pictures of the cutouts that deserve a look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data import statistics, writing
from p2i_ray.data.schema import INGESTED, REJECTED_SCHEMA, SCHEMA
from p2i_ray.report import dataset

IMAGE = ImageConfig(resolution=32)
EVIL = "<script>alert(1)</script>"


def row(number: int, *, doubt: float | None = None, scene: bool = True, name: str | None = None) -> dict[str, Any]:
    cutout = np.full((32, 32, 4), 40 * number, np.uint8)
    cutout[..., 3] = 0
    cutout[8:24, 8:24, 3] = 255
    picture = np.full((32, 32, 3), 10 * number, np.uint8) if scene else None
    found = writing.sample(f"r{number}", name or f"Mug {number}", EVIL, cutout=cutout, picture=picture)
    quality = None if doubt is None else {"source": "grabcut", "doubt": doubt}
    return {**found, "quality": quality, "group": f"g{number}"}


def measured(splits: dict[str, list[dict[str, Any]]]) -> pa.Table:
    tables = []
    for split, rows in splits.items():
        table = pa.Table.from_pylist([statistics._measure_row(one, IMAGE) for one in rows], schema=statistics._schema())
        tables.append(table.append_column("split", pa.array([split] * len(rows), pa.string())))
    return pa.concat_tables(tables)


@pytest.fixture
def splits() -> dict[str, list[dict[str, Any]]]:
    return {
        "train": [row(1, doubt=0.25), row(2, doubt=0.75), row(3, doubt=None, name=EVIL)],
        "test": [row(4, scene=False), {**row(1), "id": "again"}],
    }


def page(tmp_path: Path, splits: dict[str, list[dict[str, Any]]], schema: pa.Schema = INGESTED) -> str:
    for split, rows in splits.items():
        (tmp_path / "data" / split).mkdir(parents=True)
        kept = [{name: one[name] for name in schema.names} for one in rows]
        writing.write_shard(kept, str(tmp_path / "data" / split), schema)
    table = measured(splits)
    location = dataset.write(str(tmp_path / "data"), table, statistics.summarise(table), image=IMAGE, out=str(tmp_path))
    return Path(location).read_text("utf-8")


def test_figures_leaks_and_the_worst_cutouts(tmp_path: Path, splits: dict[str, list[dict[str, Any]]]) -> None:
    (tmp_path / "data" / "rejected").mkdir(parents=True)
    rejected = [{"id": f"x{n}", "source": "a.png", "reason": f"file missing: {n}.png"} for n in range(3)]
    writing.write_shard(rejected, str(tmp_path / "data" / "rejected"), REJECTED_SCHEMA)
    text = page(tmp_path, splits)
    assert "<h1>5 rows of 4 products</h1>" in text and "3 rows set aside by ingest" in text
    assert '<tr><th scope="row">train</th><td>3</td><td>3</td><td>3</td></tr>' in text
    assert '<tr><th scope="row">test</th><td>2</td><td>1</td><td>2</td></tr>' in text
    assert '<span class="chip stopped">1</span><span>products with rows in more than one split</span>' in text
    assert '<tr><th scope="row">file missing</th><td>3</td><td>37.5 %</td><td></td></tr>' in text
    worst = text[text.index("Cutouts to look at first") : text.index("Samples of <code>train")]
    assert worst.index("doubt 0.75 · train") < worst.index("doubt 0.25 · train") and "Mug 4" not in worst
    assert text.count("no scene") == 1
    assert "The same product in 2 splits" in text and text.index("Examples") < text.index("What is in it")
    assert '<td><i style="width:100.0%"></i><span>5</span></td>' in text  # one category, one size
    cutouts = text[text.index("Where the cutouts are from") : text.index("Set aside</h2>")]
    assert "grabcut</th><td>2</td><td>0.50</td><td>0.75</td><td>0</td>" in cutouts


def test_what_people_wrote_stays_text_and_nothing_is_fetched(
    tmp_path: Path, splits: dict[str, list[dict[str, Any]]]
) -> None:
    text = page(tmp_path, splits)
    assert EVIL not in text and "&lt;script&gt;" in text
    assert "http://" not in text.replace("http://www.w3.org", "") and 'src="data:image' in text


def test_folders_of_other_writers_have_no_figures_of_cutouts(tmp_path: Path) -> None:
    text = page(tmp_path, {"train": [row(1), row(2)]}, SCHEMA)
    assert "share of the picture 0.25 · train" in text and ">Cutouts <small>" not in text
