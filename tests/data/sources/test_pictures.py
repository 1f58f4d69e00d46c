"""Pictures inside containers: broken ones set their rows aside, and nothing else happens."""

from __future__ import annotations

import functools
import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import source
from p2i_ray.data.sources.pictures import PictureReader
from p2i_ray.errors import UserError

COLUMNS: dict[str, list[Any]] = {
    "image": [{"bytes": bytes([n]) * 400, "path": f"{n}.png"} for n in range(6)],
    "name": [f"Mug {n}" for n in range(6)],
    "category": ["Cups"] * 6,
}


@functools.lru_cache
def container(kind: str) -> bytes:
    """A container with six pictures and what describes them."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for n in range(6):
                archive.writestr(f"cups/{n}.png", bytes([n]) * 400)
    elif kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as tar:
            for n in range(6):
                for name, content in (
                    (f"{n}.png", bytes([n]) * 400),
                    (f"{n}.json", b'{"name": "Mug", "category": "Cups"}'),
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    elif kind == "parquet":
        pq.write_table(pa.table(COLUMNS), out, row_group_size=2)
    else:
        table = pa.table(COLUMNS)
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    return out.getvalue()


def read(folder: Path, kind: str, content: bytes) -> tuple[list[bytes], list[str]]:
    """The pictures of the rows that can be used, and why the others can't."""
    (folder / f"a.{kind}").write_bytes(content)
    found = source.read(str(folder))
    pictures, reasons = [], [row["reason"] for row in found.rows.to_pylist() if row["reason"]]
    with PictureReader(found.root, 1000) as reader:
        for row in found.rows.to_pylist():
            if row["reason"] is None:
                try:
                    pictures.append(reader.read(row["file"]))
                except ImageError as error:
                    reasons.append(str(error))
    assert len(pictures) + len(reasons) == found.rows.num_rows
    return pictures, reasons


KINDS = ("zip", "tar", "parquet", "arrow")


@pytest.mark.parametrize("kind", KINDS)
def test_whole_containers(kind: str, tmp_path: Path) -> None:
    assert read(tmp_path, kind, container(kind)) == ([bytes([n]) * 400 for n in range(6)], [])


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_containers_are_one_line_or_rows_set_aside(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(container(kind))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    try:
        pictures, reasons = read(tmp_path, kind, bytes(content))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert len(pictures) + len(reasons) <= 7 and all("\n" not in reason for reason in reasons)


def test_from_front_to_back_or_not_each_cell_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(container("parquet"))
    with PictureReader(str(tmp_path), 1000) as reader:
        for n in (5, 0, 3, 2, 2, 4, 1):
            assert reader.read(f"a.parquet::{n // 2}/{n % 2}/image") == bytes([n]) * 400
        with pytest.raises(ImageError, match="the table has no such row"):
            reader.read("a.parquet::2/7/image")


def test_no_more_is_unpacked_than_a_picture_may_have(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(50_000_000))
    with PictureReader(str(tmp_path), 1000) as reader:
        assert len(reader.read("a.zip::bomb.png")) == 1001
        with pytest.raises(ImageError, match="file missing: it is not in the zip"):
            reader.read("a.zip::other.png")


def test_an_encrypted_zip_and_names_that_lead_out_of_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../outside.png", b"x")
    found = source.read(str(tmp_path))  # nothing is ever unpacked, so a name is a name
    assert [row["category"] for row in found.rows.to_pylist()] == [".."]
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", content, content.index(mark) + offset, 1)
    (tmp_path / "a.zip").write_bytes(content)
    with PictureReader(str(tmp_path), 10) as reader, pytest.raises(ImageError, match=r"unreadable: .*encrypted"):
        reader.read("a.zip::../../outside.png")


def test_a_table_names_no_file_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    shop = tmp_path / "shop"
    shop.mkdir()
    paths = ["../secret.png", str(tmp_path / "secret.png"), "http://127.0.0.1/a.png"]
    image = [{"bytes": None, "path": path} for path in paths]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(image, kind), "name": ["Mug"] * 3, "category": ["Cups"] * 3})
    pq.write_table(table, shop / "a.parquet")
    found = source.read(str(shop))
    with PictureReader(found.root, 10) as reader:
        for file in found.rows["file"].to_pylist():
            with pytest.raises(ImageError, match=r"outside the folder|file missing"):
                reader.read(file)


def test_caches_beside_a_saved_data_set_are_not_data(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"image": [b"x"], "name": ["Mug"], "category": ["Cups"]}).save_to_disk(tmp_path)
    (tmp_path / "cache-1234.arrow").write_bytes(next(tmp_path.glob("data-*.arrow")).read_bytes())
    assert source.read(str(tmp_path)).rows.num_rows == 1
