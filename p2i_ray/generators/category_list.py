"""The categories that a category-wise generator is to learn: from the rows, a file, or a generator's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.errors import UserError
from p2i_ray.generators import category_file, record_file
from p2i_ray.generators.categories import Categories, Category, key

NAMED = 3  # categories in the line of an error


def categories_of(
    counts: Mapping[str, int], settings: GeneratorsConfig, without: Sequence[str] = ()
) -> tuple[Category, ...]:
    """The categories that a category-wise generator is to learn; of one that is beside another, those that it has.

    Args:
        counts: rows by category; an empty name: rows without one.
        settings: a file of categories and parents, or a generator's folder to go on from, or neither.
        without: ids of the first rows without a category, where they are known.

    Raises:
        UserError: rows have no category, or one that file or folder doesn't have; or rare ones are to be drawn to
            their parents', and there are none.
    """
    total = sum(counts.values())
    if missing := sum(count for name, count in counts.items() if not key(name)):
        first = f" (first {', '.join(without)})" if without else ""
        raise UserError(
            f"{missing} of {total} rows have no category{first}, which a category-wise generator needs; give them one, "
            "or leave them out by keep=FILE"
        )
    if settings.category is not None:
        listed = [Category(one.name, one.parent) for one in record_file.categories(settings.category).all]
        where = f"the generator generators.category={settings.category} has not learned"
    elif settings.categories is not None:
        listed = category_file.read(settings.categories)
        where = f"generators.categories={settings.categories} doesn't have"
    else:
        listed = _of_rows(counts)
        where = ""
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
        advice = "add them" if settings.category is None else "give these rows categories that it has"
        rows_lacking = sum(counts[name] for name in lacking)
        raise UserError(
            f"{rows_lacking} of {total} rows have categories that {where}: "
            f"{', '.join(map(repr, lacking[:NAMED]))}{more}; {advice}, or leave these rows out by keep=FILE"
        )
    check_rare(known.all, settings)
    return tuple(one._replace(rows=count) for one, count in zip(known.all, rows, strict=True))


def _of_rows(counts: Mapping[str, int]) -> list[Category]:
    """The rows' own categories; those that differ in case or spaces alone are one, called as most of its rows are."""
    found: dict[str, str] = {}
    for name, count in counts.items():
        if count > counts[found.setdefault(key(name), name)]:
            found[key(name)] = name
    return [Category(name) for name in found.values()]


def check_rare(categories: Sequence[Category], settings: GeneratorsConfig) -> None:
    """Refuse a setting that would do nothing: rare categories are drawn to others of the same parent.

    Raises:
        UserError: no two categories have the same parent, and rare ones are to be drawn to theirs.
    """
    parents = Counter(one.parent for one in categories if one.parent)
    if settings.rare_below and not any(count > 1 for count in parents.values()):
        file = "" if settings.category else "give generators.categories=FILE with a column parent, or "
        raise UserError(
            f"generators.rare_below={settings.rare_below} draws rare categories to others of the same parent, and no "
            f"two have one; {file}set generators.rare_below=0"
        )
