"""Read Parquet files and saved Hugging Face data sets whose rows hold their pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

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
    is no column for it by name, the only one with pictures is it.

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
                if table.schema.names != REJECTED_SCHEMA.names:  # what an ingestion set aside
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
    header, places = table.schema.names, columns.find(table.schema.names)
    pictures = [place for place, field in enumerate(table.schema) if tables.is_picture(field.type)]
    named = {place for column in ("mask", "cutout") for place in places.get(column, [])}
    if not set(places.get("file", [])) & set(pictures):
        others = [place for place in pictures if place not in named]
        places = places | ({"file": others} if len(others) == 1 else {})
    products.check(header, places, file, category)
    classes = tables.class_names(table.schema)
    texts = [name for place, name in enumerate(header) if place not in pictures]
    embedded = {column: header[places[column][0]] for column in PICTURES if set(places.get(column, [])) & set(pictures)}
    if "file" in places and "file" not in embedded:
        if embedded:
            raise UserError(
                f"{file} names photos by paths and holds {', '.join(embedded)}; let it name both, or hold both"
            )
        records = (
            Record(origin, [tables.text(row[name], classes.get(name)) for name in texts])
            for _, _, origin, row in _texts(table, file, texts)
        )
        yield from products.rows(texts, records, index, location=file, category=category)
        return
    wanted = {column: [header[place] for place in where if header[place] in texts] for column, where in places.items()}
    read = list(dict.fromkeys(name for names in wanted.values() for name in names))
    for group, number, origin, row in _texts(table, file, read):
        values = {
            column: next((text for name in names if (text := tables.text(row[name], classes.get(name)))), "")
            for column, names in wanted.items()
        }
        made = Row(
            **{"file": "", "name": "", "category": category} | {c: v for c, v in values.items() if v}, origin=origin
        )
        products.resolve(made, index)
        for column, name in embedded.items():
            setattr(made, column, f"{file}{INSIDE}{group}/{number}/{name}")
        yield made


def _texts(table: tables.TableFile, file: str, names: list[str]) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    """Rows of columns without pictures: row group, place there, origin, values."""
    for group, start, batch in table.batches(names):
        for number in range(batch.num_rows):
            place = start + number
            row = {name: batch.column(name)[number].as_py() for name in names}
            yield group, place, f"{file} row group {group} row {place}", row
