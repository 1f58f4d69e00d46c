"""Read lists of products in JSON: one object a line, or an array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from p2i_ray.data.sources import delimited, products, tables
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.products import Record
from p2i_ray.data.sources.rows import Row
from p2i_ray.errors import UserError


def read(content: bytes, location: str, index: FileIndex, category: str = "") -> Iterator[Row]:
    """Yield the rows of a list; keys are found as the columns of a CSV are, and a list of paths is several pictures.

    Args:
        content: of the list.
        location: for messages.
        index: the source's files.
        category: of rows without one.

    Raises:
        UserError: no object has a needed key, or the file is neither lines of JSON nor an array.
    """
    found = list(_objects(content, location))
    header = list(dict.fromkeys(key for _, value in found if isinstance(value, dict) for key in value))
    records = (
        Record(origin, [tables.text(value.get(key)) for key in header])
        if isinstance(value, dict)
        else Record(origin, [], f"bad row: {value}")
        for origin, value in found
    )
    yield from products.rows(header, records, index, location=location, category=category)


def _objects(content: bytes, location: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """The origin of each object, and the object or what is wrong with it."""
    text = delimited.decode(content, location)[0]
    if text.lstrip().startswith("["):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"names {location} is no JSON: {error}") from None
        for number, value in enumerate(whole, start=1):
            yield f"object {number}", value if isinstance(value, dict) else "no JSON object"
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
                yield f"line {number}", value if isinstance(value, dict) else "no JSON object"
            except (ValueError, RecursionError) as error:
                yield f"line {number}", f"no JSON: {error}"
