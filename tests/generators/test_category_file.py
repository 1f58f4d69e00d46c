"""The file of categories: as programs write it, and what is wrong with it in one line that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.generators import category_file
from p2i_ray.generators.categories import Category

WANTED = [Category("Tea cup", "ware"), Category("bag"), Category("vase", "ware")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("category,parent\nTea cup,ware\nbag,\nvase,ware\n", "utf-8"),
        ("\ufeffCategory, Parent \n Tea cup , ware\nbag\n\n,\nvase,ware", "utf-8"),
        ("category;parent\r\nTea cup;ware\r\nbag;\r\nvase;ware\r\n", "utf-8"),
        ("category\tparent\nTea cup\tware\nbag\t\nvase\tware\n", "utf-16"),
        ("rank,parent,category\n1,ware,Tea cup\n2,,bag\n3,ware,vase\n", "utf-8"),
        ('"category","parent"\n"Tea cup","ware"\nbag,""\nvase,ware\n', "cp1252"),
    ],
)
def test_tables_as_programs_write_them(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "categories.csv").write_bytes(text.encode(encoding))
    assert category_file.read(str(tmp_path / "categories.csv")) == WANTED


def test_without_parents_and_in_windows_1252(tmp_path: Path) -> None:
    (tmp_path / "categories.csv").write_bytes("category\ntaß\n".encode("cp1252"))
    assert category_file.read(str(tmp_path / "categories.csv")) == [Category("taß")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name,parent\ncup,ware\n", r" line 1 has no column category, but 'name', 'parent'; begin the file with"),
        ("\ncup;ware\nbag;\n", r" line 2 has no column category, but 'cup', 'ware'; begin"),
        ("", r" line 1 has no column category, but nothing; begin"),
        ("category\n\n", r" has no category below its header; add a line for each"),
        ("category\ncup\n\n Cup \n", r" line 4: category 'Cup' is there already in line 2 \(case .*; remove one"),
        ("category,parent\n\n,ware\n", r" line 3 has an empty category; name it, or remove the line"),
        ('category,parent\ncup,ware\n"bag,\nvase,ware\n', r" line 3: a quote \(\"\) opens a field and isn't closed"),
        ('category,parent\n"cup\nbag",ware\n', r" line 2: a quote opens a name that goes on over lines; close it"),
        ("category,parent\nCups, mugs,ware\n", r" line 2 has 3 fields, and the header 2; put names .* in quotes"),
    ],
)
def test_what_is_wrong_is_said_with_setting_file_and_line(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "categories.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match=f"^generators.categories={file}{line}"):
        category_file.read(str(file))


def test_a_file_that_is_not_there_or_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^generators.categories=\S+none.csv is not there; check the path"):
        category_file.read(str(tmp_path / "none.csv"))
    with pytest.raises(UserError, match=r"^generators.categories=\S+ is no file; check the path"):
        category_file.read(str(tmp_path))
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"^generators.categories=\S+book.csv is a workbook, not text; save the sheet"):
        category_file.read(str(tmp_path / "book.csv"))
