"""Loading a CLIP: the parts of a saved one, from a disk and a bucket, and one line for what can't be loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from p2i_ray.encoders.clip import clip_folder
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

CLIP = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights" / "evaluator_clip"


def test_a_model_is_float32_frozen_and_in_evaluation_mode() -> None:
    with clip_folder(str(CLIP), setting="diffusion.clip") as folder:
        model = folder.model()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_parts_are_those_that_transformers_loads() -> None:
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    with clip_folder(str(CLIP), setting="diffusion.clip") as folder:
        weights, processor, tokenizer = folder.model().state_dict(), folder.image_processor(), folder.tokenizer()
        settings = folder.image_processor_settings()
    expected = CLIPModel.from_pretrained(CLIP, dtype=torch.float32).state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert processor.to_dict() == CLIPImageProcessorPil.from_pretrained(CLIP).to_dict()
    assert settings["image_mean"] == list(processor.image_mean)
    assert tokenizer("a blue cup").input_ids == CLIPTokenizer.from_pretrained(CLIP)("a blue cup").input_ids


def test_a_bucket_is_copied() -> None:
    bucket = "memory://clip-loader/clip"
    folders.put_folder(str(CLIP), bucket)
    with clip_folder(bucket, setting="evaluate.clip") as folder:
        assert folder.model().config.projection_dim > 0
        local = folder.local
    assert not Path(local).exists()
    locations.remove("memory://clip-loader")


def test_mistakes_are_one_line_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not there"), clip_folder(str(tmp_path / "nowhere"), setting="x"):
        pass
    folder = shutil.copytree(CLIP, tmp_path / "clip")
    [weights] = folder.glob("*.safetensors")
    for content in (b"no weights", weights.read_bytes()[:-1000], None):
        weights.unlink()
        if content is not None:
            weights.write_bytes(content)
        with (
            clip_folder(str(folder), setting="evaluate.clip") as opened,
            pytest.raises(UserError, match=rf"^evaluate\.clip={folder}:? [^\n]+$"),
        ):
            opened.model()
        if content is None:
            weights.touch()
    for file in folder.glob("*.json"):
        file.unlink()
    with clip_folder(str(folder), setting="judge.cascade.clip") as opened:
        for load in (opened.image_processor, opened.image_processor_settings):
            with pytest.raises(UserError, match=rf"^judge\.cascade\.clip={folder}: [^\n]+$"):
                load()


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    folder = shutil.copytree(CLIP, tmp_path / "clip")
    [weights] = folder.glob("*.safetensors")
    weights.unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with clip_folder(str(folder), setting="evaluate.clip") as opened, pytest.raises(UserError, match="pickled weights"):
        opened.model()


def test_a_tokenizer_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CLIP, tmp_path / "clip"))
    (folder / "tokenizer.json").unlink()
    with clip_folder(str(folder), setting="diffusion.clip") as opened, pytest.raises(UserError, match="has neither"):
        opened.tokenizer()
