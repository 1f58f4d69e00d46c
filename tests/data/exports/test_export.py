"""Exports hold what the data holds: read again by our own readers, and by Hugging Face `datasets`."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

from p2i_ray.data import writing
from p2i_ray.data.exports import export
from p2i_ray.data.exports.image_folder import Metadata
from p2i_ray.data.exports.records import key_of
from p2i_ray.data.schema import INGESTED, SCHEMA
from p2i_ray.data.sources import source
from p2i_ray.data.sources.pictures import PictureReader
from p2i_ray.errors import UserError
from tests.support.epbd_row import row

IDS = ("007", "a/b:ü", "x.y", "SKU-12", "8")
NAMES = ('TV 32" "smart", black', "Größe; 5 €", "=1+1", "茶碗 | bowl", "NA")


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    train = [row(id, name) for id, name in zip(IDS, NAMES, strict=True)]
    test = [row("t1", "Photo"), row("t2", "Lamp alone", scene=False), row("t3", "Vase alone", scene=False, group=None)]
    return {"train": train, "test": test, "validation": [row("9", "Cup", scene=False)]}


@pytest.fixture(scope="module")
def data(rows: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    for split, some in rows.items():
        writing.write_shard(some[:3], str(folder / split), INGESTED)
        if some[3:]:
            writing.write_shard(some[3:], str(folder / split), INGESTED)
    return str(folder)


def exported(data: str, out: Path, form: str, rows_per_tar: int = 2) -> export.Exported:
    """The export without a cluster."""
    kind: export.Format = "webdataset" if form == "webdataset" else "imagefolder"
    metadata: Metadata = "csv" if form == "csv" else "parquet"
    tasks = export.plan(data, rows_per_tar)
    lines = [line for task in tasks for line in export.run(task, str(out), kind=kind, rows_per_tar=rows_per_tar)]
    return export.finish(lines, str(out), kind=kind, columns=tasks[0].columns, metadata=metadata)


def read_again(out: Path) -> Iterator[tuple[dict[str, Any], bytes | None, bytes | None]]:
    """The rows that ingest would read, each with its pictures."""
    found = source.read(str(out))
    with PictureReader(found.root, 1 << 20) as reader:
        for one in found.rows.to_pylist():
            assert one["reason"] is None, one
            photo, cutout = (reader.read(one[column]) if one[column] else None for column in ("file", "cutout"))
            yield one, photo if photo != cutout else None, cutout


@pytest.mark.parametrize("kind", ["webdataset", "imagefolder", "csv"])
def test_our_own_readers_find_the_same(
    kind: str, data: str, rows: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    done = exported(data, tmp_path, kind)
    assert done.parts == {"train": 5, "validation_without_scene": 1, "test": 1, "test_without_scene": 2}
    assert not done.set_aside
    expected = {
        one["id"]: (
            (one["name"], one["category"], one["group"] or one["id"]),
            one["image"] and one["image"]["bytes"],
            one["cutout"]["bytes"],
        )
        for some in rows.values()
        for one in some
    }
    found = {
        one["id"]: ((one["name"], one["category"], one["group"]), photo, cutout)
        for one, photo, cutout in read_again(tmp_path)
    }
    assert found == expected


@pytest.mark.parametrize("kind", ["webdataset", "imagefolder"])
def test_datasets_reads_it(kind: str, data: str, tmp_path: Path) -> None:
    exported(data, tmp_path / "out", kind)
    place, cache = str(tmp_path / "out"), str(tmp_path / "cache")
    loaded = datasets.load_dataset(place, "default", cache_dir=cache)
    assert {split: len(part) for split, part in loaded.items()} == {"train": 5, "test": 1}
    alone = datasets.load_dataset(place, "without_scene", cache_dir=cache)
    assert {split: len(part) for split, part in alone.items()} == {"validation": 1, "test": 2}
    assert {"jpg", "image"} & set(alone["test"].column_names) <= {"image"}
    texts = [one["json"] if kind == "webdataset" else one for one in loaded["train"]]
    assert {(one["id"], one["name"]) for one in texts} == set(zip(IDS, NAMES, strict=True))
    first = loaded["train"][0]
    photo, cutout = ("jpg", "cutout.png") if kind == "webdataset" else ("image", "cutout")
    assert first[photo].size == (16, 16) and first[photo].mode == "RGB"
    assert first[cutout].size == (16, 16) and first[cutout].mode == "RGBA"


def test_the_same_data_gives_the_same_files(data: str, tmp_path: Path) -> None:
    for kind in ("webdataset", "imagefolder"):
        for name in ("a", "b"):
            exported(data, tmp_path / kind / name, kind)
        files = [
            {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
            for folder in (tmp_path / kind / "a", tmp_path / kind / "b")
        ]
        assert files[0] == files[1] and files[0]
        assert not [name for name in files[0] if "lines" in name]


def test_tars_hold_so_many_rows_and_their_keys_have_no_dots(data: str, tmp_path: Path) -> None:
    exported(data, tmp_path, "webdataset", rows_per_tar=2)
    sizes = []
    for file in sorted(tmp_path.glob("train-*.tar")):
        with tarfile.open(file) as archive:
            names = archive.getnames()
        keys = list(dict.fromkeys(name.partition(".")[0] for name in names))
        assert names == [f"{key}.{kind}" for key in keys for kind in ("jpg", "cutout.png", "json")]
        sizes.append(len(keys))
    assert sum(sizes) == 5 and max(sizes) == 2
    with tarfile.open(tmp_path / "test_without_scene-000000.tar") as archive:
        assert archive.getnames()[:2] == ["t2.cutout.png", "t2.json"]
        assert json.load(archive.extractfile("t2.json") or pytest.fail()) == {
            "id": "t2",
            "name": "Lamp alone",
            "category": "Küche, Bad",
            "group": "g",
        }


def test_rows_that_can_not_be_exported_are_set_aside(tmp_path: Path) -> None:
    good, nameless, broken, link = (row(str(number), "Mug") for number in range(4))
    nameless["name"] = None
    broken["image"] = {"bytes": b"GIF89a", "path": None}
    link["cutout"] = {"bytes": None, "path": "somewhere/else.png"}
    kinds = pa.schema([SCHEMA.field(name) for name in SCHEMA.names])
    shard = [{name: one[name] for name in SCHEMA.names} for one in (good, nameless, broken, link)]
    writing.write_shard(shard, str(tmp_path / "data" / "train"), kinds)
    done = exported(str(tmp_path / "data"), tmp_path / "out", "csv")
    assert done.parts == {"train": 1} and sum(done.set_aside.values()) == 3
    assert "the product has no name" in done.set_aside and "the picture is no JPEG, PNG or WebP" in done.set_aside
    listed = (tmp_path / "out" / "rejected.csv").read_text("utf-8-sig").splitlines()
    assert listed[0] == "id,source,reason" and "1,train,the product has no name" in listed
    assert (tmp_path / "out" / "train" / "metadata.csv").read_text().splitlines() == [
        "file_name,cutout_file_name,id,name,category",
        'images/0.jpg,cutouts/0.png,0,Mug,"Küche, Bad"',
    ]


@pytest.mark.parametrize(
    ("kind", "ids", "says"),
    [
        ("webdataset", ("a", "a"), "two rows have the id a"),
        ("imagefolder", ("a", "a"), "two rows have the id a"),
        ("imagefolder", ("a", "A"), "the ids a and A differ by case alone"),
    ],
)
def test_rows_whose_files_would_be_one_stop_it(kind: str, ids: tuple[str, str], says: str, tmp_path: Path) -> None:
    writing.write_shard([row(id, "Mug") for id in ids], str(tmp_path / "data" / "train"), INGESTED)
    with pytest.raises(UserError, match=says):
        exported(str(tmp_path / "data"), tmp_path / "out", kind)


def test_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        export.plan(str(tmp_path / "none"), 2)
    writing.write_shard([row("a", " ")], str(tmp_path / "data" / "train"), INGESTED)
    with pytest.raises(UserError, match="no row can be exported; of 'a': the product has no name"):
        exported(str(tmp_path / "data"), tmp_path / "out", "imagefolder")


@pytest.mark.parametrize("id", ["", ".", "..", "a/../b", "a.b", "ü", "a b", "x" * 300, "-", "a\\b", "con:"])
def test_keys_are_plain_file_names_of_their_own(id: str) -> None:
    key = key_of(id)
    assert key.replace("-", "").replace("_", "").isalnum() or key == id
    assert key.isascii() and "." not in key and len(key) <= 100
    assert key_of(id + "é") != key_of(id + "ê")
