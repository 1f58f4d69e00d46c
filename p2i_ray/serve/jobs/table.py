"""A table of products, as a spreadsheet or a shop's database exports it: CSV, or JSON with one object a line."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from p2i_ray.data.sources import columns
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.forms import short

PART = "table"  # the form's field
MAX_BYTES = 4 << 20
MAX_CELL = 100_000  # characters
MAX_COMPARED = 100  # characters
DELIMITERS = (",", ";", "\t")  # commas; Excel where a comma is in numbers; copied cells


@dataclass(frozen=True)
class TableRow:
    """A product's row.

    Attributes:
        line: of the file on which it begins, from 1.
        fields: its cells by column; empty ones are left out.
    """

    line: int
    fields: dict[str, Any]


def read_table(content: bytes, known: Collection[str]) -> Iterator[TableRow]:
    """The rows of a table that have any cell that isn't empty, one by one. CSV's cells are texts, as they stand.

    Args:
        content: of the file, UTF-8 with or without a byte order mark; the first line of CSV names the columns.
        known: names of columns, in lower case.

    Raises:
        APIError: it can't be read; the message says on which line, and what to change.
    """
    if len(content) > MAX_BYTES:
        raise _wrong(f"the table has {len(content)} bytes; at most {MAX_BYTES}, send several jobs")
    text = _decoded(content)
    if not text.strip():
        raise _wrong("the table is empty; its first line names the columns")
    rows = _json_rows(text, known) if text.lstrip()[0] in "{[" else _csv_rows(text, known)
    found = False
    for line, fields in rows:
        if fields:
            found = True
            yield TableRow(line, fields)
    if not found:
        raise _wrong("the table has no products, only names of columns")


def closest(word: str, known: Collection[str]) -> str:
    """The known word that is most like another one; long ones are not compared, which would take for ever."""
    words = sorted(known)
    short_ones = [one for one in words if len(one) <= MAX_COMPARED] or words[:1]
    return difflib.get_close_matches(word[:MAX_COMPARED], short_ones, 1, 0.0)[0]


def check_columns(names: Collection[str], known: Collection[str]) -> None:
    """Refuse names that are no field of a product.

    Raises:
        APIError: one is unknown, or the name is given under both of its names; it has no line yet.
    """
    for name in names:
        if name not in known:
            raise bad_request(f"{short(name)} is no field of a product; the closest is {_meant(name, known)}")
    if {"name", "prompt"} <= set(names):
        raise bad_request("name and prompt are one field under two names; keep one")


def _meant(name: str, known: Collection[str]) -> str:
    """The field that a column of another name is likely for: what other lists call it, or what is spelt like it."""
    for column, aliases in columns.ALIASES.items():
        field = "image" if column == "file" else column
        if field in known and columns.key(name) in map(columns.key, aliases):
            return field
    return closest(name, known)


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _wrong("the table is UTF-16; save it as CSV UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _wrong("the text is not UTF-8; save the table as CSV UTF-8", line) from None


def _csv_rows(text: str, known: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = _cells(text, _delimiter(text, known))
    at, header = next(((line, cells) for line, cells in lines if _filled(cells)), (1, []))
    if not header:
        raise _wrong("no column has a name; the first line names them")
    names = [cell.strip().lower() for cell in header]
    _check_header([name for name in names if name], known, at)
    for line, cells in lines:
        if not _filled(cells):
            continue
        if len(cells) < len(names) or _filled(cells[len(names) :]):
            told = f"{len(cells)} cells, and the first line names {len(names)} columns"
            raise _wrong(f"{told}; quote cells with delimiters, and leave none out", line)
        given = [(name, cell) for name, cell in zip(names, cells, strict=False) if cell.strip()]
        if any(not name for name, _ in given):
            raise _wrong("a cell stands below no name; name its column in the first line", line)
        yield line, dict(given)


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records of CSV and the lines on which they begin."""
    records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = records.line_num + 1
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            raise _wrong(f"no CSV: {error}", line) from None
        if (longest := max(map(len, cells), default=0)) > MAX_CELL:  # csv's own limit is the whole process's
            raise _wrong(f"a cell has {longest} characters; at most {MAX_CELL}", line)
        yield line, cells


def _delimiter(text: str, known: Collection[str]) -> str:
    """That by which the first line falls into most known names of columns, or into most at all."""

    def fit(delimiter: str) -> tuple[int, int]:
        try:
            header = next(cells for _, cells in _cells(text, delimiter) if _filled(cells))
        except (StopIteration, APIError):
            return -1, 0
        return sum(cell.strip().lower() in known for cell in header), len(header)

    return max(DELIMITERS, key=fit)


def _json_rows(text: str, known: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, part in enumerate(text.split("\n"), 1):
        if not part.strip():
            continue
        try:
            fields = json.loads(part, object_pairs_hook=_once)
        except _Twice as error:
            raise _wrong(f"{short(str(error))} is given twice; give it once", line) from None
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise _wrong('a line of JSON must be one object, such as {"image": "cup.png", "name": "Steel cup"}', line)
        _check_header(list(fields), known, line)
        yield line, {name: value for name, value in fields.items() if not _is_empty(value)}


class _Twice(Exception):  # noqa: N818
    """A key of an object that is there twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise _Twice(name)
    return dict(pairs)


def _check_header(names: list[str], known: Collection[str], line: int) -> None:
    try:
        for name, count in Counter(names).items():
            if count > 1:
                raise bad_request(f"{count} columns are named {short(name)}; keep one")
        check_columns(names, known)
    except APIError as error:
        raise _wrong(error.message, line) from None


def _filled(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _wrong(message: str, line: int | None = None) -> APIError:
    return bad_request(message if line is None else f"table line {line}: {message}", PART)
