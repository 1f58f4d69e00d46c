"""What a model is recognised by."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.diffusion.model.fingerprint import fingerprint, of_models

UNET, VAE = (f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder, of which only what is looked at is there."""
    for name in (UNET, VAE, "model_index.json", "judge/guidance.json"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(b"0123")
    (tmp_path / "model/model_index.json").write_text('{"_class_name": "StableDiffusionInpaintPipeline"}')
    return tmp_path / "model"


def test_a_picture_names_all_weights_a_generator_its_denoiser_alone(model: Path, tmp_path: Path) -> None:
    all_, denoiser = of_models(str(model)), fingerprint(str(model))
    (model / "judge/guidance.json").write_bytes(b"other")
    assert (of_models(str(model)), fingerprint(str(model))) == (all_, denoiser)
    (model / VAE).write_bytes(b"3210")
    changed = of_models(str(model))
    assert changed != all_ and fingerprint(str(model)) == denoiser
    (model / UNET).write_bytes(b"3210")
    assert of_models(str(model)) != changed and fingerprint(str(model)) != denoiser
    moved = model.rename(tmp_path / "moved")
    assert of_models(str(moved), str(moved)) != of_models(str(moved))


def test_one_file_is_recognised_by_itself(tmp_path: Path) -> None:
    (tmp_path / "lama.onnx").write_bytes(b"0123")
    before = of_models(str(tmp_path / "lama.onnx"))
    assert before == fingerprint(str(tmp_path / "lama.onnx"))
    (tmp_path / "lama.onnx").write_bytes(b"3210")
    assert of_models(str(tmp_path / "lama.onnx")) != before
