"""EPBD folders that other programs wrote: the same rows, whatever the types; what can't be read is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.data import conform, reading
from p2i_ray.data.images import ImageError, encoded
from p2i_ray.data.schema import IMAGE
from p2i_ray.errors import UserError

PICTURES = [b"one", b"two", None]
OWN = {
    "id": pa.array(["7", "8", "9"]),
    "name": pa.array(["mug", "", "tent"]),
    "category": pa.array(["", "kitchen", "camp"]),
    "image": pa.array([p and {"bytes": p, "path": None} for p in PICTURES], IMAGE),
    "cutout": pa.array([{"bytes": b"c", "path": "c.png"}] * 3, IMAGE),
}
NULLS = {"name": ["mug", None, "tent"], "category": [None, "kitchen", "camp"]}
LARGE = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
VIEWS = pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])


def pictures(kind: pa.DataType) -> pa.Array:
    return pa.array([p and {"bytes": p, "path": None} for p in PICTURES], kind)


FOREIGN: dict[str, dict[str, pa.Array]] = {
    "integers and nulls": {"id": pa.array([7, 8, 9]), **{n: pa.array(v) for n, v in NULLS.items()}},
    "small integers": {"id": pa.array([7, 8, 9], pa.int16())},
    "large": {name: OWN[name].cast(pa.large_string()) for name in ("id", "name", "category")}
    | {"image": pictures(LARGE)},
    "views": {name: OWN[name].cast(pa.string_view()) for name in ("id", "name")} | {"image": pictures(VIEWS)},
    "dictionaries": {"id": OWN["id"].dictionary_encode(), "category": pa.array(NULLS["category"]).dictionary_encode()},
    "bytes": {"image": pa.array(PICTURES, pa.binary())},
    "no path": {"image": pictures(pa.struct([("bytes", pa.binary())]))},
}


def write(folder: Path, name: str, columns: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table({**OWN, **columns}), folder / f"{name}.parquet")


@pytest.mark.parametrize("columns", FOREIGN.values(), ids=FOREIGN)
def test_every_type_becomes_ours(columns: dict[str, Any]) -> None:
    own, foreign = pa.table(OWN), pa.table({**OWN, **columns})
    assert conform.is_own(own.schema, own.column_names) and not conform.is_own(foreign.schema, own.column_names)
    assert [conform.complaint(foreign.schema, column) for column in own.column_names] == [None] * 5
    found = conform.conform(foreign)
    assert found.schema.types == own.schema.types and found.to_pylist() == own.to_pylist()
    sliced = conform.conform(foreign.slice(1))
    assert sliced.to_pylist() == own.slice(1).to_pylist()


def test_columns_of_nulls_and_others(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "name": pa.nulls(1), "image": pa.nulls(1), "score": [3]})
    assert conform.conform(table).to_pylist() == [{"id": "a", "name": "", "image": None, "score": 3}]


def test_a_folder_of_all_types_is_one_split(tmp_path: Path, ray_cluster: None) -> None:
    for number, columns in enumerate([{}, *FOREIGN.values(), {}]):
        ids = pa.array([f"{row}" for row in range(10 * number, 10 * number + 3)])
        if "id" in columns:
            kind = columns["id"].type
            ids = ids.dictionary_encode() if pa.types.is_dictionary(kind) else ids.cast(kind)
        write(tmp_path / "train", f"{number}", {**columns, "id": ids})
    wanted = sorted(f"{10 * number + row}" for number in range(9) for row in range(3))
    rows = reading.read_split(str(tmp_path), "train").take_all()
    assert sorted(row["id"] for row in rows) == wanted
    assert {row["name"] for row in rows} == {"mug", "", "tent"}
    assert sum(row["image"] is None for row in rows) == 9
    assert {row["image"]["bytes"] for row in rows if row["image"]} == {b"one", b"two"}
    files = reading.split_files(str(tmp_path), "train")
    assert sorted(id_ for file in files for id_ in reading.ids_of(file)) == wanted
    found = [
        row for file in files for t in reading.rows_of(file, ["12", "20"], ["id", "image"], 2) for row in t.to_pylist()
    ]
    assert sorted(row["id"] for row in found) == ["12", "20"]
    assert reading.count_scenes(str(tmp_path), "train") == 9 * 2
    keep = tmp_path / "keep.parquet"
    pq.write_table(pa.table({"id": [0, 21]}), keep)
    kept = reading.read_split(str(tmp_path), "train", keep=str(keep), columns=["id"]).take_all()
    assert sorted(row["id"] for row in kept) == ["0", "21"]


def test_nulls_in_a_file_of_our_own_types_become_empty(tmp_path: Path, ray_cluster: None) -> None:
    """Beside a file without nulls, and one of which nobody has counted them; each column alone, too."""
    nulls = {column: pa.array(values, pa.string()) for column, values in NULLS.items()}
    write(tmp_path / "test", "a", {})
    write(tmp_path / "test", "b", {**nulls, "id": pa.array(["17", "18", "19"])})
    table = pa.table({**OWN, **nulls, "id": pa.array(["27", "28", "29"])})
    pq.write_table(table, tmp_path / "test" / "c.parquet", write_statistics=False)
    for columns in (list(OWN), ["id", "category"], ["id", "name"], ["id", "image"]):
        found = reading.read_split(str(tmp_path), "test", columns=columns).take_all()
        wanted = [{**row, "id": f"{tens}{row['id']}"} for tens in ("", 1, 2) for row in pa.table(OWN).to_pylist()]
        assert sorted(found, key=lambda row: int(row["id"])) == [{c: row[c] for c in columns} for row in wanted]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"id": pa.array([1.5, 2.5, 3.5])}, "column id must be text, or an integer, not double"),
        ({"name": pa.array([1, 2, 3])}, "column name must be text, not int64"),
        (
            {"image": pa.array(["a.png"] * 3)},
            "column image must be an image struct {bytes, path}, or its bytes, not string",
        ),
        ({"image": pictures(pa.struct([("path", pa.string())]))}, "column image must be an image struct"),
        ({"id": pa.array(["a", None, "c"])}, "1 of 3 rows have no id; give each one of its own"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, columns: dict[str, Any], line: str) -> None:
    write(tmp_path / "train", "a", columns)
    with pytest.raises(UserError) as raised:
        reading.read_split(str(tmp_path), "train")
    assert line in str(raised.value) and "a.parquet" in str(raised.value)


def test_a_path_without_bytes_is_no_picture() -> None:
    with pytest.raises(ImageError, match=r"a path without bytes \(a\.png\)"):
        encoded({"bytes": None, "path": "a.png"})
    assert encoded(None) is encoded({"bytes": None, "path": None}) is None and encoded({"bytes": b"x"}) == b"x"


def test_references_are_pictures_like_others() -> None:
    given = pa.table({"reference": pa.array([b"a", None], pa.large_binary()), "reference_cutout": pa.nulls(2)})
    assert conform.complaint(given.schema, "reference") is None and not conform.is_own(given.schema, ["reference"])
    found = conform.conform(given)
    assert found["reference"].to_pylist() == [{"bytes": b"a", "path": None}, None]
    assert found["reference_cutout"].to_pylist() == [None, None]
    wrong = conform.complaint(pa.schema([("reference", pa.string())]), "reference")
    assert wrong == "must be an image struct {bytes, path}, or its bytes, not string"
