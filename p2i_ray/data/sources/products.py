"""From the records of a list of products to rows: one a picture, however the list puts several of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import columns
from p2i_ray.data.sources.file_index import PICTURE, FileIndex, shared_folder
from p2i_ray.data.sources.rows import PICTURES, REQUIRED, Row, of_photo, outside, tidy_path
from p2i_ray.errors import UserError

SEVERAL = re.compile(r"\s*[,;|\r\n]\s*")  # between the pictures of one cell
SEVERAL_URLS = re.compile(r"[,;|\s]+(?=[a-z]+://)", re.I)
OF_PHOTOS = ("mask", "cutout")
FOLDER_ROWS = 1000  # rows by which a folder that all paths have in front is found


@dataclass(frozen=True)
class Record:
    """A record of a list.

    Args:
        origin: where it stands: "line 7".
        fields: as many as the header has; what lacks is not used, or `reason` says so.
        reason: why it can't be used; None if it can.
    """

    origin: str
    fields: Sequence[str]
    reason: str | None = None


@dataclass(frozen=True)
class Product:
    """A record's facts, before its pictures are looked for."""

    origin: str
    values: dict[str, str]  # our columns
    pictures: list[str]  # cells, each with one path or several
    reason: str | None


def rows(
    header: Sequence[str], records: Iterable[Record], index: FileIndex, *, location: str, category: str = ""
) -> Iterator[Row]:
    """Yield a row for each picture of each record.

    A record of the same group without a name continues the one before it, as Shopify writes further pictures.

    Args:
        header: the list's columns.
        records: of the list.
        index: the source's files.
        location: the list's own, for messages.
        category: of records without one.

    Raises:
        UserError: a column is lacking.
    """
    places = columns.find(header)
    check(header, places, location, category)
    products = _products(header, records, places, category)
    first = list(islice(products, FOLDER_ROWS))
    prefix = shared_folder(cell for product in first for cell in product.pictures)
    # Where the column of ids is that of products, a product may have several records, and its photos are numbered on.
    several = bool(set(places.get("id", [])) & set(places.get("group", [])))
    photos: Counter[str] = Counter()  # of each product
    for product in chain(first, products):
        id = product.values.get("id", "")
        made = _rows(product, index, prefix, before=photos[id] if several else 0)
        if several:
            photos[id] += len(made)
        yield from made


def check(header: Sequence[str], places: Collection[str], location: str, category: str) -> None:
    """Raise a UserError if a list lacks a column; `places` are those that it has."""
    lacking = [name for name in REQUIRED if name not in places and not (name == "category" and category)]
    if "cutout" in places and "file" in lacking:
        lacking.remove("file")
    if not lacking:
        return
    has = ", ".join(header)[:200] or "nothing"
    text = f"names {location} lacks the column {', '.join(lacking)}; its first line has: {has}"
    if any(PICTURE.search(field) for field in header):
        text += f"; that looks like a row: put a line with the columns' names first, such as {','.join(REQUIRED)}"
    elif lacking == ["category"]:
        text += "; ingest.category=NAME gives all rows one"
    raise UserError(text)


def _products(
    header: Sequence[str], records: Iterable[Record], places: dict[str, list[int]], category: str
) -> Iterator[Product]:
    more = columns.more_pictures(header, places.get("file", []))
    before: dict[str, str] = {}
    for record in records:
        values = {column: _first(record.fields, where) for column, where in places.items()}
        if values.get("group") and not values.get("name") and before.get("group") == values["group"]:
            values |= {column: before.get(column, "") for column in ("name", "category")}
        before = values
        values["category"] = values.get("category") or category
        cells = [_first(record.fields, places.get("file", [])), *(_first(record.fields, [place]) for place in more)]
        yield Product(record.origin, values, [cell for cell in cells if cell], record.reason)


def _rows(product: Product, index: FileIndex, prefix: str, *, before: int) -> list[Row]:
    """A row for each picture of a product, of which earlier records had so many."""
    values = product.values
    paths = list(dict.fromkeys(path for cell in product.pictures for path in _split(cell, index, prefix)))
    masks, cutouts = (_split(cell, index, prefix) if (cell := values.get(kind, "")) else [] for kind in OF_PHOTOS)
    number = len(paths) or len(cutouts) or 1
    group = values.get("group", "")
    if number > 1:
        group = group or values.get("id", "") or (paths or cutouts)[0]
    rows = []
    for place in range(number):
        row = Row(
            file=paths[place] if paths else "",
            name=values.get("name", ""),
            category=values["category"],
            id=of_photo(values.get("id", ""), before + place),
            group=group,
            mask=masks[place] if place < len(masks) else "",
            cutout=cutouts[place] if place < len(cutouts) else "",
            origin=product.origin,
            reason=product.reason or _unpaired(number, {"mask": masks, "cutout": cutouts}),
        )
        if row.reason is None:
            resolve(row, index, prefix)
        rows.append(row)
    return rows


def _unpaired(photos: int, given: dict[str, list[str]]) -> str | None:
    """The reason why a record's masks can't be told to its photos; None if they can: one is that of the first."""
    for kind, paths in given.items():
        if len(paths) not in (0, 1, photos):
            return (
                f"bad {kind}: {len(paths)} for {photos} photos; give one for each in their order, or the first's alone"
            )
    return None


def _split(cell: str, index: FileIndex, prefix: str) -> list[str]:
    """The paths in a cell: one, unless each part between separators is a URL or names a picture."""
    if len(urls := SEVERAL_URLS.split(cell.strip(",;| \t\r\n"))) > 1:
        return urls
    parts = [part for part in SEVERAL.split(cell.strip()) if part]
    if len(parts) < 2 or not all(PICTURE.search(part.partition("?")[0]) for part in parts):
        return [cell]
    if "://" in cell:  # looked for as one URL, it would be its last part
        return parts
    try:
        return [cell] if index.find(tidy_path(cell), prefix) else parts
    except ImageError:
        return [cell]


def resolve(row: Row, index: FileIndex, prefix: str = "") -> None:
    """Replace a row's paths by those of the files that are there, or say why that can't be.

    Args:
        row: as the list has it.
        index: the source's files.
        prefix: a folder that all paths of the list have in front.
    """
    for column in PICTURES:
        given = getattr(row, column)
        if not given:
            continue
        path = tidy_path(given)
        try:
            found = index.find(path, prefix) if path else ""
        except ImageError as error:
            row.reason = str(error)
            return
        setattr(row, column, path if found is None else found)
        if found is None and (reason := outside(path)):
            row.reason = reason
            return


def _first(fields: Sequence[str], places: Sequence[int]) -> str:
    for place in places:
        if place < len(fields) and (text := fields[place].strip()):
            return text
    return ""
