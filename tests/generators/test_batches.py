"""Batches of generators: what a row gets doesn't depend on who trains it; references are spoilt as spoiling.py says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from p2i_ray.config import DiffusionConfig
from p2i_ray.data.images import encode_png
from p2i_ray.diffusion.model.prompt import tokenise_each
from p2i_ray.errors import UserError
from p2i_ray.generators.batches import GeneratorCollate
from p2i_ray.generators.spoiling import seed_of, spoil
from p2i_ray.generators.step import GeneratorBatch
from tests.support.make_features import make_pictures
from tests.support.make_generators import BOTH, SETTINGS, make_model

STEP, SEED = 7, 5
NAMES = ["Blue cup", "Red cup", "Big bag", "Back"]
KINDS = ["cup", "round cup", "bag", "back"]


def rows(categories: list[Any]) -> pa.Table:
    """Four rows of step 7 with random features, each with the next one's picture as the other."""
    images, masks = make_pictures(4, 16)
    rng = np.random.default_rng(1)
    moments = rng.normal(size=(2, 4, 8 * 8 * 8)).astype("<f2")
    pictures = [encode_png(image) for image in images]
    return pa.table(
        {
            "name": NAMES,
            "category": categories,
            "latent_shape": [[4, 8, 8]] * 4,
            "image_moments": [row.tobytes() for row in moments[0]],
            "product_moments": [row.tobytes() for row in moments[1]],
            "mask": [bytes([1]) * 64] * 4,
            "background_clip": [np.zeros(4, "<f4").tobytes()] * 4,
            "image_clip": [np.zeros(4, "<f4").tobytes()] * 4,
            "picture": pictures,
            "product": [encode_png(mask) for mask in masks],
            "other": pictures[1:] + pictures[:1],
            "step": [STEP] * 4,
            "position": [0, 1, 2, 3],
            "number": [9, 8, 7, 6],
        }
    )


def collate(diffusion: DiffusionConfig, kinds: tuple[str, ...] = BOTH, **changes: Any) -> tuple[Any, GeneratorCollate]:
    settings = SETTINGS.model_copy(update=changes)
    parts, model = make_model(diffusion, kinds, settings=settings)
    return parts, GeneratorCollate(parts, model, diffusion=diffusion, settings=settings, seed=SEED, prompt_dropout=0.5)


def test_a_row_is_the_same_whoever_trains_it(tiny_painter: DiffusionConfig) -> None:
    _, made = collate(tiny_painter)
    whole = made(rows(KINDS))
    halves = [made(rows(KINDS).slice(start, 2)) for start in (0, 2)]
    for name, values in whole.items():
        assert torch.equal(torch.cat([half[name] for half in halves]), values), name
    assert whole["number"].tolist() == [9, 8, 7, 6] and whole["step"].tolist() == [STEP] * 4
    fields = {name: values for name, values in whole.items() if name not in ("step", "number")}
    assert set(fields) == set(GeneratorBatch._fields)


def test_pictures_and_spoilt_references(tiny_painter: DiffusionConfig) -> None:
    _, made = collate(tiny_painter)
    found = made(rows(KINDS))
    images, masks = make_pictures(4, 16)
    assert torch.equal(found["image"], torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    assert torch.equal(found["product_mask"][:, 0], torch.from_numpy(masks == 255).float())
    for row in range(4):
        expected = spoil(
            images[row],
            masks[row],
            images[(row + 1) % 4],
            settings=SETTINGS.spoiling,
            seed=seed_of(SEED, STEP, row),
        )
        assert torch.equal(found["reference"][row], torch.from_numpy(expected.picture).permute(2, 0, 1) / 255)
        assert torch.equal(found["reference_mask"][row, 0], torch.from_numpy(expected.product).float())


def test_prompts(tiny_painter: DiffusionConfig) -> None:
    parts, made = collate(tiny_painter)
    found = made.prompts_of(NAMES, KINDS)
    assert found["categories"].tolist() == [0, 1, 3, 2]
    said = [parts.tokenizers[0].decode(ids[0], skip_special_tokens=True).strip() for ids in found["product_ids"]]
    assert [text.replace(" ", "") for text in said] == ["acup", "aroundcup", "abag", "aback"]
    learned = found["base_ids"][:, 0] >= parts.text_encoders[0].get_input_embeddings().first
    assert learned.sum(1).tolist() == [2, 2, 2, 2]
    _, own = collate(tiny_painter, base_prompt="product2img")
    expected = tokenise_each(parts.tokenizers, tiny_painter.token, NAMES).ids
    assert torch.equal(own.prompts_of(NAMES, KINDS)["base_ids"], expected)


def test_without_a_category_the_product_is_named(tiny_painter: DiffusionConfig) -> None:
    _, made = collate(tiny_painter, ("personality",))
    found = made.prompts_of(["cup", "bag"], [None, ""])
    assert torch.equal(found["product_ids"], made.prompts_of(["x", "y"], ["cup", "bag"])["product_ids"])
    assert "categories" not in found and "image" not in made(rows([None] * 4))
    _, by_category = collate(tiny_painter, ("category",))
    with pytest.raises(UserError, match="no category"):
        by_category.prompts_of(["cup"], [None])
    assert "reference" not in by_category(rows(KINDS))
