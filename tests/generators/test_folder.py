"""A generator's folder: diffusers loads the copy, and we load all of it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.generators import folder
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.identifiers import attach
from p2i_ray.generators.personality import PersonalityGenerator
from tests.support.make_generators import CATEGORIES, SETTINGS, TEMPLATES, make_generators


def test_what_is_saved_is_loaded_by_us_and_the_copy_by_diffusers(
    tiny_painter: DiffusionConfig, saved: dict[str, str]
) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    made = make_generators(parts)
    settings = SETTINGS.model_copy(update={**saved, "category_scale": 0.5})
    found = folder.load_generators(tiny_painter.base, parts, settings)
    for kind, generator in found.items():
        stock, told = ControlNetModel.from_pretrained(saved[kind], local_files_only=True, output_loading_info=True)
        assert not told["missing_keys"] and not told["unexpected_keys"]
        states = generator.state_dict()
        assert states.keys() == made[kind].state_dict().keys()
        assert all(torch.equal(value, states[name]) for name, value in made[kind].state_dict().items())
        assert all(torch.equal(value, states[f"copy.{name}"]) for name, value in stock.state_dict().items())
    category, personality = found["category"], found["personality"]
    assert isinstance(category, CategoryGenerator) and isinstance(personality, PersonalityGenerator)
    assert category.categories.all == CATEGORIES.all and category.templates == TEMPLATES  # its own, as trained
    assert (category.scale, personality.scale, personality.masked) == (0.5, 1.0, "all")
    attach(parts, category.identifiers)


def test_files_are_diffusers_own_and_two_small_ones(saved: dict[str, str], tiny_painter: DiffusionConfig) -> None:
    names = {"config.json", "diffusion_pytorch_model.safetensors", "generator.json"}
    assert {path.name for path in Path(saved["personality"]).iterdir()} == names
    assert {path.name for path in Path(saved["category"]).iterdir()} == names | {"identifiers.safetensors"}
    [table] = load_file(Path(saved["category"], "identifiers.safetensors")).values()
    assert table.shape == (4, 2, 16)
    assert all(tiny_painter.base not in path.read_text("utf-8") for path in Path(saved["category"]).glob("*.json"))
