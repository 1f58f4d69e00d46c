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
    assert float(score.compute()) == pytest.approx(100 * (0.96 + 0 - 1) / 3, rel=1e-5)
