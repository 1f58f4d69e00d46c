"""DINOv2's features, on a random model of the real architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import dinov2
from p2i_ray.evaluate.metrics.clean_resize import bicubic
from p2i_ray.evaluate.metrics.dinov2 import Dinov2Encoder
from tests.support.generated_rows import picture


def folder(into: Path, side: int, patch: int = 14) -> str:
    torch.manual_seed(0)
    config = Dinov2Config(
        image_size=side, patch_size=patch, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2
    )
    model = Dinov2Model(config)
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    model.save_pretrained(into)
    return str(into)


def test_as_transformers_where_the_table_of_positions_fits(tmp_path: Path) -> None:
    encoder = Dinov2Encoder(folder(tmp_path, side=224))
    pictures = [picture(1), picture(2, (40, 50, 3))]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    levels = (bicubic(pictures, 224) / 255 - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = Dinov2Model.from_pretrained(tmp_path)(torch.tensor(levels).float()).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder(pictures), expected, atol=1e-5, rtol=1e-4)
    assert (expected[0] - expected[1]).norm() > 0.01


def test_the_table_of_positions_is_resized_as_the_published_model_does(tmp_path: Path) -> None:
    """A larger table is sampled at the centres of 16.1 patches a side: a ramp of place becomes one of that step."""
    large = Dinov2Encoder(folder(tmp_path, side=518))
    assert large.model.embeddings.position_embeddings.shape == (1, 1 + 16 * 16, 16)
    ramp = torch.arange(37.0).repeat(37, 1).reshape(1, -1, 1)  # the column
    found = dinov2._resized(torch.cat([torch.full((1, 1, 1), 7.0), ramp], 1), 16)
    assert found[0, 0] == 7
    columns = found[0, 1:, 0].reshape(16, 16)
    expected = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    torch.testing.assert_close(columns[3, 2:14], expected[2:14], atol=0.05, rtol=0)
    assert large([picture(1)]).shape == (1, 16)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate\.dinov2=.*nowhere is no transformers DINOv2 folder"):
        dinov2.check(str(tmp_path / "nowhere"))
    odd = folder(tmp_path / "odd", side=60, patch=15)
    dinov2.check(odd)
    with pytest.raises(UserError, match="has patches of 15 pixels, which don't divide 224"):
        Dinov2Encoder(odd)
    (tmp_path / "odd" / "model.safetensors").rename(tmp_path / "odd" / "model.bin")
    with pytest.raises(UserError, match="has pickled weights only"):
        dinov2.check(odd)
