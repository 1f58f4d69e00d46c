"""Features of the cascade's head, with the mini CLIP."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from p2i_ray.config import CascadeConfig, ImageConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.cascade import clip_features
from p2i_ray.mini.world import BALANCED, render

WEIGHTS = Path(__file__).parents[3] / "p2i_ray" / "mini" / "weights"
CLIP = str(WEIGHTS / "evaluator_clip")
LIMITS = ImageConfig(resolution=64)


@pytest.fixture(scope="module")
def clip() -> clip_features.Clip:
    return clip_features.Clip(CLIP, batch_size=8)


def shown(number: int) -> tuple[list[Image.Image], list[str]]:
    samples = [render(80, index, BALANCED) for index in range(number)]
    return [Image.fromarray(sample.image) for sample in samples], [sample.name for sample in samples]


def test_projections_are_those_of_transformers(clip: clip_features.Clip) -> None:
    import torch
    from transformers import CLIPModel, CLIPProcessor

    pictures, names = shown(3)
    found = clip.features(pictures, names)
    assert found.shape == (3, 3 * 64 + 4 * 4 * 128) and found.dtype == np.float32
    model, processor = CLIPModel.from_pretrained(CLIP), CLIPProcessor.from_pretrained(CLIP)
    inputs = processor(images=pictures, text=names, return_tensors="pt", padding=True)
    with torch.no_grad():
        output = model(**inputs)
    image, text = found[:, :64], found[:, 64:128]
    for own, theirs in ((image, output.image_embeds), (text, output.text_embeds)):
        own_unit = own / np.linalg.norm(own, axis=1, keepdims=True)
        assert own_unit == pytest.approx(theirs.numpy(), abs=1e-5)
    assert found[:, 128:192].sum(axis=1) == pytest.approx((output.image_embeds * output.text_embeds).sum(1), abs=1e-5)
    for layer in range(4):
        mean, most, least, spread = np.split(found[:, 192 + 512 * layer : 192 + 512 * (layer + 1)], 4, axis=1)
        assert (least <= mean).all() and (mean <= most).all() and (spread >= 0).all()


def test_features_do_not_depend_on_the_other_rows(clip: clip_features.Clip) -> None:
    pictures, names = shown(8)
    together = clip.features(pictures, names)
    for row in (0, 5):
        assert np.array_equal(clip.features([pictures[row]], [names[row]])[0], together[row])


def test_every_row_comes_out_with_features_or_a_reason(ray_cluster: None, clip: clip_features.Clip) -> None:
    import ray

    pictures, names = shown(5)
    rows: list[dict[str, Any]] = [
        {"id": str(i), "name": name, "image": {"bytes": encode_png(np.asarray(picture)), "path": ""}}
        for i, (picture, name) in enumerate(zip(pictures, names, strict=True))
    ]
    rows[2]["image"] = {"bytes": b"no picture", "path": ""}
    rows[3]["name"] = " \n"
    settings = CascadeConfig(clip=clip_features.check(CLIP), batch_size=8, num_cpus=0.1)
    encoded = clip_features.encode(ray.data.from_items(rows), settings, LIMITS, 300)
    table = pa.Table.from_pylist(encoded.take_all(), schema=clip_features.FEATURES).sort_by("id")
    errors = table["error"].to_pylist()
    assert table["id"].to_pylist() == list("01234")
    assert "unreadable" in errors[2] and "no name" in errors[3]
    good = table.take([0, 1, 4])
    assert good["error"].null_count == 3 and table["features"].null_count == 2
    expected = clip.features([pictures[i] for i in (0, 1, 4)], [names[i] for i in (0, 1, 4)])
    assert clip_features.as_array(good["features"]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: shutil.rmtree(folder), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "no JSON"),
        (lambda folder: (folder / "config.json").write_text(json.dumps({"model_type": "vit"})), "type 'vit'"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "pickled weights only"),
        (lambda folder: (folder / "processor_config.json").unlink(), "preprocessor_config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    ],
)
def test_an_invalid_clip_is_a_one_line_error(change: Any, line: str, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(CLIP, folder)
    assert clip_features.check(str(folder)) == str(folder)
    change(folder)
    with pytest.raises(UserError, match=rf"^judge\.cascade\.clip=.*{line}[^\n]*$"):
        clip_features.check(str(folder))
