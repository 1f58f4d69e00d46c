"""Read tables of text as programs write them: any usual separator, encoding and quoting.

Excel writes semicolons and Windows-1252 or UTF-16 with tabs; others a line `sep=,`, or an inch sign that isn't doubled.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from mmap import mmap

from p2i_ray.data.sources import columns
from p2i_ray.data.sources.text_lines import TextLines
from p2i_ray.errors import UserError

SEPARATORS = ",;\t|"
LONGEST_FIELD = 1 << 28  # characters; descriptions with embedded pictures are long
CHECKED = 1 << 20  # bytes whose encoding is checked at once
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .xls
_SEP = re.compile(r"sep=(.)\r?\n?", re.I)
_PICTURE = re.compile(r"\.(jpe?g|png|webp|avif|gif|bmp|tiff?|heic)\b", re.I)


@dataclass(frozen=True)
class Record:
    """One row of the table."""

    line: int  # where it begins, from 1
    end: int  # its last line
    fields: list[str]


@dataclass(frozen=True)
class Table:
    """A table's text, and how it is read.

    Args:
        location: for messages.
        lines: of the file, with their ends.
        header: the names of the columns.
        start: number of lines before the first row.
        separator: between fields.
        quote: around fields.
        encoding: that the file was read with.
    """

    location: str
    lines: Sequence[str]
    header: list[str]
    start: int
    separator: str
    quote: str
    encoding: str

    def records(self) -> Iterator[Record]:
        """The rows below the header; lines without any text are no rows.

        Raises:
            UserError: a quote opens and isn't closed; the message names the line.
        """
        return _records(self, self.start)


def decode(content: bytes | mmap, location: str) -> tuple[str, str]:
    """A file's text and its encoding.

    By its byte order mark; else UTF-16, if every other byte is 0; else UTF-8, and if it isn't that, Windows-1252.

    Raises:
        UserError: none of them.
    """
    codec, name = _codec(content)
    return _strictly(content, codec, location), name


def encoding(content: bytes | mmap) -> str:
    """The encoding that `decode` takes."""
    return _codec(content)[1]


def parse(content: bytes | mmap, location: str) -> Table:
    """Find out how a table is written. Its header is the first line with text, or the one after `sep=…`.

    Raises:
        UserError: neither UTF-8, UTF-16 nor Windows-1252, or no header.
    """
    csv.field_size_limit(LONGEST_FIELD)
    if content[:4].startswith(WORKBOOKS):
        raise UserError(f"names {location} is a workbook, not text; save the sheet as CSV")
    lines, encoding = _lines(content, location)
    start = next((place for place, line in enumerate(lines) if line.strip()), len(lines))
    declared = _SEP.fullmatch(lines[start]) if start < len(lines) else None
    start += bool(declared)
    blank = Table(location, lines, header=[], start=start, separator=",", quote='"', encoding=encoding)
    separators = declared[1] if declared else SEPARATORS
    best = max((_with_header(replace(blank, separator=separator)) for separator in separators), key=_fitness)
    return _in_single_quotes(best)


def _codec(content: bytes | mmap) -> tuple[str, str]:
    """Python's name for a file's encoding, and ours."""
    head = content[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", "UTF-16"
    if len(head) > 3 and head.count(0) > len(head) // 4:
        return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be", "UTF-16"
    return ("utf-8-sig", "UTF-8") if _error(content, "utf-8") is None else ("cp1252", "Windows-1252")


def _error(content: bytes | mmap, codec: str) -> int | None:
    """The first byte that an encoding doesn't have, if there is one; no text is kept."""
    decoder = codecs.getincrementaldecoder(codec)()
    for start in range(0, len(content) or 1, CHECKED):
        try:
            decoder.decode(content[start : start + CHECKED], final=start + CHECKED >= len(content))
        except UnicodeDecodeError as error:
            return start + error.start
    return None


def _lines(content: bytes | mmap, location: str) -> tuple[TextLines, str]:
    """The lines of a file, and its encoding."""
    codec, name = _codec(content)
    if name == "UTF-16":
        return TextLines(_strictly(content, codec, location).encode(), "utf-8"), name
    if codec == "cp1252" and (place := _error(content, codec)) is not None:
        raise _unknown(location, place)
    is_utf8 = name == "UTF-8"
    return TextLines(content, "utf-8" if is_utf8 else codec, is_utf8 and content[:3] == codecs.BOM_UTF8), name


def _strictly(content: bytes | mmap, encoding: str, location: str) -> str:
    try:
        text = content[:].decode(encoding)
    except UnicodeDecodeError as error:
        raise _unknown(location, error.start) from None
    return text.removeprefix("\ufeff") if encoding.startswith("utf-16") else text


def _unknown(location: str, place: int) -> UserError:
    return UserError(f"names {location} is neither UTF-8, UTF-16 nor Windows-1252 (byte {place}); save it as UTF-8")


def _with_header(table: Table) -> Table:
    """The table with the header that its separator gives."""
    try:
        first = next(_records(table, table.start), None)
    except UserError:  # quotes that another separator may explain
        first = None
    header = [name.strip() for name in first.fields] if first else []
    while header and not header[-1]:  # commas that Excel leaves behind the last column
        header.pop()
    return replace(table, header=header, start=first.end if first else table.start)


def _fitness(table: Table) -> tuple[int, int]:
    """The fit of a separator: the columns that are recognised, then the number of columns."""
    return len(columns.find(table.header)), len(table.header)


def _in_single_quotes(table: Table) -> Table:
    """The table read with ' as its quote, if its first row is written so and then fits the header better."""
    line = next((line.strip() for line in islice(table.lines, table.start, None) if line.strip()), "")
    if len(line) < 2 or line[0] != "'" or line[-1] != "'":
        return table
    plain, quoted = (
        next(csv.reader([line], delimiter=table.separator, quotechar=quote)) for quote in (table.quote, "'")
    )
    width = len(table.header)
    if len(quoted) != width or (len(plain) == width and not all(f[:1] == f[-1:] == "'" for f in plain)):
        return table
    return replace(table, header=[name.strip("'") for name in table.header], quote="'")


def _records(table: Table, start: int) -> Iterator[Record]:
    lines, place = table.lines, start
    while place < len(lines):
        rest = map(lines.__getitem__, range(place, len(lines)))
        reader = csv.reader(rest, delimiter=table.separator, quotechar=table.quote, strict=True)
        done = 0  # lines of whole records
        try:
            for fields in reader:
                line, done = place + done, reader.line_num
                _check_swallowed(table, line, fields)
                if any(field.strip() for field in fields):
                    yield Record(line + 1, place + done, fields)
            return
        except csv.Error:
            place += done + 1
            yield Record(place, place, _mended(table, place))


def _mended(table: Table, number: int) -> list[str]:
    """The fields of a line whose quotes aren't doubled, as in "12" pan": there, a quote ends a field at a separator."""
    separator, quote = table.separator, table.quote
    rest = table.lines[number - 1].rstrip("\r\n") + separator
    fields: list[str] = []
    while rest:
        if not rest.lstrip().startswith(quote):
            field, _, rest = rest.partition(separator)
        else:
            field, closed, rest = rest.lstrip()[len(quote) :].partition(quote + separator)
            if not closed:
                raise UserError(
                    f"names {table.location} line {number}: a quote ({quote}) opens a field and isn't closed; "
                    "double the quotes that belong to a name"
                )
        fields.append(field.replace(quote * 2, quote))
    return fields


def _check_swallowed(table: Table, place: int, fields: list[str]) -> None:
    """Raise a UserError if a field holds lines that are rows: a quote opened in one row and closed in another."""
    for field in fields:
        if "\n" not in field and "\r" not in field:
            continue
        if any(_is_row(table, part) for part in field.splitlines()[1:]):
            raise UserError(
                f"names {table.location} line {place + 1}: a quote ({table.quote}) opens a field that holds whole "
                "rows; close it, or double the quotes that belong to a name"
            )


def _is_row(table: Table, line: str) -> bool:
    """Whether a line within a field is a row: it has the header's fields, and each looks like one of its column.

    A description may have lines with as many separators and names of pictures, as in "See front.jpg, back.jpg, …".
    """
    parts, width = line.split(table.separator), len(table.header)
    if len(parts) < max(width, 2) or any(part.strip() for part in parts[width:]):
        return False
    if all(part.startswith(" ") for part in parts[1:width]):  # prose has a blank behind each comma
        return False
    places = columns.find(table.header)
    pictures, texts = (
        [parts[place] for name in names for place in places.get(name, [])]
        for names in (("file", "cutout"), ("name", "category"))
    )
    return any(_is_picture(part) for part in pictures) and not any(_is_picture(part) for part in texts)


def _is_picture(field: str) -> bool:
    """Whether a field is the name or URL of a picture, and nothing else."""
    found = _PICTURE.search(name := field.strip().partition("?")[0])
    return found is not None and found.end() == len(name)
