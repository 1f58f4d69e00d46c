"""generator.json: a generator's kind, prompts and categories, and the base that it was made from."""

from __future__ import annotations

from typing import Any

from p2i_ray.diffusion.model import validation
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.storage import locations

NAME = "generator.json"
FORMAT = 1


def read(location: str) -> dict[str, Any]:
    """A generator's own settings.

    Raises:
        UserError: they are of a later version, or not complete.
    """
    place = locations.join(location, NAME)
    record = validation.read_config(place)
    if record.get("format") != FORMAT:
        raise UserError(f"{place} has format {record.get('format')}, not {FORMAT}: another version wrote it")
    kind = record.get("kind")
    wanted: dict[str, type] = {"kind": str, "base": str, "product": str}
    wanted |= {"background": str, "categories": list} if kind == "category" else {"masked": str}
    if absent := [name for name, of in wanted.items() if not isinstance(record.get(name), of)]:
        raise UserError(f"{place} has no usable {absent[0]}; restore it from a copy")
    if kind == "category":
        fields = {"name": str, "parent": str, "rows": int}
        for entry in record["categories"]:
            typed = isinstance(entry, dict) and {name: type(value) for name, value in entry.items()} == fields
            if not typed:
                raise UserError(f"{place} has a category {entry!r}, not {{name, parent, rows}}; restore it from a copy")
    return record


def categories(location: str) -> Categories:
    """The categories of a category-wise generator's folder, which has been checked."""
    return Categories([Category(**entry) for entry in read(location)["categories"]])
