"""Categories by name."""

from __future__ import annotations

import logging

import pytest

from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Categories, Category
from tests.support.make_generators import CATEGORIES


def test_names_are_found_whatever_their_case_and_spaces() -> None:
    assert [CATEGORIES.find(name, unknown="error") for name in ("cup", " Round  CUP ", "bag")] == [0, 1, 3]


def test_an_unknown_category_is_the_nearest_name_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    categories = Categories([Category("kettle"), Category("backpack"), Category("tea cup")])
    with caplog.at_level(logging.WARNING):
        assert [categories.find(name, unknown="nearest") for name in ("Kettles", "tea cups", "kettles")] == [0, 2, 0]
    assert [record.getMessage() for record in caplog.records] == [
        "category 'Kettles' was not trained; it is painted as 'kettle'",
        "category 'tea cups' was not trained; it is painted as 'tea cup'",
    ]
    with pytest.raises(UserError, match=r"'pack' was not trained; the nearest name is 'backpack' \(generators.unk"):
        categories.find("pack", unknown="error")
    with pytest.raises(UserError, match=r"'zzzz' was not trained, and no name is near it; .* such as 'kettle'"):
        categories.find("zzzz", unknown="nearest")
    assert Categories([Category("Caf\u00e9")]).find("cafe\u0301", unknown="error") == 0  # as macOS names folders
    assert categories.has(" KETTLE") and not categories.has("kettles")
    found = [categories.stand_in(name, unknown="nearest") for name in (" KETTLE", "kettles", "Backpack", "packs")]
    assert found == [None, "kettle", None, "backpack"]
    with pytest.raises(UserError, match="the request has no category"):
        categories.find("  ", unknown="nearest")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ([], "needs at least one category"),
        (["a", "A "], "category 'A ' is there twice"),
        (["a", " "], "category 2 of 2 has an empty name"),
    ],
)
def test_categories_have_names_of_their_own(names: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        Categories([Category(name) for name in names])
