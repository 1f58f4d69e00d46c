"""What is saved: a folder that diffusers loads and paints with, the trained weights in it, the rest untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInpaintPipeline
from PIL import Image

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import export, loading
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions
from tests.support.make_batch import make_model

pytestmark = pytest.mark.long


def write_one_more(diffusion: DiffusionConfig, out: Path) -> Path:
    """The tiny model, with one added to everything that training changes."""
    _, model = make_model(diffusion)
    weights = {name: p.detach() + 1 for name, p in model.named_parameters() if p.requires_grad}
    trained = export.Trained(base=diffusion.base, diffusion=diffusion, settings=model.settings, weights=weights)
    export.write(trained, {"README.md": "a card"}, str(out))
    return out


@pytest.fixture(scope="module")
def saved(tiny_painter: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_one_more(tiny_painter, tmp_path_factory.mktemp("saved") / "model")


def paint(model: Path, diffusion: DiffusionConfig) -> np.ndarray:
    product, mask = np.full((16, 16, 3), 200, np.uint8), np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    request = PaintRequest("cup", product, mask, seed=3, steps=2, guidance=3)
    return Sampler(str(model), diffusion, SamplerOptions()).paint([request])[0]


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
    assert (saved / "README.md").read_text() == "a card" and not (saved / "lora").exists()


def test_it_has_the_trained_weights_and_the_frozen_ones(saved: Path, tiny_painter: DiffusionConfig) -> None:
    before, after = loading.load(tiny_painter.base, tiny_painter), loading.load(str(saved), tiny_painter)
    assert after.token_ids[0] == before.token_ids[0]
    for old, new in ((before.denoiser, after.denoiser), (before.text_encoders[0], after.text_encoders[0])):
        state = new.state_dict()
        for name, value in old.state_dict().items():
            if not name.endswith("token_embedding.weight"):
                torch.testing.assert_close(state[name], value + 1)
    old_rows, new_rows = (p.text_encoders[0].get_input_embeddings().weight for p in (before, after))
    torch.testing.assert_close(new_rows[:-1], old_rows[:-1], rtol=0, atol=0)
    torch.testing.assert_close(new_rows[-1], old_rows[-1] + 1)
    for name, value in before.vae.state_dict().items():
        torch.testing.assert_close(after.vae.state_dict()[name], value, rtol=0, atol=0)


def test_without_a_token_nothing_is_added(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    diffusion = tiny_painter.model_copy(update={"token": None})
    out = write_one_more(diffusion, tmp_path / "model")
    before, after = loading.load(diffusion.base, diffusion), loading.load(str(out), diffusion)
    assert len(after.tokenizers[0]) == len(before.tokenizers[0]) and after.token_ids == ()
    old_rows, new_rows = (p.text_encoders[0].get_input_embeddings().weight for p in (before, after))
    assert torch.equal(new_rows, old_rows)
    assert torch.equal(after.denoiser.conv_in.weight, before.denoiser.conv_in.weight + 1)
    assert paint(out, diffusion).shape == (16, 16, 3)


def test_a_widened_model_is_saved_with_its_nine_channels(plain_painter: DiffusionConfig, tmp_path: Path) -> None:
    assert paint(Path(plain_painter.base), plain_painter).shape == (16, 16, 3)  # round 0
    out = write_one_more(plain_painter, tmp_path / "model")
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(out, use_safetensors=True, local_files_only=True)
    assert pipeline.unet.config.in_channels == pipeline.unet.conv_in.in_channels == 9
    for widen in (True, False):  # the next round, and any other use
        parts = loading.load(str(out), plain_painter.model_copy(update={"widen": widen}))
        assert not parts.widened
        assert (parts.denoiser.conv_in.weight[:, 4:] == 1).all()
