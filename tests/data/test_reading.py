"""Reading splits with Ray Data, whole and in part."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2i_ray.data import reading, writing
from p2i_ray.data.schema import IMAGE
from p2i_ray.errors import UserError
from tests.support.write_split import write_split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("epbd")
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:6] = 255
    pictures = [np.full((8, 8, 3), n, np.uint8) for n in range(40)]
    samples = [
        writing.sample(f"id-{n}", f"Mug {n}", "Cup", cutout=np.dstack([picture, mask]), picture=picture, lossless=True)
        for n, picture in enumerate(pictures)
    ]
    write_split(str(folder), "train", samples, rows_per_file=16)
    write_split(str(folder), "validation", samples[:3])
    yield folder


def keep_file(folder: Path, ids: list[str]) -> str:
    pq.write_table(pa.table({"id": ids, "score": [5] * len(ids)}), folder / "kept.parquet")
    return str(folder / "kept.parquet")


def test_rows_are_counted_from_footers(data: Path) -> None:
    assert (reading.count(str(data), "train"), reading.count(str(data), "validation")) == (40, 3)


def test_rows_without_a_scene_are_no_scenes(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    pictures = [{"bytes": b"x", "path": ""}, None, {"bytes": None, "path": "a.png"}]
    for number, images in enumerate((pictures, pictures[:1] * 4)):
        table = pa.table({"id": list("abcd")[: len(images)], "image": pa.array(images, IMAGE)})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=2)
    pq.write_table(table, folder / "3.parquet", write_statistics=False)
    assert reading.count(str(tmp_path), "test") == 11
    assert reading.count_scenes(str(tmp_path), "test") == 1 + 4 + 4  # without statistics all count


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([["a", "b"], ["c", "B"]], None),
        ([["a", "b"], ["c", "a"]], "2 rows of test have the id a; give each row one of its own"),
        ([[7, 8], [7, 8, 7]], "3 rows of test have the id 7; give"),
        ([["a", None], ["c", None]], "1 of 2 rows have no id"),
    ],
)
def test_rows_with_one_id_are_told(parts: list[list[object]], told: str | None, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    for number, ids in enumerate(parts):
        pq.write_table(pa.table({"id": ids}), tmp_path / "test" / f"{number}.parquet")
    if told is None:
        reading.check_ids(str(tmp_path), "test")
        return
    with pytest.raises(UserError, match=told):
        reading.check_ids(str(tmp_path), "test")


def test_every_row_comes_once_from_a_path_and_from_a_uri(data: Path, ray_cluster: None) -> None:
    for location in (str(data), f"file://{data}"):
        rows = reading.read_split(location, "train").take_all()
        assert sorted(row["id"] for row in rows) == sorted(f"id-{n}" for n in range(40))
        assert set(rows[0]) == {"id", "name", "category", "image", "cutout"}
        assert rows[0]["image"]["bytes"].startswith(b"\x89PNG")


def test_odd_paths_are_read_like_others(data: Path, tmp_path: Path, ray_cluster: None) -> None:
    odd = shutil.copytree(data, tmp_path / "my [1] dätä*, 100%25?#")
    (odd / "train" / "._part-000.parquet").write_bytes(b"\x00\x05\x16\x07")  # macOS puts one beside each file
    keep = keep_file(odd, ["id-3", "id-17"])
    assert reading.count(str(odd), "train") == 40
    rows = reading.read_split(str(odd), "train", keep=keep, columns=["name"]).take_all()
    assert sorted(row["name"] for row in rows) == ["Mug 17", "Mug 3"]


def test_only_kept_rows_come_and_a_rewritten_file_counts(data: Path, tmp_path: Path, ray_cluster: None) -> None:
    for wanted in (["id-3", "id-17", "not in the data"], ["id-39"]):
        keep = keep_file(tmp_path, wanted)
        rows = reading.read_split(str(data), "train", keep=keep, columns=["name"]).take_all()
        assert sorted(row["name"] for row in rows) == [f"Mug {i[3:]}" for i in sorted(wanted) if i.startswith("id-")]
        assert set(rows[0]) == {"name"}


def test_no_row_kept_is_an_empty_dataset(data: Path, tmp_path: Path, ray_cluster: None) -> None:
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "none.parquet")
    assert reading.read_split(str(data), "train", keep=str(tmp_path / "none.parquet")).count() == 0


def test_what_is_not_there_is_said_in_one_line(ray_cluster: None, data: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "noid.parquet")
    cases = {
        "is not there": lambda: reading.read_split(str(tmp_path / "none"), "train"),
        r"no split 'test' \(test/\*\.parquet\); it has train, validation": lambda: reading.count(str(data), "test"),
        "is it an EPBD folder": lambda: reading.count(str(tmp_path), "train"),
        "none of train, validation": lambda: reading.count(str(data), "tain"),
        "lacks the column quality": lambda: reading.read_split(str(data), "train", columns=["id", "quality"]),
        "keep .* is not there": lambda: reading.read_split(str(data), "train", keep=str(tmp_path / "gone")),
        "lacks the column id": lambda: reading.read_split(str(data), "train", keep=str(tmp_path / "noid.parquet")),
    }
    for says, call in cases.items():
        with pytest.raises(UserError, match=says) as error:
            call()
        assert "\n" not in str(error.value)


@given(ids=st.lists(st.text(), unique=True), listed=st.lists(st.text()))
@example(ids=["\uffff", "\U00010000", "z", ""], listed=["\U00010000", "\uffff", "", "\uffff"])
def test_exactly_the_listed_rows_are_kept(ids: list[str], listed: list[str]) -> None:
    listed += ids[::2]
    with tempfile.TemporaryDirectory() as folder:
        keep = keep_file(Path(folder), listed)
        batch = pa.table({"name": [f"Mug {n}" for n in range(len(ids))], "id": pa.array(ids, pa.string())})
        kept = reading._keep_listed(batch, keep, version=folder, columns=["id"])
    assert kept.column_names == ["id"]
    assert kept["id"].to_pylist() == [id_ for id_ in ids if id_ in set(listed)]


def test_rows_that_a_keep_file_lists_are_counted_before_they_are_read(data: Path, tmp_path: Path) -> None:
    first, second = reading.ids_of(reading.split_files(str(data), "train")[0])[:2]
    assert reading.count_listed(str(data), "train", keep_file(tmp_path, [first, second, first, "elsewhere"])) == 2
    with pytest.raises(UserError, match="lists 1 ids, none of them in train of"):
        reading.count_listed(str(data), "train", keep_file(tmp_path, ["elsewhere"]))
    with pytest.raises(UserError, match="is a folder; name a Parquet file"):
        reading.count_listed(str(data), "train", str(tmp_path))


def test_broken_and_foreign_files_are_named(tmp_path: Path) -> None:
    for part in ("train", "validation", "test"):
        (tmp_path / part).mkdir()
    (tmp_path / "train" / "a.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(UserError, match=r"a\.parquet is no Parquet file"):
        reading.count(str(tmp_path), "train")
    flat = {"id": ["a"], "name": ["b"], "category": ["c"], "image": ["x"], "cutout": [b"x"]}
    pq.write_table(pa.table(flat), tmp_path / "validation" / "a.parquet")
    with pytest.raises(UserError, match="column image must be an image struct"):
        reading.read_split(str(tmp_path), "validation")
    write_split(str(tmp_path), "test", [])
    pq.write_table(pa.table(flat).slice(0, 0), tmp_path / "test" / "a.parquet")
    with pytest.raises(UserError, match="has no rows"):
        reading.count(str(tmp_path), "test")


def test_half_a_file_of_a_finished_step_is_named(data: Path, tmp_path: Path) -> None:
    whole = next((data / "train").glob("*.parquet")).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x00\xff" * 99):
        (tmp_path / "part.parquet").write_bytes(content)
        with pytest.raises(UserError, match=rf"^{tmp_path}/part.parquet is no Parquet file") as raised:
            reading.read_files(str(tmp_path), ["part.parquet"])
        assert "\n" not in str(raised.value)
