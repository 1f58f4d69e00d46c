"""The compute of the arm that trains on its own pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from p2i_ray.comparison.self_training import NOTE, Budget, best_of, budget, data_of
from p2i_ray.config import Config, load
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.judge import Judge


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


def test_the_best_picture_of_each_product() -> None:
    """An endpoint without probabilities gives whole scores alone; c could not be judged."""
    ids, whole = ["a#1#0", "a#1#1", "a#1#2", "b#0", "b#1", "c#0"], [4, 4, 3, 2, 5, None]
    expected = pa.array([3.6, 4.2, 4.2, 2.1, 4.6, None], pa.float64())
    assert best_of(pa.table({"id": ids, "score": whole, "expected_score": expected})) == {"a#1#1", "b#1"}
    none = pa.nulls(6, pa.float64())
    assert best_of(pa.table({"id": ids, "score": whole, "expected_score": none})) == {"a#1#0", "b#1"}


def test_pictures_that_were_painted_with_other_settings_are_not_taken(tmp_path: Path) -> None:
    """They are there already: nothing is painted here."""
    comparison = ComparisonConfig()
    made = {"products": 50, "steps": [30, 20], "rows": 49, "comparison.best_of": 4, "generate.guidance_scale": 7.5}

    def take(own: Budget, comparison: ComparisonConfig, *settings: str) -> str:
        config = load(Config, "mini", ["generate.guidance_scale=7.5", *settings])
        judge = Judge(config.judge, config.image, config.seed)
        return data_of(own, config, comparison, data="/nowhere", out=str(tmp_path), judge=judge)

    for note in ({"products": 50, "rows": 49, "steps": [30, 20]}, made):  # an older version's, and today's
        (tmp_path / NOTE).write_text(json.dumps(note))
        assert take(Budget(50, (30, 20)), comparison, "generate.batch_size=1") == str(tmp_path / "data")
    with pytest.raises(UserError, match=r"other settings \(products, comparison\.best_of\); change them back, or"):
        take(Budget(25, (30, 20)), ComparisonConfig(best_of=8))
    with pytest.raises(UserError, match=r"other settings \(generate\.guidance_scale\)"):
        take(Budget(50, (30, 20)), comparison, "generate.guidance_scale=1")
