"""Homes of new rows: products and splits of those that are there stay."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.groups import GroupConfig
from p2i_ray.data.near_duplicates import BYTES
from p2i_ray.data.sources import ledger
from p2i_ray.data.sources.homes import find
from p2i_ray.data.sources.tasks import IngestConfig
from p2i_ray.data.splits import ALONE, SEEN, SplitConfig

SHAPES = (b"\x00" * BYTES, b"\xff" * BYTES, b"\x0f" * BYTES, b"\xf0" * BYTES)  # unlike each other


class Home(NamedTuple):
    """What became of a row."""

    product: str | None
    split: str | None
    reason: str | None = None


def rows(*lines: dict[str, Any]) -> pa.Table:
    """Ledger's lines; a picture is given by its number."""
    basis = {"group": None, "category": "Cup", "scene": True, "product": "", "split": ""}
    full = [{"file": line["id"], "fingerprint": SHAPES[line.pop("picture")], **basis, **line} for line in lines]
    return pa.Table.from_pylist(full, schema=ledger.schema())


def row(id: str, name: str, picture: int, **more: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "picture": picture, **more}


BEFORE = [
    row("a", "Red Mug", 0, product="name:red mug", split="validation"),
    row("b", "Blue Mug", 1, product="name:blue mug", split="train"),
]


def homes(*lines: dict[str, Any], before: list[dict[str, Any]] | None = None, **settings: Any) -> list[Home]:
    found = [dict(line) for line in (BEFORE if before is None else before)]
    table = find(rows(*lines), rows(*found), settings=IngestConfig(**settings), seed=0)
    return [Home(**home) for home in table.to_pylist()]


def test_a_new_photo_of_a_product_goes_where_the_product_is() -> None:
    assert homes(row("c", "red mug", 2), row("d", "Anything", 1)) == [
        Home("name:red mug", "validation"),
        Home("name:blue mug", "train"),  # by its picture
    ]


def test_a_new_photo_follows_a_product_by_its_new_name() -> None:
    before = rows(*(dict(line) for line in BEFORE))
    renamed = rows(row("a", "Crimson Mug", 0, product="name:red mug", split="validation"))
    new = rows(row("c", "crimson mug", 2), row("d", "Red Mug", 3))
    found = find(new, before, renamed, settings=IngestConfig(), seed=0)
    assert [Home(**home) for home in found.to_pylist()] == [Home("name:red mug", "validation")] * 2


def test_a_row_that_joins_products_of_two_splits_is_set_aside() -> None:
    (home,) = homes(row("c", "Red Mug", 1))
    assert home.reason == (
        "between splits: its product is in train and validation already, and photos of one product are in one split"
    )


def test_a_category_that_is_unseen_and_a_cutout_alone_are_told() -> None:
    unseen = SplitConfig(unseen=("Toy",))
    (toy, alone) = homes(row("c", "Blue Mug", 2, category="Toy"), row("d", "Blue Mug", 3, scene=False), split=unseen)
    assert (toy.reason, alone.reason) == (SEEN, ALONE)


def test_of_pictures_that_look_alike_those_that_are_there_are_kept() -> None:
    cleaning = CleaningConfig(near_duplicates=True)
    (home, other) = homes(row("A", "Green Mug", 0), row("c", "Black Mug", 2), cleaning=cleaning)
    assert home.reason == "near-duplicate: its picture looks like that of a"
    assert other == Home("name:black mug", other.split)


def test_a_validation_split_of_a_number_of_rows_does_not_grow() -> None:
    split = SplitConfig(validation=1, test=0)
    found = homes(
        *(row(f"n{i}", f"Mug {i}", 2) for i in range(30)), split=split, groups=GroupConfig(near_duplicates=False)
    )
    assert {home.split for home in found} == {"train"}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.booleans()), max_size=40),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.1, 0.3, 2.0, 5.0]),
)
def test_products_stay_whole_and_rows_where_they_are(
    drawn: list[tuple[int, int, bool]], first: int, validation: float
) -> None:
    settings: dict[str, Any] = {
        "groups": GroupConfig(near_duplicates=False),
        "split": SplitConfig(validation=validation, test=0.2, unseen=("Bag",)),
    }
    given_rows = [
        row(str(place), f"Mug {name}", 0, group=f"g{group}" if group else None, category=("Cup", "Bag")[bag])
        for place, (name, group, bag) in enumerate(drawn)
    ]
    for one in given_rows:
        del one["picture"]

    def lines(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**line, "picture": 0} for line in some]

    one, two = given_rows[:first], given_rows[first:]
    ends = homes(*lines(one), before=[], **settings)
    before = [
        {**line, "product": home.product, "split": home.split}
        for line, home in zip(lines(one), ends, strict=True)
        if home.reason is None
    ]
    more = homes(*lines(two), before=before, **settings)
    splits: dict[str, set[str]] = {}
    for home in [*ends, *more]:
        if home.reason is None:
            splits.setdefault(home.product, set()).add(home.split)
    assert all(len(found) == 1 for found in splits.values())
    names: dict[str, set[str]] = {}
    for line, home in zip(given_rows, [*ends, *more], strict=True):
        if home.reason is None:
            names.setdefault(line["name"], set()).add(home.split)
            assert (home.split == "test_unseen") == (line["category"] == "Bag")
    assert all(len(found) == 1 for found in names.values())
