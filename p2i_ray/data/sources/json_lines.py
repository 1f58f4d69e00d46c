"""Read lists of products in JSON: one object a line, or an array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import count
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
    text = delimited.decode(content, location)[0]
    whole = _array(text, location) if text.lstrip().startswith("[") else None
    # Lines are read twice: first for their keys, so that not all objects are held.
    objects = partial(_lines, text) if whole is None else partial(_elements, whole)
    header = list(dict.fromkeys(key for _, value in objects() if isinstance(value, dict) for key in value))
    records = (
        Record(origin, [tables.text(value.get(key)) for key in header])
        if isinstance(value, dict)
        else Record(origin, [], f"bad row: {value}")
        for origin, value in objects()
    )
    yield from products.rows(header, records, index, location=location, category=category)


def _array(text: str, location: str) -> list[Any]:
    try:
        return list(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UserError(f"names {location} is no JSON: {error}") from None


def _elements(whole: list[Any]) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """The origin of each element of an array, and the object or what is wrong with it."""
    for number, value in enumerate(whole, start=1):
        yield f"object {number}", value if isinstance(value, dict) else "no JSON object"


def _lines(text: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """The origin of each line, and its object or what is wrong with it."""
    start = 0
    for number in count(1):
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if line.strip():
            try:
                value = json.loads(line)
                yield f"line {number}", value if isinstance(value, dict) else "no JSON object"
            except (ValueError, RecursionError) as error:
                yield f"line {number}", f"no JSON: {error}"
        if end < 0:
            return
        start = end + 1
