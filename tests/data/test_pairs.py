"""Joining pairs: each product with its own reference, whatever split and file the two lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import load
from p2i_ray.data import pairs, reading
from p2i_ray.data.schema import REFERENCES, SCHEMA
from p2i_ray.errors import UserError
from tests.support.load_job import load_job


def row(id_: str) -> dict[str, Any]:
    picture = {"bytes": f"picture of {id_}".encode(), "path": None}
    cutout = {"bytes": f"cutout of {id_}".encode(), "path": None}
    return {"id": id_, "name": "sofa", "category": "sofa", "image": picture, "cutout": cutout}


def write(folder: Path, split: str, name: str, *ids: str) -> None:
    (folder / split).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([row(id_) for id_ in ids], SCHEMA), folder / split / name)


def test_each_product_has_its_own_reference(tmp_path: Path) -> None:
    data, numbers = tmp_path / "data", range(1, 71)  # more than one file of pairs
    write(data, "train", "0.parquet", *(f"bgpair-{n}" for n in numbers if n % 2), "bgpair-lost", "bgpair-71-reference")
    write(data, "train", "1.parquet", *(f"bgpair-{n}-reference" for n in reversed(numbers)))
    write(data, "test", "0.parquet", *(f"bgpair-{n}" for n in numbers if n % 2 == 0))
    job = load_job("pairs")
    asked = load(job.PairsJob, "mini", [f"data={data}", f"out={tmp_path / 'out'}"])
    job.run(asked)
    found = pq.read_table(tmp_path / "out" / "test")
    assert found.column_names == [*SCHEMA.names, *REFERENCES.names]
    assert sorted(found["id"].to_pylist()) == sorted(f"bgpair-{n}" for n in numbers)
    for one in found.to_pylist():
        assert one["image"]["bytes"] == f"picture of {one['id']}".encode()
        assert one["reference"]["bytes"] == f"picture of {one['id']}-reference".encode()
        assert one["reference_cutout"]["bytes"] == f"cutout of {one['id']}-reference".encode()
    assert len(reading.split_files(str(tmp_path / "out"), "test")) == 2
    with pytest.raises(UserError, match="is there already; give a new folder"):
        job.run(asked)
    assert pairs.join(str(data), str(tmp_path / "again")).alone == ("bgpair-lost", "bgpair-71-reference")


def test_without_pairs(tmp_path: Path) -> None:
    write(tmp_path / "data", "train", "0.parquet", "bg1k-1")
    with pytest.raises(UserError, match=r"has no pairs: no row whose id is another one's and -reference"):
        pairs.join(str(tmp_path / "data"), str(tmp_path / "out"))
