"""The CLIP scores, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from p2i_ray.evaluate.metrics.clip_scores import ClipScore


def test_by_hand() -> None:
    """cos((3, 4), (4, 3)) = 24/25, cos((1, 0), (0, 2)) = 0, cos((1, 1), (-2, -2)) = -1: 100 * -0.04 / 3."""
    score = ClipScore()
    score.update(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 2.0]]))
    score.update(torch.tensor([[1.0, 1.0]]), torch.tensor([[-2.0, -2.0]]))
    assert score.values == pytest.approx([96, 0, -100])
    assert score.compute() == pytest.approx(100 * (0.96 + 0 - 1) / 3)


def test_batches_come_in_any_order() -> None:
    rows = torch.randn(2, 60, 8, generator=torch.Generator().manual_seed(0))
    found = set()
    for seed in range(20):
        score = ClipScore()
        for part in torch.randperm(60, generator=torch.Generator().manual_seed(seed)).split(7):
            score.update(rows[0, part], rows[1, part])
        found.add(score.compute())
    assert len(found) == 1
