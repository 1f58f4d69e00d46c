"""Find rows that stand in more than one split of a data set; data that `ingest` made has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.data import groups, near_duplicates

if TYPE_CHECKING:
    import pyarrow as pa

# Stored pictures differ by their compression from those that were grouped, so a leak is what is clearly the same.
NEAR = 0.8


class Leak(NamedTuple):
    """Rows of several splits that have something in common."""

    what: str  # product, name, picture, or near-duplicate
    rows: list[int]  # one of each split


class _Keys(NamedTuple):
    """Properties that rows may have in common; none where a row has nothing of the kind."""

    products: list[str | None]  # told apart by `group`, where it is not empty; else by their names
    names: list[str | None]  # none: it is that of the category
    digests: list[str | None]
    near: list[tuple[int, int]]  # pairs of near-duplicates


def count(table: pa.Table) -> dict[str, int]:
    """The numbers of products, and of those, names, pictures and pairs of near-duplicates that span splits.

    Args:
        table: rows as statistics.measure gives them, with their split.
    """
    keys, split = _keys(table), table["split"].to_pylist()
    return {
        "products": _number(keys.products),
        "products_in_several_splits": _spanning(keys.products, split),
        "names_in_several_splits": _spanning(keys.names, split),
        "images_in_several_splits": _spanning(keys.digests, split),
        "near_duplicates_in_several_splits": sum(split[a] != split[b] for a, b in keys.near),
    }


def products_of_splits(table: pa.Table) -> dict[str, int]:
    """The number of products in each split that has rows, told apart as `count` does."""
    named, split = _products(table, _names(table)), table["split"].to_pylist()
    own: dict[str, list[str | None]] = {}
    for product, home in zip(named, split, strict=True):
        own.setdefault(home, []).append(product)
    return {home: _number(products) for home, products in own.items()}


def examples(table: pa.Table, most: int) -> list[Leak]:
    """The first leaks of each kind, at most so many together, each set of rows once."""
    keys, split = _keys(table), table["split"].to_pylist()
    found: dict[tuple[int, ...], Leak] = {}
    for what, own in (("product", keys.products), ("name", keys.names), ("picture", keys.digests)):
        for rows in _rows_of_several_splits(own, split):
            found.setdefault(tuple(rows), Leak(what, rows))
    for pair in keys.near:
        if split[pair[0]] != split[pair[1]]:
            found.setdefault(pair, Leak("near-duplicate", [*pair]))
    return list(found.values())[:most]


def _names(table: pa.Table) -> list[str | None]:
    name, category = (table[column].to_pylist() for column in ("name", "category"))
    named = [groups.named(text) for text in name]
    return [text if text != groups.named(kind) else None for text, kind in zip(named, category, strict=True)]


def _products(table: pa.Table, names: Sequence[str | None]) -> list[str | None]:
    return [group or name for group, name in zip(table["group"].to_pylist(), names, strict=True)]


def _number(products: Sequence[str | None]) -> int:
    """The number of products; a row without a key shows one of its own."""
    return len(set(products) - {None}) + sum(product is None for product in products)


def _keys(table: pa.Table) -> _Keys:
    prints = table["fingerprint"].to_pylist()
    shown = [place for place, fingerprint in enumerate(prints) if fingerprint]
    near = near_duplicates.pairs([prints[place] for place in shown], factor=NEAR)
    names = _names(table)
    pairs = [(shown[a], shown[b]) for a, b in near.tolist()]
    return _Keys(_products(table, names), names, table["digest"].to_pylist(), pairs)


def _spanning(keys: Sequence[str | None], splits: Sequence[str]) -> int:
    """The number of keys that have rows in more than one split; null is no key."""
    homes = {(key, split) for key, split in zip(keys, splits, strict=True) if key}
    return sum(number > 1 for number in Counter(key for key, _ in homes).values())


def _rows_of_several_splits(keys: Sequence[str | None], splits: Sequence[str]) -> Iterator[list[int]]:
    """For each key with rows in several splits, the first row of each."""
    first: dict[str, dict[str, int]] = {}
    for row, (key, split) in enumerate(zip(keys, splits, strict=True)):
        if key:
            first.setdefault(key, {}).setdefault(split, row)
    return (list(rows.values()) for rows in first.values() if len(rows) > 1)
