"""The CSV: what is taken, what is set aside, and what stops the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2i_ray.data.sources import listing
from p2i_ray.errors import UserError


def read(folder: Path, text: str, encoding: str = "utf-8") -> list[dict[str, Any]]:
    path = folder / "names.csv"
    path.write_bytes(text.encode(encoding))
    return listing.read(str(path)).to_pylist()


def test_columns_in_any_order_with_a_mark_and_others_ignored(tmp_path: Path) -> None:
    text = 'price,Category,name,file\n9,Cup,"Mug, blue ☕",a/b.jpg\n\n8,Cup,  Mug \t red ,./c.jpg\n'
    rows = read(tmp_path, text, "utf-8-sig")
    assert [(r["file"], r["name"], r["category"], r["reason"]) for r in rows] == [
        ("a/b.jpg", "Mug, blue ☕", "Cup", None),
        ("c.jpg", "Mug red", "Cup", None),
    ]
    assert rows[0]["id"] == listing.id_of("a/b.jpg") and len({r["id"] for r in rows}) == 2


def test_ids_are_taken_where_given(tmp_path: Path) -> None:
    rows = read(tmp_path, "id,file,name,category\nA-1,a.jpg,Mug,Cup\n,b.jpg,Mug,Cup\n")
    assert [r["id"] for r in rows] == ["A-1", listing.id_of("b.jpg")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Mug,Cup", "empty file"),
        ("a.jpg, ,Cup", "empty name"),
        ("a.jpg,Mug,", "empty category"),
        ("a.jpg,Mug", "bad row: 2 fields"),
        ("a.jpg,Mug, blue,Cup", "bad row: 4 fields"),
        ("../a.jpg,Mug,Cup", "outside the folder"),
        ("x/../../a.jpg,Mug,Cup", "outside the folder"),
        ("..,Mug,Cup", "outside the folder"),
        ("/etc/passwd,Mug,Cup", "outside the folder"),
        ("https://example.com/a.jpg,Mug,Cup", "outside the folder"),
        ("file:///etc/passwd,Mug,Cup", "outside the folder"),
        ("simplecache::s3,Mug,Cup", "outside the folder"),
        ("a\0.jpg,Mug,Cup", "unreadable"),
    ],
)
def test_rows_that_are_set_aside(tmp_path: Path, row: str, reason: str) -> None:
    (found,) = read(tmp_path, f"file,name,category\n{row}\n")
    assert found["reason"].startswith(reason) and found["id"]


def test_the_first_good_row_of_a_file_or_id_stays(tmp_path: Path) -> None:
    text = "id,file,name,category\n1,a.jpg,,Cup\n1,a.jpg,Mug,Cup\n2,./a.jpg,Mug,Cup\n1,b.jpg,Mug,Cup\n2,c.jpg,Mug,Cup\n"
    kinds = [str(r["reason"]).split(":")[0] for r in read(tmp_path, text)]
    assert kinds == ["empty name", "None", "duplicate file", "duplicate id", "None"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "lacks the column file, name, category"),
        (b"file;name;category\n", "its first line has: file;name;category; save it with commas between the columns"),
        (b"file\tname\tcategory\n", "save it with commas between the columns"),
        (b"file,name\na,b\n", "lacks the column category"),
        (b"file,name,category\n", "header and no rows"),
        (b'file,name,category\na.jpg,"Mug,Cup\n', "line 3|line 2"),
        ("file,name,category\na.jpg,Tasse für Tee,Cup\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_what_stops_the_job_is_said_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "names.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        listing.read(str(path))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is not there"):
        listing.read(str(tmp_path / "other.csv"))
    with pytest.raises(UserError, match="is a folder"):
        listing.read(str(tmp_path))
