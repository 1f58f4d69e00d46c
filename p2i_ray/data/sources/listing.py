"""Read lists of products in tables of text, with any usual separator and encoding, as shop systems export them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from mmap import mmap

from p2i_ray.data.sources import columns, delimited, products
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.products import Record
from p2i_ray.data.sources.rows import Row


def read(content: bytes | mmap, location: str, index: FileIndex, category: str = "") -> Iterator[Row]:
    """Yield the rows of a list.

    Its header has the columns file, name and category, or what `columns` knows by other names; and perhaps id, group,
    mask and cutout. Other columns are ignored.

    Args:
        content: of the list.
        location: for messages.
        index: the source's files.
        category: of rows without one.

    Raises:
        UserError: no text, a missing column, or broken quoting; the message names the line.
    """
    table = delimited.parse(content, location)
    yield from products.rows(table.header, _records(table), index, location=location, category=category)


def _records(table: delimited.Table) -> Iterator[Record]:
    used = [place for places in columns.find(table.header).values() for place in places]
    for record in table.records():
        yield Record(f"line {record.line}", record.fields, _misfit(record.fields, len(table.header), used))


def _misfit(fields: Sequence[str], width: int, used: Sequence[int]) -> str | None:
    """The fault of a row whose fields don't fit the header; none if only unused or empty ones lack or are too many."""
    if len(fields) > max(used, default=0) and not any(field.strip() for field in fields[width:]):
        return None
    return f"bad row: {len(fields)} fields, the header has {width}; quote names with commas"
