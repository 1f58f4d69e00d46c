"""Read Parquet files and saved Hugging Face data sets whose rows hold their pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.data.schema import REJECTED_SCHEMA
from p2i_ray.data.sources import columns, products, tables
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.photos import open_file
from p2i_ray.data.sources.products import Record
from p2i_ray.data.sources.rows import INSIDE, PICTURES, Row
from p2i_ray.errors import UserError


def is_data(name: str) -> bool:
    """Whether a file is one of data, and no cache that `datasets` left beside them."""
    base = posixpath.basename(name).lower()
    return base.endswith((tables.PARQUET, tables.ARROW)) and not base.startswith("cache-")


def read(root: str, files: Sequence[str], index: FileIndex, category: str = "") -> Iterator[Row]:
    """Yield the rows of table files; of columns with pictures nothing is read.

    The columns are found as those of a CSV. A picture is an image struct {bytes, path}, bytes, or a path; where there
    is no column for it by name, the only one with pictures is it. A list of photos is a row for each, of one group.

    Args:
        root: folder that the files are relative to.
        files: Parquet or Arrow files below it.
        index: the source's files, for pictures that are named by paths.
        category: of rows without one.

    Raises:
        UserError: a file is no table, or lacks a column.
    """
    for file in files:
        try:
            with open_file(root, file) as opened:
                table = tables.TableFile(opened, file)
                if table.names != REJECTED_SCHEMA.names:  # what an ingestion set aside
                    yield from _rows(table, file, index, category)
        except ImageError as error:
            raise UserError(f"source {root}/{file}: {error}") from None


def listed(content: bytes, location: str, index: FileIndex, category: str = "") -> Iterator[Row]:
    """Yield the rows of a list of products in Parquet, whose pictures are files of the source.

    Args:
        content: of the list.
        location: for messages.
        index: the source's files.
        category: of rows without one.

    Raises:
        UserError: it is no Parquet file, lacks a column, or holds pictures itself.
    """
    try:
        table = tables.TableFile(BytesIO(content), location if location.endswith(tables.PARQUET) else tables.PARQUET)
    except ImageError as error:
        raise UserError(f"names {location}: {error}") from None
    if any(tables.is_picture(field.type) for field in table.schema):
        raise UserError(f"names {location} holds pictures; name its folder as source=, without names=")
    yield from _rows(table, location, index, category)


def _rows(table: tables.TableFile, file: str, index: FileIndex, category: str) -> Iterator[Row]:
    header = table.names
    if len(set(header)) < len(header):
        raise UserError(f"{file} has a column twice: {', '.join(header)[:200]}")
    several = {field.name for field in table.schema if tables.holds_pictures(field.type)}
    pictures = several | {field.name for field in table.schema if tables.is_picture(field.type)}
    places = {column: [header[place] for place in where] for column, where in columns.find(header).items()}
    if not pictures & set(places.get("file", [])):  # no picture has such a name
        others = sorted(pictures - {name for names in places.values() for name in names})
        places |= {"file": others} if len(others) == 1 else {}
    products.check(header, places, file, category)
    embedded = {column: places[column][0] for column in PICTURES if pictures & set(places.get(column, []))}
    if "file" in places and "file" not in embedded:
        if embedded:
            raise UserError(f"{file} names photos by paths and holds {', '.join(embedded)}; let it do one of the two")
        texts = [name for name in header if name not in pictures]
        cells = _cells(table, file, texts)
        records = (Record(cell.origin, [cell.texts.get(name, "") for name in texts], cell.reason) for cell in cells)
        yield from products.rows(texts, records, index, location=file, category=category)
        return
    if many := [column for column in embedded if column != "file" and embedded[column] in several]:
        raise UserError(f"{file} has lists of pictures as {embedded[many[0]]}; only photos may be several a row")
    lengths = table.lengths(embedded["file"]) if embedded.get("file") in several else None
    read = [name for names in places.values() for name in names if name not in pictures]
    for cell in _cells(table, file, read):
        row = Row("", "", "", origin=cell.origin, reason=cell.reason)
        for column, names in places.items():
            setattr(row, column, next((text for name in names if (text := cell.texts.get(name, ""))), ""))
        row.category = row.category or category
        if row.reason is None:
            products.resolve(row, index)
        for column, name in embedded.items():
            setattr(row, column, f"{file}{INSIDE}{cell.where}/{name}")
        if lengths is None:
            yield row
        else:
            group, _, number = cell.where.partition("/")
            yield from _each(row, f"{file}{INSIDE}{cell.where}", embedded["file"], lengths[int(group)][int(number)])


def _each(row: Row, place: str, column: str, count: int) -> Iterator[Row]:
    """A row for each photo of a list, a mask or cutout being the first one's; without any, one that says so."""
    if count == 0:
        yield replace(row, file="")
        return
    group = row.group or row.id or place
    for number in range(count):
        id_ = f"{row.id}-{number + 1}" if row.id and number else row.id
        of_photo = row if number == 0 else replace(row, mask="", cutout="")
        yield replace(of_photo, file=f"{place}{tables.OF}{number}/{column}", id=id_, group=group)


class _Cells(NamedTuple):
    """A row's columns without pictures."""

    where: str  # row group and row
    texts: dict[str, str]
    origin: str
    reason: str | None


def _cells(table: tables.TableFile, file: str, names: list[str]) -> Iterator[_Cells]:
    classes = tables.class_names(table.schema)
    for group, start, batch in table.batches(names):
        for number in range(batch.num_rows):
            reason, texts = None, {}
            try:
                texts = {name: tables.text(batch.column(name)[number].as_py(), classes.get(name)) for name in names}
            except (ValueError, ArithmeticError) as error:  # no UTF-8, or a date that is none
                reason = f"bad row: {error}"
            place = start + number
            yield _Cells(f"{group}/{place}", texts, f"{file} row group {group} row {place}", reason)
