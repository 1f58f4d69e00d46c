"""The rows of a source: what a reader yields, and the table of them that an ingestion works on."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from p2i_ray.data.sources import half_pairs, repeats
from p2i_ray.data.sources.product_names import CONTROL, clean
from p2i_ray.data.text_columns import BATCH
from p2i_ray.storage import spilled

REQUIRED = ("file", "name", "category")
PICTURES = ("file", "mask", "cutout")  # columns that name pictures
COLUMNS = ("id", "group", "name", "category", *PICTURES, "origin", "reason")
MAY_LACK = ("group", "mask", "cutout", "origin", "reason")  # they are null then
SCHEMA = pa.schema([(column, pa.string()) for column in COLUMNS])
INSIDE = "::"  # between a container (zip, tar, Parquet file) and a picture in it
LONGEST_NAME = 1000  # characters; what is longer is a description, or a CSV whose quotes went wrong
LONGEST_ID = 256


@dataclass
class Row:
    """One picture of a product, as a reader found it.

    Args:
        file: the photo: a path below the source, or CONTAINER::WHERE for one inside a container; may be empty where
            there is a cutout.
        name: the product's name.
        category: of the product.
        id: of the row; empty: made from `file`.
        group: of the photos of one product, such as a SKU; empty: not known.
        mask: file of the mask, as `file`.
        cutout: file of the cutout, as `file`.
        origin: where the row stands, for messages: "photos.csv line 7".
        reason: why the row can't be used; None if it can.
    """

    file: str
    name: str
    category: str
    id: str = ""
    group: str = ""
    mask: str = ""
    cutout: str = ""
    origin: str = ""
    reason: str | None = None


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Check rows and put them into a table, in order; `reason` says why one is set aside, else it is null.

    The table is mapped from a temporary file, see `spilled`; a batch of rows is in memory.
    """
    written = spilled.table(_batches(iter(rows)), pa.schema([*SCHEMA, *repeats.HASHES]))
    return repeats.set_aside(written.select(list(COLUMNS)), written.select(repeats.HASHES.names))


def id_of(file: str) -> str:
    """The id of a photo without one: 16 hexadecimal digits that depend on its path alone."""
    return hashlib.sha256(file.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def of_photo(id: str, place: int) -> str:
    """The id of a product's photo at a place from 0: the product's own for the first; none without that."""
    return f"{id}-{place + 1}" if id and place else id


def outside(file: str) -> str | None:
    """The reason why a path is not one below the source; None if it is."""
    if "://" in file or file.startswith("data:"):
        return "outside the folder: a URL, and nothing is fetched; save the picture in source under its own name"
    if INSIDE in file:
        return "outside the folder: a chain of file systems"
    if file.startswith("/") or file == ".." or file.startswith("../"):
        return "outside the folder: the path leads out of source"
    if "\0" in file:
        return "unreadable: the path has a null character"
    return None


def tidy_path(file: str) -> str:
    """A path without what doesn't matter: ./a.jpg and a.jpg are one photo."""
    file = file.strip()
    return posixpath.normpath(file) if file and "://" not in file and INSIDE not in file else file


def _batches(rows: Iterator[Row]) -> Iterator[pa.Table]:
    while some := list(islice(rows, BATCH)):
        for row in some:
            _tidy(row)
            row.reason = row.reason or _invalid(row)
            _make_writable(row)
        columns = {name: [getattr(row, name) for row in some] for name in COLUMNS}
        columns |= {name: [value or None for value in columns[name]] for name in MAY_LACK}
        text = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        hashes = repeats.hashes((row.file or row.cutout, row.id) for row in some)
        yield pa.table({**text, **hashes})


def _tidy(row: Row) -> None:
    row.name, row.category = clean(row.name), clean(row.category)
    row.id, row.group = row.id.strip(), " ".join(row.group.split())
    row.id = row.id or id_of(row.file or row.cutout)


def _make_writable(row: Row) -> None:
    """Replace what no table can hold: in the names of files, such rows are set aside; in messages, it can be read."""
    for column in COLUMNS:
        if (value := getattr(row, column)) and half_pairs.has_any(value):
            setattr(row, column, half_pairs.replaced(value))


def _invalid(row: Row) -> str | None:
    if not (row.file or row.cutout):
        return "empty file: the row names no picture"
    if any(half_pairs.has_any(getattr(row, column)) for column in PICTURES):
        return "bad file name: it is not UTF-8, and can't be written down; rename the file"
    for column in ("name", "category"):
        if not getattr(row, column):
            return f"empty {column}"
    if len(row.name) > LONGEST_NAME or len(row.category) > LONGEST_NAME:
        longest = max(len(row.name), len(row.category))
        return f"name too long: {longest} characters, more than {LONGEST_NAME} are no product's name"
    if len(row.id) > LONGEST_ID or CONTROL.search(row.id):
        return f"bad id: it has control characters, or more than {LONGEST_ID}"
    return None
