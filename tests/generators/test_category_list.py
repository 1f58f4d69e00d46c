"""The categories that are learned: from rows, a file, or a generator's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import DiffusionConfig
from p2i_ray.errors import UserError
from p2i_ray.generators import folder
from p2i_ray.generators.base import load_base
from p2i_ray.generators.categories import Category
from p2i_ray.generators.category_list import categories_of, check_rare
from tests.support.make_generators import CATEGORIES, SETTINGS, make_generators


def listed(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_those_of_the_rows() -> None:
    assert categories_of({"bag": 3, "cup": 2}, SETTINGS) == (Category("bag", "", 3), Category("cup", "", 2))
    with pytest.raises(UserError, match=r"^2 of 5 rows have no category, .* keep=FILE$"):
        categories_of({"": 2, "cup": 3}, SETTINGS)


def test_those_of_a_file_with_parents(tmp_path: Path) -> None:
    file = listed(tmp_path / "categories.csv", "\ufeffcategory,parent\nCup,ware\nbag,\nvase,ware\n")
    settings = SETTINGS.model_copy(update={"categories": file})
    found = categories_of({"cup": 2, " CUP": 1, "bag": 4}, settings)  # case and spaces don't count
    assert found == (Category("Cup", "ware", 3), Category("bag", "", 4), Category("vase", "ware", 0))
    with pytest.raises(UserError, match=r"categories.csv doesn't have: 'lamp', 'sofa', 'tie' and 1 more; add them"):
        categories_of({"cup": 1, "lamp": 1, "sofa": 1, "tie": 1, "zoo": 1}, settings)


def test_those_of_a_folder_to_go_on_from(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    parts = load_base(tiny_painter.base, tiny_painter, SETTINGS)
    folder.save(make_generators(parts)["category"], str(tmp_path / "before"), made_from=tiny_painter.base)
    settings = SETTINGS.model_copy(update={"category": str(tmp_path / "before")})
    found = categories_of({"cup": 7}, settings)
    assert [one.name for one in found] == [one.name for one in CATEGORIES.all]
    assert [one.rows for one in found] == [7, 0, 0, 0] and found[1].parent == "ware"
    with pytest.raises(UserError, match=r"the generator generators.category=\S+ has not learned: 'lamp';"):
        categories_of({"lamp": 1}, settings)


def test_rows_of_which_some_can_t_be_taken_are_counted_and_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^3 of 5 rows have no category \(first 7, 9\), which .* keep=FILE$"):
        categories_of({"": 2, " ": 1, "cup": 2}, SETTINGS, ["7", "9"])
    settings = SETTINGS.model_copy(update={"categories": listed(tmp_path / "categories.csv", "category\ncup\n")})
    with pytest.raises(UserError, match=r"^5 of 6 rows have categories that \S+ doesn't have: 'bag', 'tie'; add them"):
        categories_of({"bag": 2, "cup": 1, "tie": 3}, settings)


def test_categories_of_rows_that_differ_in_case_spaces_or_stored_accents_are_one() -> None:
    rows = {" m\u00f6bel": 2, "Cup": 1, "MO\u0308BEL": 3, "cup": 4, "Cup  ": 2}
    assert categories_of(rows, SETTINGS) == (Category("MO\u0308BEL", rows=5), Category("cup", rows=7))


def test_rare_categories_have_others_of_their_parent(tmp_path: Path) -> None:
    rare = SETTINGS.model_copy(update={"rare_below": 5})
    with pytest.raises(UserError, match=r"^generators.rare_below=5 draws .* and no two have one; give generators.cat"):
        categories_of({"cup": 2, "bag": 1}, rare)
    check_rare([Category("cup", "ware"), Category("mug", "ware"), Category("bag")], rare)
    check_rare([Category("cup")], SETTINGS)
    with pytest.raises(UserError, match=r"and no two have one"):
        check_rare([Category("cup", "ware"), Category("bag", "cloth"), Category("tie")], rare)
    file = listed(tmp_path / "categories.csv", "category,parent\ncup,ware\nmug,ware\n")
    found = categories_of({"cup": 2, "mug": 9}, rare.model_copy(update={"categories": file}))
    assert found == (Category("cup", "ware", 2), Category("mug", "ware", 9))
