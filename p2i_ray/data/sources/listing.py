"""Read the CSV that lists the photos: one row a photo, checked before any photo is opened."""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import re
from collections.abc import Iterator

import pyarrow as pa

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

REQUIRED = ("file", "name", "category")
SEPARATORS = re.compile(r"[;\t|]")  # of a table that is not separated by commas, as Excel writes it
PICTURES = ("mask", "cutout")  # may be named beside a photo
SCHEMA = pa.schema([(column, pa.string()) for column in ("id", *REQUIRED, *PICTURES, "reason")])


def read(location: str) -> pa.Table:
    """Read the CSV: a header with file, name, category and perhaps id, mask and cutout; other columns are ignored.

    Returns:
        One row a CSV row, in order (id, file, name, category, mask, cutout, reason). `mask` and `cutout` are null
        where no file is named. `reason` is null, or says why the row is set aside: a wrong number of fields, an empty
        field, a path out of the folder, or a repeated id or file.

    Raises:
        UserError: no such file, not UTF-8, a missing column, or broken quoting; the message names the line.
    """
    if not locations.exists(location):
        raise UserError(f"names {location} is not there; it is a CSV with the columns {', '.join(REQUIRED)}")
    try:
        text = locations.read_bytes(location).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"names {location} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except IsADirectoryError:
        raise UserError(f"names {location} is a folder, not a CSV file") from None
    columns: dict[str, list[str | None]] = {name: [] for name in SCHEMA.names}
    ids: set[str] = set()
    files: set[str] = set()
    for row in _rows(text, location):
        row["reason"] = row["reason"] or _invalid(row) or _repeated(row, ids, files)
        if row["reason"] is None:
            ids.add(str(row["id"]))
            files.add(str(row["file"]))
        for name, values in columns.items():
            values.append(row[name])
    if not columns["id"]:
        raise UserError(f"names {location} has a header and no rows")
    return pa.table(columns, schema=SCHEMA)


def id_of(file: str) -> str:
    """The id of a photo without one: 16 hexadecimal digits that depend on its path alone."""
    return hashlib.sha256(file.encode("utf-8")).hexdigest()[:16]


def _rows(text: str, location: str) -> Iterator[dict[str, str | None]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        lacking = [name for name in REQUIRED if name not in header]
        if lacking:
            has = ", ".join(header)[:200] or "nothing"
            line = f"names {location} lacks the column {', '.join(lacking)}; its first line has: {has}"
            raise UserError(f"{line}; save it with commas between the columns" if SEPARATORS.search(has) else line)
        places = {name: header.index(name) for name in ("id", *REQUIRED, *PICTURES) if name in header}
        for fields in reader:
            if fields:
                yield _row(fields, places, len(header))
    except csv.Error as error:
        raise UserError(f"names {location} line {reader.line_num}: {error}") from None


def _row(fields: list[str], places: dict[str, int], width: int) -> dict[str, str | None]:
    values = {name: " ".join(fields[place].split()) if place < len(fields) else "" for name, place in places.items()}
    paths = {name: _path(fields, places.get(name)) for name in ("file", *PICTURES)}
    file = paths["file"]
    fits = len(fields) == width
    reason = None if fits else f"bad row: {len(fields)} fields, the header has {width}; quote names with commas"
    pictures = {name: paths[name] or None for name in PICTURES}
    return {**values, **pictures, "file": file, "id": values.get("id") or id_of(file), "reason": reason}


def _path(fields: list[str], place: int | None) -> str:
    file = fields[place].strip() if place is not None and place < len(fields) else ""
    return posixpath.normpath(file) if file and "://" not in file else file  # ./a.jpg and a.jpg are one photo


def _invalid(row: dict[str, str | None]) -> str | None:
    for column in REQUIRED:
        if not row[column]:
            return f"empty {column}"
    return next((reason for name in ("file", *PICTURES) if row[name] and (reason := _outside(str(row[name])))), None)


def _outside(file: str) -> str | None:
    if "://" in file or "::" in file:
        return "outside the folder: a URL, and nothing is fetched"
    if file.startswith("/") or file == ".." or file.startswith("../"):
        return "outside the folder: the path leads out of source"
    if "\0" in file:
        return "unreadable: the path has a null character"
    return None


def _repeated(row: dict[str, str | None], ids: set[str], files: set[str]) -> str | None:
    if row["file"] in files:
        return "duplicate file: an earlier row has it"
    if row["id"] in ids:
        return "duplicate id: an earlier row has it"
    return None
