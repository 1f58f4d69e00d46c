"""The file of categories and their parents that `generators.categories` names: a table as programs write it."""

from __future__ import annotations

from p2i_ray.data.sources import delimited
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Category, key
from p2i_ray.storage import locations

CATEGORY, PARENT = "category", "parent"  # columns, found whatever their case and spaces; others are left alone
NAMED = 3  # fields in the line of an error


def read(location: str) -> list[Category]:
    """Categories and their parents from a CSV file with the columns category and, if there are any, parent.

    Any usual separator and encoding will do (data/sources/delimited.py); lines without any text are no rows.

    Raises:
        UserError: it isn't there, or isn't such a file; a category is empty, or there twice.
    """
    named = f"generators.categories={location}"
    if locations.kind(location) != "file":
        raise UserError(f"{named} is {'no file' if locations.exists(location) else 'not there'}; check the path")
    try:
        table = delimited.parse(locations.read_bytes(location), location)
        rows = list(table.records())
    except UserError as error:  # which says "names …", after the list of products that it is mostly for
        raise UserError(f"generators.categories={str(error).removeprefix('names ')}") from None
    header = [key(name) for name in table.header]
    if CATEGORY not in header:
        has = ", ".join(map(repr, table.header[:NAMED])) or "nothing"
        raise UserError(
            f"{named} line {max(table.start, 1)} has no column category, but {has}; begin the file with the line "
            "category or category,parent"
        )
    place, above = header.index(CATEGORY), header.index(PARENT) if PARENT in header else None
    found: dict[str, tuple[int, Category]] = {}
    for row in rows:
        where = f"{named} line {row.line}"
        if any(field.strip() for field in row.fields[len(header) :]):
            raise UserError(
                f"{where} has {len(row.fields)} fields, and the header {len(header)}; put names with a separator "
                f"({table.separator}) in quotes"
            )
        fields = [field.strip() for field in [*row.fields, *[""] * len(header)]]
        category = Category(fields[place], "" if above is None else fields[above])
        if "\n" in category.name or "\n" in category.parent:
            raise UserError(f"{where}: a quote opens a name that goes on over lines; close it")
        if not category.name:
            raise UserError(f"{where} has an empty category; name it, or remove the line")
        before, _ = found.setdefault(key(category.name), (row.line, category))
        if before != row.line:
            raise UserError(
                f"{where}: category {category.name!r} is there already in line {before} (case and spaces don't count); "
                "remove one"
            )
    if not found:
        raise UserError(f"{named} has no category below its header; add a line for each")
    return [category for _, category in found.values()]
