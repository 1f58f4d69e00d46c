"""The aesthetic head by hand and by torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.aesthetics import Head
from p2i_ray.evaluate.metrics.batch import Batch

PICTURES = [np.zeros((1, 1, 3), np.uint8)] * 2


def embed(pictures: list[Pixels]) -> Tensor:  # type: ignore[type-arg]
    return torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def scores(tensors: dict[str, Tensor]) -> np.ndarray:
    head = Head(tensors, "evaluate.aesthetics=a.pth", features=2)
    return head.scores(embed)(Batch(PICTURES, None))  # type: ignore[arg-type]


def test_one_layer_by_hand() -> None:
    """Features (0.6, 0.8) and (0, 1) after normalisation, weight (5, 10), bias 1: 12 and 11."""
    found = scores({"weight": torch.tensor([[5.0, 10.0]]), "bias": torch.tensor([1.0])})
    assert found == pytest.approx([12, 11])


def test_a_chain_of_layers_as_torch_computes_it() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(2, 5), nn.Dropout(0.2), nn.Linear(5, 3), nn.Dropout(0.1), nn.Linear(3, 1)).eval()
    expected = layers(nn.functional.normalize(embed([])))[:, 0].tolist()
    assert scores({f"layers.{name}": value for name, value in layers.state_dict().items()}) == pytest.approx(expected)


def test_more_than_ten_layers_are_in_their_order() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(2, 2) for _ in range(11)), nn.Linear(2, 1))
    expected = layers(nn.functional.normalize(embed([])))[:, 0].tolist()
    assert scores(dict(layers.state_dict())) == pytest.approx(expected, rel=1e-4)


def test_mistakes_are_one_line() -> None:
    for tensors, line in (
        ({}, "no tensors"),
        ({"conv": torch.zeros(1)}, "is no head of linear layers: it has conv"),
        ({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, r"is \[1, 3\], after 2 features; the head belongs"),
        ({"weight": torch.zeros(4, 2), "bias": torch.zeros(4)}, "gives 4 figures a picture, not one score"),
    ):
        with pytest.raises(UserError, match=line):
            scores(tensors)
