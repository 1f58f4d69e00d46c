"""Category distance by hand: features are the first pixel's three levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.batch import Batch, MeasuredImages, RealImages
from p2i_ray.evaluate.metrics.category_distance import CategoryDistance
from p2i_ray.evaluate.metrics.metric import Metric

GREY, MASK = np.full((2, 2, 3), 127, np.uint8), np.zeros((2, 2), np.uint8)
RED, GREEN, YELLOW, BLUE = (200, 0, 0), (0, 100, 0), (50, 50, 0), (0, 0, 9)


def embed(pictures: list[Pixels]) -> Tensor:  # type: ignore[type-arg]
    return torch.tensor(np.stack([one[0, 0].astype(float) for one in pictures]))


def flat(colour: tuple[int, int, int]) -> Pixels:
    return np.full((2, 2, 3), colour, np.uint8)


def real(*rows: tuple[str, tuple[int, int, int]]) -> Batch:
    made = [RealImages(flat(colour), category=category) for category, colour in rows]
    return Batch([GREY] * len(made), embed, real=made)  # type: ignore[arg-type]


def painted(*rows: tuple[str, tuple[int, int, int]]) -> Batch:
    made = [
        MeasuredImages(picture=GREY, product=GREY, background=flat(colour), cutout=GREY, mask=MASK, category=category)
        for category, colour in rows
    ]
    return Batch([GREY] * len(made), embed, made)  # type: ignore[arg-type]


def test_by_hand() -> None:
    """The lamps' centre lies between red and green, whatever their brightness: yellow is at it, red 45 degrees away."""
    metric: Metric = CategoryDistance()
    metric.add_real(real(("lamp", RED), ("mug", BLUE)))
    metric.add_real(real(("lamp", GREEN)))
    metric.add_generated(painted(("lamp", YELLOW), ("lamp", RED), ("mug", RED), ("hat", RED)))
    found = metric.figures()
    assert found["category_distance"] == pytest.approx((0 + 100 * (1 - np.sqrt(0.5)) + 100) / 3)
    assert found["category_distance_left_out"] == 1  # no real hat
    assert isinstance(metric, CategoryDistance)
    assert metric.values[:3] == pytest.approx([0, 100 * (1 - np.sqrt(0.5)), 100], abs=1e-9)
    assert np.isnan(metric.values[3])
    assert [len(side) for side in metric.features] == [4, 3]


def test_too_few() -> None:
    metric = CategoryDistance()
    metric.add_real(real(("lamp", RED)))
    metric.add_generated(painted(("lamp", RED), ("hat", RED)))
    with pytest.raises(UserError, match="category_distance needs 2 pictures; there are 1 generated"):
        metric.figures()
