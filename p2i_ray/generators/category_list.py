"""The categories that a category-wise generator is to learn: from the rows, a file, or a generator's folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.errors import UserError
from p2i_ray.generators import record_file
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.storage import locations

NAMED = 3  # categories in the line of an error


def categories_of(counts: Mapping[str, int], settings: GeneratorsConfig) -> tuple[Category, ...]:
    """The categories that a category-wise generator is to learn.

    Args:
        counts: rows by category; an empty name: rows without one.
        settings: a file of categories and parents, or a generator's folder to go on from, or neither.

    Raises:
        UserError: rows have no category, or one that file or folder doesn't have.
    """
    if missing := counts.get("", 0):
        raise UserError(
            f"{missing} of {sum(counts.values())} rows have no category, which a category-wise generator learns by; "
            "give them one, or leave them out by keep=FILE"
        )
    if settings.category is not None:
        listed = [Category(one.name, one.parent) for one in record_file.categories(settings.category).all]
        where = f"the generator generators.category={settings.category} has not learned"
    elif settings.categories is not None:
        listed = read_categories(settings.categories)
        where = f"generators.categories={settings.categories} doesn't have"
    else:
        return tuple(Category(name, "", rows) for name, rows in counts.items())
    known = Categories(listed)
    rows = [0] * len(known)
    lacking = []
    for name, count in counts.items():
        try:
            rows[known.find(name, unknown="error")] += count
        except UserError:
            lacking.append(name)
    if lacking:
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        raise UserError(
            f"the rows have categories that {where}: {', '.join(map(repr, lacking[:NAMED]))}{more}; add them, or leave "
            "these rows out by keep=FILE"
        )
    return tuple(one._replace(rows=count) for one, count in zip(known.all, rows, strict=True))


def read_categories(location: str) -> list[Category]:
    """Categories and their parents from a CSV file with the columns category and, if there are any, parent.

    Raises:
        UserError: it isn't there, or isn't such a file.
    """
    named = f"generators.categories={location}"
    if not locations.exists(location):
        raise UserError(f"{named} is not there; check the path")
    try:
        text = locations.read_bytes(location).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{named} is not UTF-8 text; save it as CSV in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text))
    if "category" not in (reader.fieldnames or ()):
        raise UserError(f"{named} has no column category in its first line; it is a CSV file of category and parent")
    return [Category((row["category"] or "").strip(), (row.get("parent") or "").strip()) for row in reader]
