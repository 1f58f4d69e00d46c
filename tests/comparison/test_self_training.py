"""The compute of the arm that trains on its own pictures."""

from __future__ import annotations

import pytest

from p2i_ray.comparison.self_training import Budget, budget
from p2i_ray.config import Config, load
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.errors import UserError


def test_half_of_the_passes_paint_and_half_train() -> None:
    config = load(Config, "mini", ["idr.rounds=2", "idr.steps=[60,40]", "generate.num_inference_steps=12"])
    # 3 x 100 steps x 32 pictures = 9600 passes; half of them are 200 pictures of 12 steps with guidance.
    assert budget(config, ComparisonConfig(), rows=1200) == Budget(products=50, steps=(30, 20))
    assert budget(config, ComparisonConfig(), rows=40).products == 40
    unguided = config.model_copy(update={"generate": config.generate.model_copy(update={"guidance_scale": 1.0})})
    assert budget(unguided, ComparisonConfig(), rows=1200).products == 100


def test_too_small_a_budget() -> None:
    config = load(Config, "mini", ["idr.rounds=1", "idr.steps=[10]"])
    with pytest.raises(UserError, match=r"could paint 2 products 4 times, fewer than train\.batch_size=32"):
        budget(config, ComparisonConfig(), rows=1200)
