"""What of a generator's folder doesn't fit is one line, from its small files and headers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.errors import UserError
from p2i_ray.generators import folder, folder_check
from tests.support.make_generators import SETTINGS, make_generators
from tests.support.tiny_baselines import build_controlnet


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit a JSON file."""
    values = json.loads(path.read_text("utf-8"))
    edit(values)
    path.write_text(json.dumps(values), "utf-8")


def test_what_the_base_read_in_training_it_reads_again(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    generator = make_generators(loading.load(tiny_painter.base, tiny_painter))["category"]
    out = str(tmp_path / "category")
    folder.save(generator, out, made_from=tiny_painter.base, base_prompt="product2img")
    with pytest.raises(UserError, match=r"trained with generators.base_prompt=product2img, not category; set that"):
        folder_check.check(out, "category", tiny_painter.base, SETTINGS)
    folder_check.check(out, "category", tiny_painter.base, SETTINGS.model_copy(update={"base_prompt": "product2img"}))


def test_what_does_not_fit_is_one_line(
    tiny_painter: DiffusionConfig,
    second_painter: DiffusionConfig,
    plain_painter: DiffusionConfig,
    saved: dict[str, str],
    tmp_path: Path,
) -> None:
    category, base = Path(saved["category"]), tiny_painter.base

    def check(line: str, location: str, kind: Any = "category", model: str = base, **settings: Any) -> None:
        with pytest.raises(UserError, match=line):
            folder_check.check(location, kind, model, SETTINGS.model_copy(update=settings))

    check(r"generators.category=\S+/gone is no folder that is there", str(tmp_path / "gone"))
    check("is a UNet2DConditionModel, no ControlNetModel", f"{base}/unet")
    check("has no generator.json: it is a ControlNet", str(build_controlnet(tmp_path / "canny")))
    check("is a personality-wise generator; give it as generators.personality", saved["personality"])
    check(
        "has attention_head_dim=4, the UNet of .* has .2, 4.: it belongs to another base",
        saved["category"],
        model=second_painter.base,
    )
    check("has 9 input channels, not the 4 of generators.base=text_to_image", saved["category"], base="text_to_image")

    weights = load_file(f"{base}/unet/diffusion_pytorch_model.safetensors")
    other = tmp_path / "other"
    shutil.copytree(base, other)
    (other / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    save_file({n: v + 1 for n, v in weights.items()}, other / "unet" / "diffusion_pytorch_model.safetensors")
    check("was made beside another base than .*, of the same shape", saved["category"], model=str(other))
    folder_check.check(saved["category"], "category", str(other), SETTINGS.model_copy(update={"other_base": True}))

    check(
        "product_prompt=other {category} is not what .* was trained with, ",
        saved["category"],
        product_prompt="other {category}",
    )
    check("background_prompt=on is not what", saved["category"], background_prompt="on")
    check("tokens=3 is not what .* was trained with, 2; leave it out", saved["category"], tokens=3)
    check("plain=True is not what .* was trained with, False", saved["category"], plain=True)
    check("masked=attention is not what .*, all", saved["personality"], "personality", masked="attention")
    folder_check.check(saved["category"], "category", base, SETTINGS)
    record = category / "generator.json"
    good = record.read_text("utf-8")
    change(record, lambda values: values["categories"].pop())
    check("has identifiers of 4 categories, generator.json beside it names 3", saved["category"])
    record.write_text(good, "utf-8")
    change(record, lambda values: values["categories"][0].pop("rows"))
    check(r"has a category \{'name': 'cup', 'parent': 'ware'\}, not", saved["category"])
    record.write_text(good, "utf-8")
    change(record, lambda values: values["categories"][1].update(name="CUP"))
    check("'CUP' is there twice", saved["category"])
    change(record, lambda values: values.pop("background"))
    check("has no usable background", saved["category"])
    record.write_text(good, "utf-8")
    change(record, lambda values: values.update(product="a cup"))
    check("has product 'a cup', without one {category}", saved["category"])
    change(record, lambda values: values.update(kind="colour"))
    check("has kind 'colour', not category or personality", saved["category"])
    other_record = Path(saved["personality"], "generator.json")
    good_other = other_record.read_text("utf-8")
    change(other_record, lambda values: values.update(masked="sideways"))
    check("has masked 'sideways', not attention or all", saved["personality"], "personality")
    other_record.write_text(good_other, "utf-8")
    change(record, lambda values: values.update(format=2))
    check("has format 2, not 1", saved["category"])
    record.write_text(good, "utf-8")
    save_file({"identifiers": torch.zeros(4, 2, 5)}, category / "identifiers.safetensors")
    check("has 5 values a token, the base's text encoders have 16", saved["category"])
    (category / "identifiers.safetensors").unlink()
    check("identifiers.safetensors is not there: the folder isn't complete", saved["category"])
    network = Path(saved["personality"], "diffusion_pytorch_model.safetensors")
    network.write_bytes(network.read_bytes()[:-1])
    check("is cut short", saved["personality"], "personality")
