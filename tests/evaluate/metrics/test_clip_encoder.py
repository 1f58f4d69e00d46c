"""The CLIP image encoder against transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder
from tests.support.generated_rows import picture


@pytest.mark.parametrize("shape", [(32, 32, 3), (64, 48, 3), (37, 90, 3), (200, 200, 3)])
def test_preprocessing_is_that_of_transformers(clip_folder: str, shape: tuple[int, ...]) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pixels = picture(3, shape)
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    expected = processor(Image.fromarray(pixels), return_tensors="pt").pixel_values
    found = ClipEncoder(clip_folder).prepare([pixels])
    assert found.shape == expected.shape == (1, 3, 32, 32)
    step = 1 / 255 / 0.26  # one grey level after normalisation
    assert (found - expected).abs().max() < 1.01 * step
    assert (found - expected).abs().mean() < 0.1 * step


def test_features_are_those_of_the_whole_model(clip_folder: str) -> None:
    from transformers import CLIPModel

    encoder = ClipEncoder(clip_folder)
    prepared = encoder.prepare([picture(1), picture(2, (50, 40, 3))])
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(clip_folder).get_image_features(pixel_values=prepared).pooler_output
    assert encoder.num_features == 8
    torch.testing.assert_close(encoder(prepared), expected)
    assert (expected[0] - expected[1]).norm() > 0.01  # the picture matters


def test_the_old_preprocessor_config_of_openai_is_understood(clip_folder: str, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    recipe = json.loads((folder / "preprocessor_config.json").read_text())
    recipe |= {"size": 40, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(recipe))
    pixels = picture(5, (70, 60, 3))
    assert torch.equal(ClipEncoder(str(folder)).prepare([pixels]), ClipEncoder(clip_folder).prepare([pixels]))


def test_mistakes_are_one_line(clip_folder: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not there"):
        ClipEncoder(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"evaluate\.clip=.*empty has no "):
        ClipEncoder(str(tmp_path / "empty"))
    folder = shutil.copytree(clip_folder, tmp_path / "odd")
    recipe = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(recipe | {"do_normalize": False}))
    with pytest.raises(UserError, match="its preprocessing isn't CLIP's"):
        ClipEncoder(str(folder))


def test_a_picture_is_not_changed(clip_folder: str) -> None:
    pixels = picture(7)
    before = pixels.copy()
    ClipEncoder(clip_folder).embed([pixels])
    assert np.array_equal(pixels, before)
