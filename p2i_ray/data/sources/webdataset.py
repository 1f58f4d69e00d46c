"""Read webdataset tars: the files of one sample share a key, the name up to its first dot, and differ behind it."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import archives, columns, tables
from p2i_ray.data.sources.photos import open_file
from p2i_ray.data.sources.rows import INSIDE, Row, id_of
from p2i_ray.errors import UserError

_PHOTO = re.compile(r"(?:image\.|photo\.)?(?:jpe?g|png|webp|avif|gif|bmp|tiff?|heic)", re.I)
_BESIDE = re.compile(r"(mask|cutout)\.(?:png|webp|jpe?g|tiff?)", re.I)
TEXT_BYTES = 1 << 20  # of a sample's json or txt
NAME, CATEGORY = ("txt", "text", "caption"), ("cls", "class")


def read(root: str, files: Sequence[str], category: str = "") -> Iterator[Row]:
    """Yield a row for each sample: its photo (jpg, png, webp, …), perhaps mask.png and cutout.png, its description.

    That is a json object, with the keys that the columns of a CSV may have; txt, the name; cls, the category. A sample
    without a name has its category's. Samples up to the place where a tar is cut off are read; a row says so.

    Args:
        root: folder that the tars are relative to.
        files: the tars.
        category: of samples without one.

    Raises:
        UserError: a tar can't be opened.
    """
    for file in files:
        try:
            with open_file(root, file) as opened:
                yield from _samples(opened, file, category)
        except ImageError as error:
            raise UserError(f"source {root}/{file}: {error}") from None


def _samples(opened: BinaryIO, file: str, category: str) -> Iterator[Row]:
    key = ""
    parts: dict[str, str] = {}  # of one sample: what is behind the first dot -> where it lies
    members = archives.tar_members(opened)
    broken: str | None = None
    while True:
        try:
            member = next(members, None)
        except ImageError as error:
            member, broken = None, str(error)
        folder, name = posixpath.split(member.name) if member else ("", "")
        stem, _, kind = name.partition(".")
        if member is None or posixpath.join(folder, stem) != key:
            if parts:
                yield _row(opened, file, key=key, parts=parts, category=category)
            key, parts = posixpath.join(folder, stem), {}
        if member is None:
            break
        parts[kind.lower()] = member.where
    if broken:
        yield Row("", "", category, id=f"{file}{INSIDE}", origin=file, reason=broken)


def _row(opened: BinaryIO, file: str, *, key: str, parts: dict[str, str], category: str) -> Row:
    # Keys are counted anew in each tar by some writers.
    row = Row("", "", "", origin=f"{file} {key}", id=id_of(f"{file}{INSIDE}{key}"))
    for kind, where in parts.items():
        beside = _BESIDE.fullmatch(kind)
        if beside or (_PHOTO.fullmatch(kind) and not row.file):
            setattr(row, beside[1].lower() if beside else "file", f"{file}{INSIDE}{where}")
    try:
        described = _described(opened, parts)
    except ImageError as error:
        row.reason = str(error)
        described = {}
    for column, value in described.items():
        setattr(row, column, value)
    row.category = row.category or category
    row.name = row.name or row.category
    return row


def _described(opened: BinaryIO, parts: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, column in [*((kind, "name") for kind in NAME), *((kind, "category") for kind in CATEGORY)]:
        if kind in parts:
            found[column] = archives.read_tar(opened, parts[kind], TEXT_BYTES).decode("utf-8", "replace").strip()
    if "json" in parts:
        try:
            value = json.loads(archives.read_tar(opened, parts["json"], TEXT_BYTES))
        except (ValueError, RecursionError) as error:
            raise ImageError(f"bad row: its json is broken ({error})") from None
        if not isinstance(value, dict):
            raise ImageError("bad row: its json is no object")
        keys = list(value)
        places = {column: columns.find(keys).get(column, []) for column in ("id", "group", "name", "category")}
        texts = {column: [tables.text(value[keys[place]]) for place in where] for column, where in places.items()}
        found |= {column: text for column, some in texts.items() if (text := next(filter(None, some), ""))}
    return found
