"""Products of rows, worked out by hand; the order of the rows does not matter."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa

from p2i_ray.data.groups import GroupConfig, find
from p2i_ray.data.near_duplicates import BYTES

FAR = [bytes([place]) * 8 + bytes([40 * place]) * (BYTES - 8) for place in range(6)]  # unlike each other
ROWS: list[tuple[str, str | None, str, str, bytes]] = [
    ("1", "sku-1", "Mug", "Cups", FAR[0]),
    ("2", "sku-1", "Mug, blue", "Cups", FAR[1]),
    ("3", None, "mug", "Home", FAR[2]),  # the first one's name
    ("4", None, "Jug", "Cups", FAR[2]),  # the third one's picture
    ("5", None, "Cups", "Cups", FAR[3]),  # a name that is only the category
    ("6", None, "cups", "Cups", FAR[4]),
    ("7", "sku-2", "Cups", "Cups", FAR[5]),
]


def groups(rows: list[Any], **settings: bool) -> dict[str, str]:
    names = ("id", "group", "name", "category", "fingerprint")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    return dict(zip(table["id"].to_pylist(), find(table, GroupConfig(**settings)).to_pylist(), strict=True))


def test_group_name_and_picture_connect_rows() -> None:
    found = groups(ROWS)
    assert found == dict.fromkeys("1234", "group:sku-1") | {"5": "row:5", "6": "row:6", "7": "group:sku-2"}
    for seed in range(5):
        assert groups(random.Random(seed).sample(ROWS, len(ROWS))) == found


def test_what_connects_is_a_setting() -> None:
    assert groups(ROWS, by_name=False, near_duplicates=False) == {
        "1": "group:sku-1",
        "2": "group:sku-1",
        **{id: f"row:{id}" for id in "3456"},
        "7": "group:sku-2",
    }
    assert groups(ROWS, near_duplicates=False)["4"] == "name:jug"
    assert groups(ROWS, by_name=False)["3"] == groups(ROWS, by_name=False)["4"] == "row:3"


def test_rows_that_are_added_elsewhere_change_no_group() -> None:
    found = groups(ROWS[:4])
    assert {id: group for id, group in groups(ROWS).items() if id in found} == found


def test_the_first_key_in_the_alphabet_is_that_of_code_points() -> None:
    rows = [(id, "sku", name, "Cups", FAR[0]) for id, name in (("1", "\U0001f600"), ("2", "\uffee"), ("3", "z"))]
    assert set(groups([(*row[:1], None, *row[2:]) for row in rows]).values()) == {"name:z"}
    assert set(groups([(*row[:1], None, *row[2:]) for row in rows[:2]]).values()) == {"name:\uffee"}
    assert set(groups(rows).values()) == {"group:sku"}  # before all names


def test_an_empty_group_is_none_and_rows_without_anything_join_by_their_ids() -> None:
    rows = [("1", "", "Cups", "cups", FAR[0]), ("2", None, "Cups", "Cups", FAR[1]), ("2", None, "Cups", "Cups", FAR[2])]
    table = pa.table(
        dict(zip(("id", "group", "name", "category", "fingerprint"), zip(*rows, strict=True), strict=True))
    )
    assert find(table, GroupConfig()).to_pylist() == ["row:1", "row:2", "row:2"]
    assert find(table.slice(0, 0), GroupConfig()).to_pylist() == []
