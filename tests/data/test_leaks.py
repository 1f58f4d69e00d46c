"""What stands in several splits, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.data import leaks, near_duplicates
from p2i_ray.data.leaks import Leak

SPLITS = ("train", "train", "test", "validation")


def table(rows: list[dict[str, Any]]) -> pa.Table:
    nothing = {"name": "Mug", "category": "Cup", "group": None, "digest": None, "fingerprint": None}
    kinds = {column: pa.binary() if column == "fingerprint" else pa.string() for column in (*nothing, "split")}
    return pa.Table.from_pylist([nothing | row for row in rows], schema=pa.schema(kinds))


def test_a_product_is_told_by_its_name_and_by_its_group_before_that() -> None:
    rows = [{"split": split, "digest": str(place)} for place, split in enumerate(SPLITS)]
    found = leaks.count(table(rows))
    assert (found["products"], found["products_in_several_splits"], found["names_in_several_splits"]) == (1, 1, 1)
    grouped = [row | {"group": group} for row, group in zip(rows, "aabc", strict=True)]
    found = leaks.count(table(grouped))
    assert (found["products"], found["products_in_several_splits"], found["names_in_several_splits"]) == (3, 0, 1)
    # The first row of each split; the product's rows are not named again for their name.
    assert leaks.examples(table(rows), 9) == [Leak("product", [0, 2, 3])]
    assert leaks.examples(table(grouped), 9) == [Leak("name", [0, 2, 3])]


def test_a_name_that_is_the_categorys_tells_no_products_apart() -> None:
    found = leaks.count(table([{"split": split, "name": "cup "} for split in SPLITS]))
    assert (found["products"], found["products_in_several_splits"], found["names_in_several_splits"]) == (4, 0, 0)


def test_products_of_each_split_are_told_apart_in_the_same_way() -> None:
    rows = [{"split": split, "name": name} for split, name in zip(SPLITS, ("Cup", "cup", "Mug", "mug "), strict=True)]
    assert leaks.products_of_splits(table(rows)) == {"train": 2, "test": 1, "validation": 1}
    grouped = [row | {"group": "g"} for row in rows]
    assert leaks.products_of_splits(table(grouped)) == {"train": 1, "test": 1, "validation": 1}


def test_pictures_and_near_duplicates() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    prints = [near_duplicates.fingerprint(picture) for picture in (noise, noise // 2, noise, np.rot90(noise))]
    rows = [
        {"split": split, "name": f"Mug {place}", "digest": digest, "fingerprint": fingerprint}
        for place, (split, digest, fingerprint) in enumerate(zip(SPLITS, "abcb", prints, strict=True))
    ]
    found = leaks.count(table(rows))
    assert (found["products_in_several_splits"], found["images_in_several_splits"]) == (0, 1)
    assert found["near_duplicates_in_several_splits"] == 1  # 0 and 2; the others are darker, or turned
    expected = [Leak("picture", [1, 3]), Leak("near-duplicate", [0, 2])]
    assert leaks.examples(table(rows), 9) == expected and leaks.examples(table(rows), 1) == expected[:1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_split_leaks_nothing(split: str) -> None:
    rows = table([{"split": split, "digest": "a"}, {"split": split, "digest": "a"}])
    assert not leaks.examples(rows, 9) and leaks.count(rows)["images_in_several_splits"] == 0
