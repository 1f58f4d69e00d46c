"""Assign samples to splits by a hash of their id: the same data and seed always give the same splits."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from p2i_ray.config import Settings
from p2i_ray.errors import UserError
from p2i_ray.storage import locations


class SplitConfig(Settings):
    """Settings of the splits. Rows are drawn before photos are opened: those set aside later are not replaced."""

    validation: float = Field(0.01, ge=0, description="D_dev: a fraction of the rows if below 1, else a number of rows")
    test: float = Field(0.04, ge=0, description="test split: a fraction of the rows if below 1, else a number of rows")
    unseen: tuple[str, ...] = Field((), description="categories held out of all others: they make test_unseen")


def assign(ids: Sequence[str], categories: Sequence[str], settings: SplitConfig, seed: int) -> pa.Array:
    """The split of every row.

    With fractions, a row's split depends on its id, its category and the seed alone: it stays when rows are added.
    With numbers of rows, those with the smallest hashes are taken, so a few change when rows are added.

    Raises:
        UserError: an unseen category that no row has, a fraction above 1, or no row left to train on.
    """
    _check(categories, settings)
    draw = np.array([locations.seed_for(seed, "split", one) for one in ids], np.uint64) / 2.0**63  # uniform in [0, 1)
    unseen = np.isin(np.array(categories, object), np.array(settings.unseen, object))
    split = np.full(len(draw), "train", object)
    split[unseen] = "test_unseen"
    seen = np.flatnonzero(~unseen)
    seen = seen[np.argsort(draw[seen], kind="stable")]
    ordered = draw[seen]
    first = _end(ordered, 0, 0.0, settings.validation)
    tested_from = settings.validation if settings.validation < 1 else float(ordered[:first].max(initial=0.0))
    second = _end(ordered, first, tested_from, settings.test)
    if len(seen) and second >= len(seen):
        held = f"validation={settings.validation:g} and test={settings.test:g}"
        raise UserError(f"{held} leave none of {len(seen)} rows to train on; lower them")
    split[seen[:first]] = "validation"
    split[seen[first:second]] = "test"
    return pa.array(split.tolist(), pa.string())


def with_scene(split: str, has_scene: bool) -> str:
    """The split of a row that was drawn for `split`: what shows no scene is no training target, so it is tested."""
    return split if has_scene or split != "train" else "test"


def shuffled(ids: Sequence[str], seed: int) -> list[int]:
    """Row numbers in an order that depends on ids and seed alone, so that shards mix the categories."""
    return sorted(range(len(ids)), key=lambda row: locations.seed_for(seed, "order", ids[row]))


def _end(ordered: NDArray[np.float64], start: int, above: float, wanted: float) -> int:
    """The end of the part of the ordered draws that begins at `start`, with draws from `above` on."""
    return start + int(wanted) if wanted >= 1 else int(np.searchsorted(ordered, above + wanted))


def _check(categories: Sequence[str], settings: SplitConfig) -> None:
    for key, value in (("validation", settings.validation), ("test", settings.test)):
        if value > 1 and value != int(value):
            raise UserError(f"{key}={value:g} is neither a fraction below 1 nor a whole number of rows")
    known = set(categories)
    for category in settings.unseen:
        if category not in known:
            near = difflib.get_close_matches(category, sorted(known), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"unseen category {category!r}: no row has it{hint}")
