"""One setting chooses what is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.config import TrainConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.training.product2img import Product2ImgObjective
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Category
from p2i_ray.generators.choice import check_rows, objective_of
from p2i_ray.generators.objective import GeneratorObjective
from p2i_ray.generators.row_categories import RowCategories

TRAIN = TrainConfig(contrastive_weight=0.3)


def test_the_setting_chooses() -> None:
    plain, beside = GeneratorsConfig(), GeneratorsConfig(category="/somewhere")
    assert objective_of("product2img", plain, TRAIN) == Product2ImgObjective(0.3)
    style = objective_of("personality", beside, TRAIN)
    assert style == GeneratorObjective("personality", beside) and style.others
    category = objective_of("category", plain, TRAIN, {"cup": 4})
    assert category == GeneratorObjective("category", plain, (Category("cup", "", 4),)) and not category.others
    assert objective_of("category", GeneratorsConfig(personality="/there"), TRAIN).others  # whose references are spoilt


def test_a_generator_without_use_is_said() -> None:
    with pytest.raises(UserError, match=r"^generators.personality is given, and generator=product2img trains no"):
        objective_of("product2img", GeneratorsConfig(personality="/there"), TRAIN)


def test_the_file_of_categories_is_read_before_there_are_rows(tmp_path: Path) -> None:
    file = tmp_path / "categories.csv"
    settings = GeneratorsConfig(categories=str(file), rare_below=3)
    with pytest.raises(UserError, match=r"^generators.categories=\S+ is not there; check the path"):
        objective_of("category", settings, TRAIN)
    file.write_text("category\ncup\n")
    with pytest.raises(UserError, match=r"^generators.rare_below=3 draws rare categories"):
        objective_of("category", settings, TRAIN)
    file.write_text("category,parent\ncup,ware\nmug,ware\n")
    objective_of("category", settings, TRAIN)
    with pytest.raises(UserError, match=r"^generators.rare_below=3 draws rare categories"):
        objective_of("category", GeneratorsConfig(rare_below=3), TRAIN)


def test_a_file_of_categories_without_use_is_said() -> None:
    for generator in ("product2img", "personality"):
        with pytest.raises(UserError, match=rf"^generators.categories=a.csv is given, and generator={generator} has n"):
            objective_of(generator, GeneratorsConfig(categories="a.csv"), TRAIN)
    with pytest.raises(UserError, match=r"^generators.categories=a.csv is given, and generators.category goes on with"):
        objective_of("category", GeneratorsConfig(categories="a.csv", category="/there"), TRAIN)


def test_rows_are_checked_where_their_categories_are_read(tmp_path: Path) -> None:
    found = RowCategories({"": 2, "cup": 3}, ["a", "b"])
    with pytest.raises(UserError, match=r"^2 of 5 rows have no category \(first a, b\)"):
        check_rows("category", GeneratorsConfig(), found)
    check_rows("personality", GeneratorsConfig(), found)
    check_rows("product2img", GeneratorsConfig(), found)


def test_rows_are_checked_against_a_category_wise_generator_that_stands_beside_another(tmp_path: Path) -> None:
    record = {"format": 1, "kind": "category", "base": "b", "product": "a {category}", "background": "in"}
    learned = [{"name": "Cup", "parent": "", "rows": 3}]
    (tmp_path / "generator.json").write_text(json.dumps({**record, "categories": learned}))
    beside = GeneratorsConfig(category=str(tmp_path))
    check_rows("personality", beside, RowCategories({"cup": 3}, []))
    with pytest.raises(
        UserError, match=r"^1 of 4 rows have no category \(first a\), which a category-wise generator ne"
    ):
        check_rows("personality", beside, RowCategories({"": 1, "cup": 3}, ["a"]))
    line = rf"^3 of 4 rows have categories that the generator \S+{tmp_path} has not learned: 'bag', 'tie'; give these"
    with pytest.raises(UserError, match=line):
        check_rows("personality", beside, RowCategories({"bag": 2, "cup": 1, "tie": 1}, []))
