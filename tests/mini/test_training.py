"""The builders' shared parts, on models of a few weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from p2i_ray.mini.training import ANY_SCENE, Trainer, rate_at, save_folder, save_half, to_tensor
from p2i_ray.mini.world import PLAIN, SCENES, render

pytestmark = pytest.mark.long


def test_rate_warms_up_and_ends_at_nothing():
    assert rate_at(0, 100, warm_up=10) == pytest.approx(0.1)
    assert rate_at(9, 100, warm_up=10) == pytest.approx(0.5 * (1 + np.cos(np.pi * 0.09)))
    assert rate_at(50, 100, warm_up=10) == pytest.approx(0.5)
    assert rate_at(100, 100, warm_up=10) == pytest.approx(0, abs=1e-12)


def test_trainer_learns_and_leaves_plain_averaged_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.Flatten(), nn.Linear(64, 16))
    names, images = set(model.state_dict()), torch.randn(64, 16, 2, 2)
    wanted = images.mean(dim=(2, 3))  # (64, 16)

    def error() -> torch.Tensor:
        return (model(images) - wanted).square().mean()

    before = error().item()
    trainer = Trainer(model, 60, muon_rate=2e-2, adam_rate=1e-2, decay=0.8)
    for _ in range(60):
        trainer.step(error())
    last = error().item()
    trainer.finish()
    assert set(model.state_dict()) == names
    assert error().item() < before / 4
    assert error().item() == pytest.approx(last, rel=0.2)  # the average follows closely once the rate is down
    assert not model.training


def test_save_folder_replaces_whole_folders_only(tmp_path: Path):
    def write(text: str):
        return lambda folder: (folder.mkdir(), (folder / text).write_text(text))

    def fail(folder: Path) -> None:
        folder.mkdir()
        raise OSError("disk full")

    save_folder(tmp_path / "model", write("one"))
    with pytest.raises(OSError, match="disk full"):
        save_folder(tmp_path / "model", fail)
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["one"]
    save_folder(tmp_path / "model", write("two"))
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["two"]


def test_saved_halves_load_as_floats(tmp_path: Path):
    from transformers import CLIPTextConfig, CLIPTextModel

    model = CLIPTextModel(
        CLIPTextConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    save_half(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    assert CLIPTextModel.from_pretrained(tmp_path).dtype == torch.float32


def test_pixels_become_tensors_from_minus_one_to_one():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    found = to_tensor(images)
    assert found.shape == (1, 3, 16, 16) and (found.min(), found.max()) == (-1, 1)
    assert (((found + 1) * 127.5).round().permute(0, 2, 3, 1).numpy() == images).all()


def test_any_scene_makes_product_and_scene_independent():
    samples = [render(8, i, ANY_SCENE) for i in range(1600)]
    shares = {scene: np.mean([s.scene == scene for s in samples if s.scene != PLAIN]) for scene in SCENES}
    assert all(0.09 < share < 0.16 for share in shares.values())  # 1/8 each
    tents = [s.scene == "forest" for s in samples if s.category == "tent" and s.scene != PLAIN]
    assert 0.04 < np.mean(tents) < 0.22
