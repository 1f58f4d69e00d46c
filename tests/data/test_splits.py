"""Splits that depend on ids and seed alone."""

from __future__ import annotations

from collections import Counter

import pytest

from p2i_ray.data.splits import SplitConfig, assign, shuffled
from p2i_ray.errors import UserError

IDS = [f"id-{i}" for i in range(2000)]
CATEGORIES = [("Cup", "Bag", "Lamp", "Toy")[i % 4] for i in range(2000)]


def split(settings: SplitConfig, ids: list[str] = IDS, seed: int = 0) -> dict[str, str]:
    return dict(zip(ids, assign(ids, CATEGORIES[: len(ids)], settings, seed).to_pylist(), strict=True))


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
    backwards = dict(zip(IDS[::-1], assign(IDS[::-1], CATEGORIES[::-1], settings, 0).to_pylist(), strict=True))
    assert backwards == split(settings)
    assert split(settings, seed=1) != split(settings)


def test_an_unseen_category_is_nowhere_else() -> None:
    parts = assign(IDS, CATEGORIES, SplitConfig(unseen=("Bag", "Toy")), 0).to_pylist()
    assert {c for c, part in zip(CATEGORIES, parts, strict=True) if part == "test_unseen"} == {"Bag", "Toy"}
    assert not {c for c, part in zip(CATEGORIES, parts, strict=True) if part != "test_unseen"} & {"Bag", "Toy"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (SplitConfig(unseen=("Lampe",)), "did you mean 'Lamp'"),
        (SplitConfig(validation=2.5), "neither a fraction"),
        (SplitConfig(validation=1000, test=1000), "none of 2000 rows to train on"),
        (SplitConfig(validation=0.5, test=0.5), "none of 2000 rows to train on"),
    ],
)
def test_settings_that_do_not_fit(settings: SplitConfig, says: str) -> None:
    with pytest.raises(UserError, match=says):
        split(settings)


def test_the_order_is_a_shuffle_of_the_ids() -> None:
    order = shuffled(IDS, 0)
    assert sorted(order) == list(range(2000)) and order != list(range(2000))
    assert [IDS[::-1][i] for i in shuffled(IDS[::-1], 0)] == [IDS[i] for i in order]
