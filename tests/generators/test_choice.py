"""One setting chooses what is trained."""

from __future__ import annotations

import pytest

from p2i_ray.config import TrainConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.training.product2img import Product2ImgObjective
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Category
from p2i_ray.generators.choice import objective_of
from p2i_ray.generators.objective import GeneratorObjective

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
