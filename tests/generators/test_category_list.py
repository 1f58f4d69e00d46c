"""The categories that are learned: from rows, a file, or a generator's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import DiffusionConfig
from p2i_ray.errors import UserError
from p2i_ray.generators import folder
from p2i_ray.generators.base import load_base
from p2i_ray.generators.categories import Category
from p2i_ray.generators.category_list import categories_of, read_categories
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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name,parent\ncup,ware\n", "no column category"),
        ("", "no column category"),
        ("category\ncup\nCup\n", "is there twice"),
        ("category\n\n,\ncup\n", "has an empty name"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, line: str) -> None:
    settings = SETTINGS.model_copy(update={"categories": listed(tmp_path / "categories.csv", text)})
    with pytest.raises(UserError, match=line):
        categories_of({"cup": 1}, settings)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"generators.categories=\S+ is not there; check the path"):
        read_categories(str(tmp_path / "none.csv"))
    (tmp_path / "latin.csv").write_bytes("category\ntaß".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_categories(str(tmp_path / "latin.csv"))
