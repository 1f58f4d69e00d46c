"""Assign samples to splits by a hash of their product: the same data and seed always give the same splits.

Photos of one product are never in different splits.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from p2i_ray.config import Settings
from p2i_ray.data import numbers, split_draws, text_columns
from p2i_ray.data.groups import named
from p2i_ray.data.schema import SPLITS
from p2i_ray.data.split_draws import NONE, TEST, TRAIN, UNSEEN
from p2i_ray.errors import UserError
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa

HELD_OUT = "held out: other photos of its product are in a category of test_unseen"
SEEN = "held out: its category is one of test_unseen, and other photos of its product are in another split"
ALONE = "no scene: a cutout alone is no training target, and photos of its product are trained on"
REASONS = (HELD_OUT, SEEN, ALONE)


class SplitConfig(Settings):
    """Settings of the splits. All photos of a product are in one."""

    validation: float = Field(0.01, ge=0, description="D_dev: a fraction of the rows if below 1, else a number of rows")
    test: float = Field(0.04, ge=0, description="test split: a fraction of the rows if below 1, else a number of rows")
    unseen: tuple[str, ...] = Field((), description="categories held out of all others: they make test_unseen")


def assign(rows: pa.Table, *, settings: SplitConfig, seed: int, before: pa.Table | None = None) -> pa.Table:
    """The split of every row, and the reason why it is in none, which is null if it is.

    With fractions, a product's split depends on its key and the seed: it stays when rows are added. With numbers of
    rows, and in a small data set, whose splits have up to `FEWEST` products, those with the smallest hashes are taken,
    so a few would change when rows are added. Products that have rows already keep their split in any case.

    Args:
        rows: product, category and scene: whether a row has one. What has none is no training target: it is tested.
        settings: the sizes of the splits.
        seed: of the draw.
        before: product and split of each row that is there already.
    """
    import pyarrow as pa

    there = 0 if before is None else before.num_rows
    shown, keys = text_columns.encode(*([] if before is None else [before["product"]]), rows["product"])
    own = shown[there:]  # product of each row
    homes = np.full(len(keys), NONE, np.int8)  # split of each product that has rows already
    if before is not None:
        splits, names = text_columns.encode(before["split"])
        of_name = np.array([SPLITS.index(name) for name in names.to_pylist()], np.int8)
        for some, product in numbers.views(splits, shown[:there]):
            homes[product] = of_name[some]
    unseen = _unseen(rows["category"], settings)
    scenes = rows["scene"].to_numpy()
    held_out = homes == UNSEEN
    for product, is_unseen in numbers.views(own, unseen):
        held_out[product[is_unseen & (homes[product] == NONE)]] = True

    sizes, with_scene = (numbers.count(some, len(keys)) for some in (shown, own[scenes]))
    drawn = np.flatnonzero(~held_out & (sizes > 0))
    places, draws = split_draws.order(keys.take(pa.array(drawn)), seed)
    drawn = drawn[places]
    products = split_draws.Products(draws, sizes[drawn], with_scene[drawn], homes[drawn])
    ends = homes.copy()
    ends[drawn] = split_draws.homes(products, validation=settings.validation, test=settings.test)
    trained = (with_scene > 0) | (homes != NONE)
    split, reason = (spilled.array(len(own), np.int32) for _ in range(2))
    for product, is_unseen, scene, end, why in numbers.views(own, unseen, scenes, split, reason):
        alone = (ends[product] == TRAIN) & ~scene
        seen = held_out[product]
        end[:] = np.where(seen, UNSEEN, np.where(alone & ~is_unseen & ~trained[product], TEST, ends[product]))
        why[:] = np.select(
            [seen & is_unseen, seen, is_unseen, alone & trained[product]],
            [-1, *map(REASONS.index, (HELD_OUT, SEEN, ALONE))],
            -1,
        )
    return pa.table(
        {
            "split": text_columns.as_column(split, pa.array(SPLITS)),
            "reason": text_columns.as_column(reason, pa.array(REASONS)),
        }
    )


def shuffled(ids: pa.ChunkedArray, seed: int, chunks: pa.ChunkedArray | None = None) -> NDArray[np.intp]:
    """Row numbers in an order that depends on ids and seed alone, so that shards mix the categories.

    Args:
        ids: of the rows.
        seed: of the order.
        chunks: rows of one chunk stay together, as their pictures are read in one go; none: each is by itself.
    """
    keys = [text_columns.draws(ids, seed, "order")]
    if chunks is not None:
        keys.append(text_columns.draws(chunks, seed, "order"))
    found = spilled.array(len(ids), np.intp)
    end = 0
    for rows in numbers.parted(keys[-1], bits=63):
        start, end = end, end + len(rows)
        found[start:end] = rows[np.lexsort([key[rows] for key in keys])]
    return found


def check(settings: SplitConfig, categories: Mapping[str, int]) -> None:
    """Check the settings against the rows' categories and how many rows each has, before any photo is opened.

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
            near = difflib.get_close_matches(category, sorted(categories), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"unseen category {category!r}: no row has it{hint}")
    rows = sum(number for category, number in categories.items() if named(category) not in unseen)
    sizes = (settings.validation, settings.test)
    if rows and sum(size if size >= 1 else size * rows for size in sizes) >= rows:
        held = f"validation={settings.validation:g} and test={settings.test:g}"
        raise UserError(f"{held} leave none of {rows} rows to train on; lower them")


def _unseen(categories: pa.ChunkedArray, settings: SplitConfig) -> NDArray[np.bool_]:
    """Whether each row's category is one of test_unseen."""
    unseen = {named(category) for category in settings.unseen}
    if not unseen:
        return np.zeros(len(categories), np.bool_)
    places, distinct = text_columns.encode(categories)
    return numbers.look_up(np.array([named(category) in unseen for category in distinct.to_pylist()], np.bool_), places)
