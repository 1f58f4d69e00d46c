"""Assign samples to splits by a hash of their product: the same data and seed always give the same splits.

Photos of one product are never in different splits.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import Field

from p2i_ray.config import Settings
from p2i_ray.data.groups import named
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

FEWEST = 8  # products that a split of a fraction has, where they are not more than a tenth of all
LARGE = 0.1  # fraction of all rows above which a product is trained on; drawn for a small split, it would fill it
HELD_OUT = "held out: other photos of its product are in a category of test_unseen"
SEEN = "held out: its category is one of test_unseen, and other photos of its product are in another split"
ALONE = "no scene: a cutout alone is no training target, and photos of its product are trained on"


class SplitConfig(Settings):
    """Settings of the splits. All photos of a product are in one."""

    validation: float = Field(0.01, ge=0, description="D_dev: a fraction of the rows if below 1, else a number of rows")
    test: float = Field(0.04, ge=0, description="test split: a fraction of the rows if below 1, else a number of rows")
    unseen: tuple[str, ...] = Field((), description="categories held out of all others: they make test_unseen")


class Assigned(NamedTuple):
    """What became of a row."""

    split: str
    reason: str | None = None  # why it is in no split


@dataclass
class _Product:
    key: str
    draw: float  # uniform in [0, 1)
    rows: int = 0
    scenes: int = 0  # rows with a scene, which can be trained on
    home: str | None = None  # the split in which it has rows already


def assign(
    groups: Sequence[str],
    categories: Sequence[str],
    scenes: Sequence[bool],
    *,
    settings: SplitConfig,
    seed: int,
    before: Sequence[tuple[str, str]] = (),
) -> list[Assigned]:
    """The split of every row.

    With fractions, a product's split depends on its group and the seed: it stays when rows are added. With numbers of
    rows, and in a small data set, whose splits have up to `FEWEST` products, those with the smallest hashes are taken,
    so a few would change when rows are added. Products that have rows already keep their split in any case.

    Args:
        groups: the product that each row shows.
        categories: of the rows.
        scenes: whether the row has a scene. What has none is no training target: it is tested.
        settings: the sizes of the splits.
        seed: of the draw.
        before: product and split of each row that is there already.
    """
    unseen = {named(category) for category in settings.unseen}
    there = dict(before)
    held_out = {group for group, home in there.items() if home == "test_unseen"}
    held_out |= {
        group
        for group, category in zip(groups, categories, strict=True)
        if named(category) in unseen and group not in there
    }
    products: dict[str, _Product] = {}

    def product(group: str) -> _Product:
        if group not in products:
            draw = locations.seed_for(seed, "split", group) / 2.0**63
            products[group] = _Product(group, draw, home=there.get(group))
        return products[group]

    for group in (group for group, _ in before if group not in held_out):
        product(group).rows += 1
    for group, scene in zip(groups, scenes, strict=True):
        if group not in held_out:
            product(group).rows += 1
            product(group).scenes += scene
    homes = _draw(sorted(products.values(), key=lambda product: (product.draw, product.key)), settings)
    found = []
    for group, category, scene in zip(groups, categories, scenes, strict=True):
        if group in held_out:
            found.append(Assigned("test_unseen", None if named(category) in unseen else HELD_OUT))
        elif named(category) in unseen:
            found.append(Assigned(homes[group], SEEN))
        elif homes[group] == "train" and not scene:
            alone = products[group].scenes or products[group].home
            found.append(Assigned("train", ALONE) if alone else Assigned("test"))
        else:
            found.append(Assigned(homes[group]))
    return found


def shuffled(ids: Sequence[str], seed: int, chunks: Sequence[str] | None = None) -> list[int]:
    """Row numbers in an order that depends on ids and seed alone, so that shards mix the categories.

    Args:
        ids: of the rows.
        seed: of the order.
        chunks: rows of one chunk stay together, as their pictures are read in one go; none: each is by itself.
    """
    draws = [locations.seed_for(seed, "order", id) for id in ids]
    if chunks is None:
        return sorted(range(len(ids)), key=draws.__getitem__)
    of_chunk = {chunk: locations.seed_for(seed, "order", chunk) for chunk in set(chunks)}
    return sorted(range(len(ids)), key=lambda row: (of_chunk[chunks[row]], draws[row]))


def check(settings: SplitConfig, categories: Sequence[str]) -> None:
    """Check the settings against the rows' categories, before any photo is opened.

    Raises:
        UserError: an unseen category that no row has, a number that is none of rows, or no row left to train on.
    """
    for key, value in (("validation", settings.validation), ("test", settings.test)):
        if value > 1 and value != int(value):
            raise UserError(f"{key}={value:g} is neither a fraction below 1 nor a whole number of rows")
    unseen = {named(category) for category in settings.unseen}
    spelled = {named(category) for category in categories}
    for category in settings.unseen:
        if named(category) not in spelled:
            near = difflib.get_close_matches(category, sorted(set(categories)), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"unseen category {category!r}: no row has it{hint}")
    rows = sum(named(category) not in unseen for category in categories)
    sizes = (settings.validation, settings.test)
    if rows and sum(size if size >= 1 else size * rows for size in sizes) >= rows:
        held = f"validation={settings.validation:g} and test={settings.test:g}"
        raise UserError(f"{held} leave none of {rows} rows to train on; lower them")


def _draw(products: list[_Product], settings: SplitConfig) -> dict[str, str]:
    """The split of each product, given in the order of their draws."""
    homes = {product.key: product.home or "train" for product in products}
    rows = sum(product.rows for product in products)
    sizes = sorted(product.rows for product in products)
    large = max(LARGE * rows, 2 * sizes[(len(sizes) - 1) // 2]) if sizes else 0
    new = [product for product in products if not product.home]
    last = _kept_for_training(products)
    free = [product for product in new if product.rows <= large and product.key != last]
    above = 0.0
    for split, wanted in (("validation", settings.validation), ("test", settings.test)):
        if not wanted:
            continue
        there = [product for product in products if product.home == split]
        few = min(FEWEST, max(1, len(products) // 10)) - len(there)
        if wanted >= 1:
            left = int(wanted) - sum(product.rows for product in there)
            taken = _by_number(free, left, at_least_one=not there)
        else:
            taken = _by_fraction(free, above + wanted, few)
        homes |= dict.fromkeys((product.key for product in taken), split)
        free = [product for product in free if homes[product.key] == "train"]
        above = max([wanted % 1, *(product.draw for product in taken)])
    return homes


def _kept_for_training(products: list[_Product]) -> str:
    """The product that stays in train, so that it isn't empty."""
    if not products or any(product.home == "train" for product in products):
        return ""
    return next((product.key for product in reversed(products) if product.scenes), products[-1].key)


def _by_fraction(products: list[_Product], below: float, few: int) -> list[_Product]:
    return [product for place, product in enumerate(products) if place < few or product.draw < below]


def _by_number(products: list[_Product], wanted: int, *, at_least_one: bool) -> list[_Product]:
    """Products of so many rows together, or the nearest below."""
    taken: list[_Product] = []
    left = max(wanted, 0)
    for product in products:
        if not left:
            break
        if product.rows <= left:
            taken.append(product)
            left -= product.rows
    return taken or (products[:1] if at_least_one else [])
