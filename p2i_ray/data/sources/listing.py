"""Read the CSV that lists the photos: one row a photo, checked before any photo is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p2i_ray.data.sources import columns, delimited, products
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.products import Record
from p2i_ray.data.sources.rows import REQUIRED, Row
from p2i_ray.errors import UserError
from p2i_ray.storage import locations


def read(location: str, index: FileIndex, category: str = "") -> Iterator[Row]:
    """Read a table of text, with any usual separator and encoding, as shop systems export it.

    The header has the columns file, name and category, or what `columns` knows by other names; and perhaps id, group,
    mask and cutout. Other columns are ignored.

    Args:
        location: of the CSV.
        index: the source's files.
        category: of rows without one.

    Raises:
        UserError: no such file, no text, a missing column, or broken quoting; the message names the line.
    """
    table = delimited.parse(read_list(location), location)
    yield from products.rows(table.header, _records(table), index, location=location, category=category)


def encoding(location: str) -> str:
    """The encoding that a table of text is read with."""
    return delimited.decode(read_list(location), location)[1]


def read_list(location: str) -> bytes:
    """The content of a file that lists products.

    Raises:
        UserError: no such file.
    """
    if not locations.exists(location):
        raise UserError(f"names {location} is not there; it is a CSV with the columns {', '.join(REQUIRED)}")
    if locations.kind(location) == "directory":
        raise UserError(f"names {location} is a folder, not a CSV file")
    return locations.read_bytes(location)


def _records(table: delimited.Table) -> Iterator[Record]:
    used = [place for places in columns.find(table.header).values() for place in places]
    for record in table.records():
        yield Record(f"line {record.line}", record.fields, _misfit(record.fields, len(table.header), used))


def _misfit(fields: Sequence[str], width: int, used: Sequence[int]) -> str | None:
    """Why a row's number of fields does not fit the header; none if only unused or empty ones lack or are too many."""
    if len(fields) > max(used, default=0) and not any(field.strip() for field in fields[width:]):
        return None
    return f"bad row: {len(fields)} fields, the header has {width}; quote names with commas"
