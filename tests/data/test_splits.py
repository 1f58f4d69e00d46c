"""Splits that depend on products and seed alone, and never divide a product."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config.seeds import seed_for
from p2i_ray.data import splits
from p2i_ray.data.split_draws import FEWEST
from p2i_ray.data.splits import ALONE, HELD_OUT, SEEN, SplitConfig, check
from p2i_ray.errors import UserError

IDS = [f"id-{i}" for i in range(2000)]
CATEGORIES = [("Cup", "Bag", "Lamp", "Toy")[i % 4] for i in range(2000)]


class Assigned(NamedTuple):
    """What became of a row."""

    split: str
    reason: str | None


def assign(
    groups: list[str],
    categories: list[str],
    scenes: list[bool],
    *,
    settings: SplitConfig,
    seed: int,
    before: list[tuple[str, str]] | None = None,
) -> list[Assigned]:
    """The rows' splits; `before` are products and splits of rows that are there."""
    rows = pa.table({"product": groups, "category": categories, "scene": scenes})
    there = before and pa.table({"product": [p for p, _ in before], "split": [s for _, s in before]})
    found = splits.assign(rows, settings=settings, seed=seed, before=there or None)
    return [Assigned(**row) for row in found.to_pylist()]


def shuffled(ids: list[str], seed: int, chunks: list[str] | None = None) -> list[int]:
    columns = [None if some is None else pa.chunked_array([some]) for some in (ids, chunks)]
    found: list[int] = splits.shuffled(columns[0], seed, columns[1]).tolist()
    return found


def split(settings: SplitConfig, ids: list[str] = IDS, seed: int = 0) -> dict[str, str]:
    """Rows that each show a product of their own, with a scene."""
    found = assign(ids, CATEGORIES[: len(ids)], [True] * len(ids), settings=settings, seed=seed)
    assert not any(row.reason for row in found)
    return {id: row.split for id, row in zip(ids, found, strict=True)}


def test_numbers_are_exact() -> None:
    assert Counter(split(SplitConfig(validation=20, test=100, unseen=("Toy",))).values()) == {
        "train": 1380,
        "validation": 20,
        "test": 100,
        "test_unseen": 500,
    }


def test_shares_hold_within_chance_and_stay_when_rows_are_added() -> None:
    shares = SplitConfig(validation=0.1, test=0.2)
    all_rows, half = split(shares), split(shares, IDS[:1000])
    count = Counter(all_rows.values())
    assert 150 < count["validation"] < 250 and 330 < count["test"] < 470  # +- 3.7 and 3.9 standard deviations
    assert all(all_rows[i] == part for i, part in half.items())


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    settings = SplitConfig(validation=20, test=0.1)
    backwards = assign(IDS[::-1], CATEGORIES[::-1], [True] * 2000, settings=settings, seed=0)
    assert {id: row.split for id, row in zip(IDS[::-1], backwards, strict=True)} == split(settings)
    assert split(settings, seed=1) != split(settings)


def test_an_unseen_category_is_nowhere_else_however_it_is_spelled() -> None:
    categories = [category.upper() if i % 3 else f" {category}" for i, category in enumerate(CATEGORIES)]
    found = assign(IDS, categories, [True] * 2000, settings=SplitConfig(unseen=("Bag", "Toy")), seed=0)
    homes = {(category.strip().lower(), row.split) for category, row in zip(categories, found, strict=True)}
    assert {category for category, part in homes if part == "test_unseen"} == {"bag", "toy"}
    assert {category for category, part in homes if part != "test_unseen"} == {"cup", "lamp"}


def test_a_product_in_an_unseen_category_and_another_is_held_out_of_the_other() -> None:
    found = assign(["a", "a", "b"], ["Toy", "Cup", "Cup"], [True] * 3, settings=SplitConfig(unseen=("Toy",)), seed=0)
    assert [tuple(row) for row in found] == [("test_unseen", None), ("test_unseen", HELD_OUT), ("train", None)]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["Cup", "Toy"]), st.booleans()), min_size=1, max_size=200),
    st.sampled_from([0, 0.01, 0.3, 1, 5]),
    st.sampled_from([0, 0.04, 0.3, 2]),
    st.integers(0, 5),
)
def test_a_product_is_never_divided_and_every_row_has_one_end(
    rows: list[tuple[int, str, bool]], validation: float, test: float, seed: int
) -> None:
    groups, categories, scenes = ([f"g{row[0]}" for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    settings = SplitConfig(validation=validation, test=test, unseen=("Toy",))
    found = assign(groups, categories, scenes, settings=settings, seed=seed)
    homes: dict[str, set[str]] = {}
    for (group, category, scene), row in zip(rows, found, strict=True):
        if row.reason is None:
            homes.setdefault(f"g{group}", set()).add(row.split)
            assert scene or row.split != "train"
            assert (category == "Toy") == (row.split == "test_unseen")
    assert all(len(parts) == 1 for parts in homes.values())
    with_scene = {group for group, scene in zip(groups, scenes, strict=True) if scene}
    seen = {g for g in groups if not any(c == "Toy" for o, c in zip(groups, categories, strict=True) if o == g)}
    assert not with_scene & seen or "train" in set().union(*homes.values())  # something is left to train on


@pytest.mark.parametrize("products", [2, 3, 10, 30, 79, 200])
def test_a_small_data_set_has_a_validation_split_without_being_told(products: int) -> None:
    groups = [f"sku-{place // 3}" for place in range(3 * products)]
    found = assign(groups, ["Cup"] * len(groups), [True] * len(groups), settings=SplitConfig(), seed=0)
    by_split = {
        part: {g for g, row in zip(groups, found, strict=True) if row.split == part}
        for part in ("validation", "test", "train")
    }
    few = min(FEWEST, max(1, products // 10))
    assert len(by_split["validation"]) >= few and (products == 2 or len(by_split["test"]) >= few)
    assert sum(map(len, by_split.values())) == products and by_split["train"]


def test_cutouts_without_a_scene_are_tested_or_set_aside_beside_photos_that_are_trained_on() -> None:
    groups = ["a", "a", "b", "b"]
    found = assign(groups, ["Cup"] * 4, [True, False, False, False], settings=SplitConfig(validation=0, test=0), seed=0)
    assert [tuple(row) for row in found] == [("train", None), ("train", ALONE), ("test", None), ("test", None)]


def test_a_product_with_many_photos_fills_no_small_split() -> None:
    groups = ["large"] * 40 + [f"sku-{i}" for i in range(60)]
    for seed in range(30):
        found = assign(groups, ["Cup"] * 100, [True] * 100, settings=SplitConfig(validation=0.1, test=0.1), seed=seed)
        assert found[0].split == "train"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (SplitConfig(unseen=("Lampe",)), "did you mean 'Lamp'"),
        (SplitConfig(validation=2.5), "neither a fraction"),
        (SplitConfig(validation=1000, test=1000), "none of 2000 rows to train on"),
        (SplitConfig(validation=0.5, test=0.5), "none of 2000 rows to train on"),
        (SplitConfig(validation=1990, test=0.5), "none of 2000 rows to train on"),
    ],
)
def test_settings_that_do_not_fit(settings: SplitConfig, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check(settings, Counter(CATEGORIES))


def test_the_order_is_a_shuffle_of_the_ids() -> None:
    order = shuffled(IDS, 0)
    assert sorted(order) == list(range(2000)) and order != list(range(2000))
    assert [IDS[::-1][i] for i in shuffled(IDS[::-1], 0)] == [IDS[i] for i in order]


def test_the_order_is_that_of_the_documented_seeds() -> None:
    draws = {text: seed_for(3, "order", text) for text in [*IDS[:300], "x", "y"]}
    chunks = ["x" if place % 3 else "y" for place in range(300)]
    assert shuffled(IDS[:300], 3) == sorted(range(300), key=lambda row: draws[IDS[row]])
    assert shuffled(IDS[:300], 3, chunks) == sorted(range(300), key=lambda row: (draws[chunks[row]], draws[IDS[row]]))


def test_products_that_are_there_keep_their_split_and_count() -> None:
    before = [("a", "validation")] * 2 + [("b", "train"), ("c", "test_unseen")]
    settings = SplitConfig(validation=3, test=0, unseen=("Toy",))
    found = assign(
        ["a", "b", "c", "c", "b", "d"],
        ["Cup", "Cup", "Toy", "Cup", "Toy", "Cup"],
        [True] * 6,
        settings=settings,
        seed=0,
        before=before,
    )
    assert [tuple(row) for row in found] == [
        ("validation", None),
        ("train", None),
        ("test_unseen", None),
        ("test_unseen", HELD_OUT),
        ("train", SEEN),
        ("train", None),  # validation has its three rows
    ]
