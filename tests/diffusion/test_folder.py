"""What is saved: a folder that diffusers loads and paints with, the trained weights in it, the rest untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInpaintPipeline
from make_batch import make_model
from PIL import Image

from p2i_ray.config import PainterConfig, TrainConfig
from p2i_ray.diffusion import card, folder
from p2i_ray.diffusion.card import StepRecord


@pytest.fixture(scope="module")
def saved(tiny_painter: PainterConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with one added to everything that training changes."""
    _, model = make_model(tiny_painter)
    weights = {name: p.detach() + 1 for name, p in model.named_parameters() if p.requires_grad}
    parts = folder.load(tiny_painter.base, tiny_painter.token, tiny_painter.token_from)
    folder.lay_over(parts, weights)
    out = tmp_path_factory.mktemp("saved") / "model"
    folder.save(parts, str(out), {"README.md": "a card"})
    return out


def test_diffusers_loads_it_and_paints(saved: Path) -> None:
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(saved, use_safetensors=True, local_files_only=True)
    assert isinstance(pipeline.scheduler, EulerAncestralDiscreteScheduler)
    assert pipeline.safety_checker is None
    ids = pipeline.tokenizer("cup <background>").input_ids
    assert ids[-2] == pipeline.text_encoder.config.vocab_size - 1
    grey = Image.new("RGB", (16, 16), "grey")
    pictures = pipeline(
        "cup <background>", grey, Image.new("L", (16, 16), 255), height=16, width=16, num_inference_steps=2
    )
    assert np.asarray(pictures.images[0]).shape == (16, 16, 3)


def test_only_safetensors_are_written(saved: Path) -> None:
    suffixes = {path.suffix for path in saved.rglob("*") if path.is_file() and path.stat().st_size > 50_000}
    assert suffixes <= {".safetensors", ".json"}
    assert not [path for pattern in ("*.bin", "*.pt", "*.ckpt") for path in saved.rglob(pattern)]
    assert (saved / "README.md").read_text() == "a card"


def test_it_has_the_trained_weights_and_the_frozen_ones(saved: Path, tiny_painter: PainterConfig) -> None:
    before = folder.load(tiny_painter.base, "<background>", "background")
    after = folder.load(str(saved), "<background>", "background")
    assert after.token_id == before.token_id
    for old, new in ((before.unet, after.unet), (before.text_encoder, after.text_encoder)):
        state = new.state_dict()
        for name, value in old.state_dict().items():
            if not name.endswith("token_embedding.weight"):
                torch.testing.assert_close(state[name], value + 1)
    old_rows, new_rows = (p.text_encoder.get_input_embeddings().weight for p in (before, after))
    torch.testing.assert_close(new_rows[:-1], old_rows[:-1], rtol=0, atol=0)
    torch.testing.assert_close(new_rows[-1], old_rows[-1] + 1)
    for name, value in before.vae.state_dict().items():
        torch.testing.assert_close(after.vae.state_dict()[name], value, rtol=0, atol=0)


def test_the_card_tells_of_every_round(tmp_path: Path, tiny_painter: PainterConfig) -> None:
    settings = TrainConfig()
    curve = [StepRecord(n, 0.5, 3.0, 2.0, 0.55, 1e-5, 1.0) for n in (1, 2)]
    first = card.record(str(tmp_path), settings, 100, 0, curve)
    (tmp_path / card.RECORD).write_text(card.dump(first))
    second = card.record(str(tmp_path), settings, 60, 0, curve[:1])
    assert [(r["steps"], r["rows"]) for r in second["rounds"]] == [(2, 100), (1, 60)]
    text = card.write_card(tiny_painter, settings, second)
    assert text.startswith("---\nlibrary_name: diffusers")
    assert "| 1 | 2 | 100 | 0.5000 | 3.000 | 2.000 |" in text and "| 2 | 1 | 60 |" in text
