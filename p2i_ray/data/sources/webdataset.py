"""Read webdataset tars: the files of one sample share a key, the name up to its first dot, and differ behind it."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from p2i_ray.data import mapped_rows
from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import archives, columns, tables
from p2i_ray.data.sources.photos import open_file
from p2i_ray.data.sources.rows import INSIDE, Row, id_of
from p2i_ray.data.text_columns import BATCH
from p2i_ray.errors import UserError
from p2i_ray.storage import spilled

_PHOTO = re.compile(r"(?:image\.|photo\.)?(?:jpe?g|jfif|png|webp|avif|gif|bmp|tiff?|heic|heif)", re.I)
_BESIDE = re.compile(r"(mask|cutout)\.(?:png|webp|jpe?g|tiff?)", re.I)
TEXT_BYTES = 1 << 20  # of a sample's json or txt
MEMBERS = pa.schema([(name, pa.binary()) for name in ("key", "kind", "where")])  # files of a tar
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
    broken: list[str] = []
    members = spilled.table(_batches(_members(opened, broken)), MEMBERS)
    key = b""
    parts: dict[str, str] = {}  # of one sample: what is behind the first dot -> where it lies
    for batch in _by_sample(members).to_batches(max_chunksize=BATCH):
        for member in batch.to_pylist():
            if member["key"] != key:
                if parts:
                    yield _row(opened, file, key=_text(key), parts=parts, category=category)
                key, parts = member["key"], {}
            parts[_text(member["kind"])] = _text(member["where"])
    if parts:
        yield _row(opened, file, key=_text(key), parts=parts, category=category)
    for reason in broken:
        yield Row("", "", category, id=f"{file}{INSIDE}", origin=file, reason=reason)


def _members(opened: BinaryIO, broken: list[str]) -> Iterator[tuple[str, str, str]]:
    """Key, kind and place of each file; why the rest can't be read goes into `broken`."""
    try:
        for member in archives.tar_members(opened):
            folder, name = posixpath.split(member.name)
            stem, _, kind = name.partition(".")
            yield posixpath.join(folder, stem), kind.lower(), member.where
    except ImageError as error:
        broken.append(str(error))


def _batches(members: Iterator[tuple[str, str, str]]) -> Iterator[pa.Table]:
    while some := list(islice(members, BATCH)):
        columns = ([text.encode("utf-8", "surrogatepass") for text in texts] for texts in zip(*some, strict=True))
        yield pa.table([pa.array(column, pa.binary()) for column in columns], schema=MEMBERS)


def _by_sample(members: pa.Table) -> pa.Table:
    """The files in the order of their samples' first ones; a tar that wasn't sorted has those of a sample apart."""
    if not members.num_rows:
        return members
    samples = members["key"].combine_chunks().dictionary_encode().indices.to_numpy()
    if (samples[1:] >= samples[:-1]).all():
        return members
    return mapped_rows.take(members, np.argsort(samples, kind="stable"))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _row(opened: BinaryIO, file: str, *, key: str, parts: dict[str, str], category: str) -> Row:
    # Keys are counted anew in each tar by some writers.
    row = Row("", "", "", origin=f"{file} {key}", id=id_of(f"{file}{INSIDE}{key}"))
    photos = [kind for kind in parts if _PHOTO.fullmatch(kind)]
    if len(photos) > 1:
        row.reason = f"bad row: {' and '.join(photos)} may both be its photo; keep one, and call a mask mask.png"
    for kind, where in parts.items():
        beside = _BESIDE.fullmatch(kind)
        if beside or kind in photos[:1]:
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
