"""Read Parquet files and saved Hugging Face data sets whose rows hold their pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any, NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.data.schema import REJECTED_SCHEMA
from p2i_ray.data.sources import columns, picture_ids, products, tables
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.photos import open_file
from p2i_ray.data.sources.picture_ids import PictureIds
from p2i_ray.data.sources.products import Record
from p2i_ray.data.sources.rows import INSIDE, PICTURES, Row, of_photo
from p2i_ray.errors import UserError


def is_data(name: str) -> bool:
    """Whether a file is one of data, and no cache that `datasets` left beside them."""
    base = posixpath.basename(name).lower()
    return base.endswith((tables.PARQUET, tables.ARROW)) and not base.startswith("cache-")


def read(root: str, files: Sequence[str], index: FileIndex, category: str = "") -> Iterator[Row]:
    """Yield the rows of table files; of columns with pictures nothing is read, unless rows lack ids.

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
    lacking, paths = set(), {}
    for file in files:
        with _opened(root, file) as table:
            layout = _layout(table, file, category) if _has_rows(table) else None
            if layout and layout.pictures and _lacks_ids(table, layout):
                lacking.add(file)
                if tables.has_paths(table.schema.field(layout.pictures[0]).type):
                    paths[file] = picture_ids.hashes(table.paths(layout.pictures[0]))
    ids = PictureIds(paths)
    for file in files:
        with _opened(root, file) as table:
            if _has_rows(table):
                yield from _rows(table, file, index, category, ids=ids if file in lacking else None)


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


class _Layout(NamedTuple):
    """The columns of a table by their content."""

    places: dict[str, list[str]]  # our columns -> the table's
    embedded: dict[str, str]  # our columns with pictures -> the table's
    all_pictures: set[str]  # the table's columns that may hold pictures
    several: bool  # its photos are lists

    @property
    def pictures(self) -> list[str]:
        """The columns by which a row's picture is known, in order; none where pictures are files."""
        return [self.embedded[column] for column in ("file", "cutout") if column in self.embedded]


@contextmanager
def _opened(root: str, file: str) -> Iterator[tables.TableFile]:
    """A table of the source; what can't be read of it ends the job."""
    try:
        with open_file(root, file) as opened:
            yield tables.TableFile(opened, file)
    except ImageError as error:
        raise UserError(f"source {root}/{file}: {error}") from None


def _has_rows(table: tables.TableFile) -> bool:
    """Whether a table is not one of what an ingestion set aside."""
    return bool(table.names != REJECTED_SCHEMA.names)


def _layout(table: tables.TableFile, file: str, category: str) -> _Layout:
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
    if "file" in places and "file" not in embedded and embedded:
        raise UserError(f"{file} names photos by paths and holds {', '.join(embedded)}; let it do one of the two")
    if many := [column for column in embedded if column != "file" and embedded[column] in several]:
        raise UserError(f"{file} has lists of pictures as {embedded[many[0]]}; only photos may be several a row")
    return _Layout(places, embedded, pictures, several=embedded.get("file") in several)


def _lacks_ids(table: tables.TableFile, layout: _Layout) -> bool:
    """Whether there is a row without an id."""
    names = layout.places.get("id", [])
    cells = (value for name in names for _, _, batch in table.batches([name]) for value in batch.column(name))
    return not names or any(not tables.text(value.as_py()).strip() for value in cells)


def _rows(
    table: tables.TableFile, file: str, index: FileIndex, category: str, *, ids: PictureIds | None = None
) -> Iterator[Row]:
    """The rows of a table.

    Args:
        table: open.
        file: its name.
        index: the source's files.
        category: of rows without one.
        ids: of rows that have none; None if all have one, or pictures are files.
    """
    layout = _layout(table, file, category)
    if not layout.pictures:
        texts = [name for name in table.names if name not in layout.all_pictures]
        cells = _cells(table, file, texts)
        records = (Record(cell.origin, [cell.texts.get(name, "") for name in texts], cell.reason) for cell in cells)
        yield from products.rows(texts, records, index, location=file, category=category)
        return
    lengths = table.lengths(layout.embedded["file"]) if layout.several else None
    read = [name for names in layout.places.values() for name in names if name not in layout.all_pictures]
    by_paths = ids is not None and ids.by_paths(file)
    known_by = layout.pictures[: 1 if by_paths else None] if ids else []
    for cell in _cells(table, file, read, known_by, paths_alone=by_paths):
        row = Row("", "", "", origin=cell.origin, reason=cell.reason)
        for column, names in layout.places.items():
            setattr(row, column, next((text for name in names if (text := cell.texts.get(name, ""))), ""))
        row.category = row.category or category
        if row.reason is None:
            products.resolve(row, index)
        for column, name in layout.embedded.items():
            setattr(row, column, f"{file}{INSIDE}{cell.where}/{name}")
        if lengths is None:
            row.id = row.id or (ids.of(*cell.pictures) if ids else "")
            yield row
        else:
            group, _, number = cell.where.partition("/")
            shown = [ids.of(one) for one in (cell.pictures or [None])[0] or ()] if ids else []
            place, count = f"{file}{INSIDE}{cell.where}", lengths[int(group)][int(number)]
            yield from _each(row, place, layout.embedded["file"], shown or [""] * count)


def _each(row: Row, place: str, column: str, ids: Sequence[str]) -> Iterator[Row]:
    """A row for each photo of a list, which has these ids if the row has none; without any, one that says so.

    A mask or cutout is the first photo's.
    """
    if not ids:
        yield replace(row, file="")
        return
    group = row.group or row.id or ids[0] or place
    for number, own in enumerate(ids):
        shown = row if number == 0 else replace(row, mask="", cutout="")
        id_ = of_photo(row.id, number) or own
        yield replace(shown, file=f"{place}{tables.OF}{number}/{column}", id=id_, group=group)


class _Cells(NamedTuple):
    """A row's columns."""

    where: str  # row group and row
    texts: dict[str, str]  # of those without pictures
    pictures: list[Any]  # of those that were asked for
    origin: str
    reason: str | None


def _cells(
    table: tables.TableFile, file: str, names: list[str], pictures: Sequence[str] = (), *, paths_alone: bool = False
) -> Iterator[_Cells]:
    classes = tables.class_names(table.schema)
    for group, start, batch in table.batches(names, pictures, paths_alone=paths_alone):
        for number in range(batch.num_rows):
            reason, texts, shown = None, {}, []
            try:
                texts = {name: tables.text(batch.column(name)[number].as_py(), classes.get(name)) for name in names}
                shown = [batch.column(name)[number].as_py() for name in pictures]
            except (ValueError, ArithmeticError) as error:  # no UTF-8, or a date that is none
                reason = f"bad row: {error}"
            origin = f"{file} row group {group} row {start + number}"
            yield _Cells(f"{group}/{start + number}", texts, shown, origin=origin, reason=reason)
