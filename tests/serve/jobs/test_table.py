"""Tables of products: whatever a cell holds arrives as it was, and errors say on which line."""

from __future__ import annotations

import codecs
import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.jobs.table import DELIMITERS, TableRow, read_table

KNOWN = ("image", "name", "prompt", "mask", "reference", "category", "seed", "n", "best_of", "size")
COLUMNS = ("image", "name", "seed", "negative_prompt")
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def refused(content: bytes) -> str:
    with pytest.raises(APIError) as error:
        list(read_table(content, KNOWN))
    assert error.value.status == 400 and error.value.param == "table" and "\n" not in error.value.message
    return error.value.message


@given(
    rows=st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=4),
    delimiter=st.sampled_from(DELIMITERS),
    mark=st.sampled_from([b"", codecs.BOM_UTF8]),
    newline=st.sampled_from(["\r\n", "\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_wild_cells_of_csv_arrive_as_they_were(
    rows: list[list[str]], delimiter: str, mark: bytes, newline: str, quoting: Any
) -> None:
    if newline != "\r\n":
        quoting = csv.QUOTE_ALL  # Python's writer leaves the other line end unquoted
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerow(COLUMNS)
    starts = []
    for row in rows:
        # the next row begins after the line ends so far, those within cells included: \r\n is one
        starts.append(1 + out.getvalue().replace("\r\n", "\n").replace("\r", "\n").count("\n"))
        writer.writerow(row)
    expected = [
        TableRow(line, {name: cell for name, cell in zip(COLUMNS, row, strict=True) if cell.strip()})
        for line, row in zip(starts, rows, strict=True)
        if any(cell.strip() for cell in row)
    ]
    content = mark + out.getvalue().encode("utf-8")
    if not expected:
        with pytest.raises(APIError, match="no products"):
            list(read_table(content, COLUMNS))
        return
    assert list(read_table(content, COLUMNS)) == expected


VALUES = CELLS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES), min_size=1, max_size=4), st.booleans())
def test_lines_of_json_arrive_as_they_were(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    content = "\r\n\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode("utf-8")
    said = [{name: value for name, value in row.items() if value is not None and str(value).strip()} for row in rows]
    expected = [TableRow(1 + 2 * place, row) for place, row in enumerate(said) if row]
    if expected:
        assert list(read_table(content, COLUMNS)) == expected


@given(st.binary(max_size=60))
def test_no_bytes_are_more_than_refused(content: bytes) -> None:
    try:
        list(read_table(content, KNOWN))
    except APIError as error:
        assert error.param == "table" and "\n" not in error.message


def test_what_spreadsheets_write() -> None:
    excel = "\ufeffImage;Name;;\r\n\r\ncup.png;Tasse, rot;;\r\n;;;\r\nmug.png;'Mug';;\r\n".encode()
    assert list(read_table(excel, KNOWN)) == [
        TableRow(3, {"image": "cup.png", "name": "Tasse, rot"}),
        TableRow(5, {"image": "mug.png", "name": "'Mug'"}),
    ]
    assert list(read_table(b"name\tseed\ncup\t5\n", KNOWN)) == [TableRow(2, {"name": "cup", "seed": "5"})]
    assert list(read_table(b'image\n"a\nb"\nc', KNOWN)) == [TableRow(2, {"image": "a\nb"}), TableRow(4, {"image": "c"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image,nmae\ncup.png,Cup\n", "table line 1: nmae is no field of a product; the closest is name"),
        (b"File,name\ncup.png,Cup\n", "table line 1: file is no field of a product; the closest is image"),
        (b"image,Title\ncup.png,Cup\n", "table line 1: title is no field of a product; the closest is name"),
        (b"image;refrence\n", "table line 1: refrence is no field of a product; the closest is reference"),
        (b'{"image": "a"}\n\n{"image": "b", "sede": 4}', "table line 3: sede is no field of a product; the closest is "
         "seed"),
        (b"image,name,prompt\na,b,c\n", "table line 1: name and prompt are one field under two names; keep one"),
        (b"image,name,image\na,b,c\n", "table line 1: 2 columns are named image; keep one"),
        (b"image,name\ncup.png\n", "table line 2: 1 cells, and the first line names 2 columns"),
        (b"image,name\na,b\n\ncup.png,Cup, red\n", "table line 4: 3 cells, and the first line names 2 columns"),
        (b"image,,name\na,b,c\n", "table line 2: a cell stands below no name"),
        (b'image,name\na,"b\n', "table line 2: no CSV: unexpected end of data"),
        (b'image,name\na,"b"c\n', "table line 2: no CSV"),
        (b"image,name\na,\xff\n", "table line 2: the text is not UTF-8"),
        ("image,name\na,b\n".encode("utf-16"), "the table is UTF-16"),
        (b"", "the table is empty"),
        (b'""', "no column has a name"),
        (b" \n\r\n", "the table is empty"),
        (b"image,name\n", "the table has no products"),
        (b"image,name\n,\n", "the table has no products"),
        (b'[{"image": "a"}]', "table line 1: a line of JSON must be one object"),
        (b'{"image": "a"\n', "table line 1: a line of JSON must be one object"),
        (b'{"a":' * 100_000, "table line 1: a line of JSON must be one object"),
        (b'{"image": "a", "image": "b"}', "table line 1: image is given twice; give it once"),
        (b"image,name\n" + b"a,b\n" * (1 << 20), "the table has 4194315 bytes; at most 4194304"),
        (b"image," + b"x" * 100_000 + b"\n", "table line 1: " + "x" * 40 + " is no field of a product; the closest"),
        (b"image,name\na," + b"x" * 120_000, "table line 2: a cell has 120000 characters; at most 100000"),
    ],
)  # fmt: skip
def test_refused_tables(content: bytes, message: str) -> None:
    assert refused(content).startswith(message)
