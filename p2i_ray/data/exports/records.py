"""Records of an export, taken from rows of EPBD: their texts, and their pictures' bytes as they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from p2i_ray.data.images import ImageError, encoded

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")  # ids that are file names as they stand
_BEGINNINGS = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"))
WITHOUT_SCENE = "_without_scene"  # behind a split's name: its rows that have no photo


class Picture(NamedTuple):
    """An encoded picture."""

    content: bytes
    suffix: str  # jpg, png or webp, by its content


class Record(NamedTuple):
    """A row to export."""

    key: str  # its files' name: ASCII, without dots
    texts: dict[str, str]  # id, name, category, and group where the data has it
    photo: Picture | None  # none: a cutout without a scene
    cutout: Picture

    def part(self, split: str) -> str:
        """The part of the export that the row goes to: a split's, or that of its rows without a scene.

        A row without a photo has other files than the rest, which readers of both forms take for a fault in one part.
        """
        return split if self.photo else f"{split}{WITHOUT_SCENE}"


def from_row(row: Mapping[str, Any]) -> Record:
    """The record of a row of EPBD, of EPBD's own types.

    Raises:
        ImageError: no name, or a picture that is missing, or no JPEG, PNG or WebP.
    """
    if not row["name"].strip():
        raise ImageError("the product has no name")
    texts = {column: row[column] for column in ("id", "name", "category")}
    if "group" in row:
        texts["group"] = row["group"] or row["id"]  # a product of its own; readers guess types, and of none none
    photo = encoded(row["image"])
    return Record(
        key=key_of(row["id"]),
        texts=texts,
        photo=None if photo is None else _picture(photo, "picture"),
        cutout=_picture(encoded(row["cutout"]), "cutout"),
    )


def key_of(id: str) -> str:
    """A file name for an id; where the id can't be one, what can be kept of it and 12 digits of its SHA-256."""
    if _PLAIN.fullmatch(id):
        return id
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", id).strip("-")[:60]
    return f"{kept}-{hashlib.sha256(id.encode()).hexdigest()[:12]}".lstrip("-")


def _picture(content: bytes | None, what: str) -> Picture:
    if not content:
        raise ImageError(f"the {what} is missing")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return Picture(content, "webp")
    for beginning, suffix in _BEGINNINGS:
        if content.startswith(beginning):
            return Picture(content, suffix)
    raise ImageError(f"the {what} is no JPEG, PNG or WebP")
