"""Diversity by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.batch import Batch, MeasuredImages
from p2i_ray.evaluate.metrics.diversity import Diversity
from p2i_ray.evaluate.metrics.metric import Metric


def rows(reds: list[int]) -> Batch:
    """Rows whose backgrounds' features are (1, 0) or (0, 1)."""

    def embed(pictures: list[Pixels]) -> Tensor:  # type: ignore[type-arg]
        return torch.tensor([[float(one[0, 0, 0] > 0), float(one[0, 0, 0] == 0)] for one in pictures])

    flat = [np.full((2, 2, 3), red, np.uint8) for red in reds]
    grey, mask = np.full((2, 2, 3), 127, np.uint8), np.zeros((2, 2), np.uint8)
    made = [MeasuredImages(picture=grey, product=grey, background=one, cutout=grey, mask=mask) for one in flat]
    return Batch([grey] * len(flat), embed, made)  # type: ignore[arg-type]


def test_by_hand() -> None:
    """Of ten backgrounds five are of one kind, five of another: 25 of 45 pairs have nothing in common."""
    metric: Metric = Diversity()
    metric.add_generated(rows([0, 9, 0, 9]))
    metric.add_generated(rows([0, 9, 0, 9, 0, 9]))
    found = metric.figures()
    assert found["diversity"] == pytest.approx(100 * 25 / 45)
    assert found["diversity_low"] < found["diversity"]
    same = Diversity()
    same.add_generated(rows([9] * 10))
    assert same.figures()["diversity"] == pytest.approx(0, abs=1e-9)


def test_too_few() -> None:
    metric = Diversity()
    metric.add_generated(rows([0, 9]))
    with pytest.raises(UserError, match="diversity needs 10 pictures; there are 2 generated"):
        metric.figures()
