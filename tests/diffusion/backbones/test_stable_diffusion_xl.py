"""Stable Diffusion XL, from folder to picture: what diffusers' own pipeline does with the same folder and seed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLInpaintPipeline
from PIL import Image
from safetensors.torch import load_file

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.backbones.stable_diffusion_xl import StableDiffusionXL
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.model.card import write_card
from p2i_ray.diffusion.model.prompt import tokenise_each
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions
from tests.support.by_diffusers import paint
from tests.support.make_batch import make_batch, make_model
from tests.support.make_requests import make_request
from tests.support.make_round import write_round
from tests.support.tiny_xl import XlModels, build_xl

pytestmark = pytest.mark.long

TOKEN = "<background>"
NAMES = ("a cup", "mug!!")


@pytest.fixture(scope="module")
def painter(xl_models: XlModels) -> DiffusionConfig:
    return xl_models.painter()


def open_folder(location: Path | str) -> StableDiffusionXLInpaintPipeline:
    return StableDiffusionXLInpaintPipeline.from_pretrained(
        location, use_safetensors=True, local_files_only=True, add_watermarker=False
    )


def by_diffusers(pipeline: StableDiffusionXLInpaintPipeline, request: PaintRequest, **more: Any) -> Pixels:
    """What a user of the folder gets, by its model card."""
    return paint(pipeline, request, prompt=f"{request.name} {TOKEN}", strength=1.0, **more)


@pytest.mark.parametrize(("guidance", "negative"), [(1.0, ""), (3.0, ""), (3.0, "a table")])
@pytest.mark.parametrize("zeros", [True, False])
def test_pictures_are_those_of_diffusers_own_pipeline(
    tmp_path: Path, guidance: float, negative: str, zeros: bool
) -> None:
    clips = tmp_path / "first", tmp_path / "second"
    build_xl(tmp_path / "base", clips, zeros_for_empty=zeros)
    diffusion = DiffusionConfig(base=str(tmp_path / "base"), clip=str(clips[0]))
    model = write_round(diffusion, diffusion.base, tmp_path / "model", 1, moved=0.1)
    own, theirs = Sampler(str(model), diffusion, SamplerOptions()), open_folder(model)
    for name in NAMES:
        request = make_request(1, guidance=guidance, name=name, negative=negative)
        more = {"negative_prompt": negative} if negative else {}
        np.testing.assert_array_equal(own.paint([request])[0], by_diffusers(theirs, request, **more))


def test_a_row_of_a_mixed_batch_depends_on_itself_alone(painter: DiffusionConfig) -> None:
    sampler = Sampler(painter.base, painter, SamplerOptions(mixed=True))
    requests = [
        make_request(number, guidance=2.0 + number, name=name, negative=negative)
        for number, (name, negative) in enumerate([("a cup", ""), ("mug!!", "a table"), ("round thing", "")])
    ]
    together = sampler.paint(requests)
    assert not np.array_equal(together[0], together[2])
    for request, picture in zip(requests, together, strict=True):
        np.testing.assert_array_equal(sampler.paint([request])[0], picture)
        plain = Sampler(painter.base, painter, SamplerOptions()).paint([request])[0]
        assert np.abs(plain.astype(int) - picture.astype(int)).max() <= 1  # other kernels round otherwise


def test_both_tokenizers_have_the_token_and_pad_as_they_do(painter: DiffusionConfig) -> None:
    parts = loading.load(painter.base, painter)
    first, second = parts.tokenizers
    assert len(parts.token_ids) == 2 and isinstance(parts.backbone, StableDiffusionXL)
    ids = tokenise_each(parts.tokenizers, TOKEN, ["cup"]).ids  # (1, 2, L)
    cup = first("cup").input_ids[1]
    for row, tokenizer, token in zip(ids[0].tolist(), parts.tokenizers, parts.token_ids, strict=True):
        assert row[:4] == [tokenizer.bos_token_id, cup, token, tokenizer.eos_token_id]
    assert set(ids[0, 0, 4:].tolist()) == {first.eos_token_id}
    assert set(ids[0, 1, 4:].tolist()) == {second.convert_tokens_to_ids("!")}
    assert parts.text_encoders[1].config.eos_token_id == second.eos_token_id  # where the base says 2


def test_the_base_s_pooled_state_is_that_of_the_published_rule(painter: DiffusionConfig) -> None:
    """Without a token, pooled at the highest id (as eos_token_id=2 has it) and at eos are one place."""
    bare = painter.model_copy(update={"token": None})
    parts = loading.load(bare.base, bare)
    ids = tokenise_each(parts.tokenizers, None, list(NAMES)).ids
    before = open_folder(painter.base).text_encoder_2(ids[:, 1]).text_embeds
    assert torch.equal(parts.backbone.encode(parts.text_encoders, ids).pooled, before)


def test_a_row_of_each_text_encoder_learns(painter: DiffusionConfig) -> None:
    _, model = make_model(painter, lora_rank=2)
    learning = {name for name, p in model.named_parameters() if p.requires_grad and ".lora_" not in name}
    assert learning == {
        "text_encoder.embeddings.token_embedding.row",
        "text_encoder_2.text_model.embeddings.token_embedding.row",
    }


def test_gradients_reach_what_is_trained_and_nothing_else(xl_models: XlModels) -> None:
    for aligned, unused in ((0, False), (1, True)):
        parts, model = make_model(xl_models.painter(aligned))
        batch = make_batch(parts, range(4))
        model(batch, batch).total.backward()
        names = {name for name, p in model.text_encoders[0].named_parameters() if not p.requires_grad}
        assert ("final_layer_norm.weight" in names) == unused  # the UNet reads the state before it
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("settings", [{}, {"lora_rank": 2}])
def test_every_weight_has_a_gradient_in_every_micro_batch(
    xl_models: XlModels, aligned: int, settings: dict[str, Any]
) -> None:
    """ZeRO-3 would add one that comes later in a step to that of the step before."""
    parts, model = make_model(xl_models.painter(aligned), **settings)
    batch = make_batch(parts, range(4))
    losses = model(batch, None, 2)
    losses.total.backward()
    assert torch.equal(losses.total.detach(), losses.inpaint.mean())
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_rounds_of_lora_are_one_adapter_of_the_first_base(painter: DiffusionConfig, tmp_path: Path) -> None:
    """As the model card opens both: its very code; the base comes with another scheduler, as published."""
    base = Path(shutil.copytree(painter.base, tmp_path / "base"))
    for name, change in (
        ("model_index.json", {"scheduler": ["diffusers", "EulerDiscreteScheduler"]}),
        ("scheduler/scheduler_config.json", {"_class_name": "EulerDiscreteScheduler"}),
    ):
        (base / name).write_text(json.dumps(json.loads((base / name).read_text()) | change))
    painter = painter.model_copy(update={"base": str(base)})
    one = write_round(painter, painter.base, tmp_path / "one", 1, lora_rank=3, moved=0.1)
    two = write_round(painter, one, tmp_path / "two", 2, lora_rank=2, lora_alpha=4, moved=0.1)
    training: dict[str, Any] = {"rounds": [], "lora_base": painter.base}
    card = write_card(StableDiffusionXL.family, painter, TrainConfig(lora_rank=2), training)
    for place, there in (("this/folder", two), ("path/to/base", painter.base)):
        card = card.replace(place, str(there))
    request = make_request(1, guidance=1.0, name="a cup")
    names: dict[str, Any] = {"image": Image.fromarray(request.product), "mask": Image.fromarray(255 - request.mask)}
    pictures = []
    for code in re.findall("```python\n(.*?)```", card, re.DOTALL):
        exec(code, names)
        names["pipe"].set_progress_bar_config(disable=True)
        pictures.append(by_diffusers(names["pipe"], request).astype(int))
    folder, adapted = pictures
    assert np.abs(folder - adapted).max() <= 1
    assert np.abs(by_diffusers(open_folder(one), request).astype(int) - folder).max() > 1


def test_the_card_says_how_to_call_it(painter: DiffusionConfig) -> None:
    settings = TrainConfig(lora_rank=2)
    training: dict[str, Any] = {"rounds": [], "lora_base": "models/base"}
    card = write_card(StableDiffusionXL.family, painter, settings, training)
    assert "from diffusers import StableDiffusionXLInpaintPipeline" in card
    assert "mask_image=mask, strength=1.0)" in card
    assert 'load_textual_inversion(rows["clip_g"], token="<background>", text_encoder=pipe.text_encoder_2' in card


def test_transformers_4_finds_both_vocabularies(painter: DiffusionConfig, tmp_path: Path) -> None:
    out = write_round(painter, painter.base, tmp_path / "one", 1, moved=0.1)
    for tokenizer in ("tokenizer", "tokenizer_2"):
        added = json.loads((out / tokenizer / "added_tokens.json").read_text("utf-8"))
        assert list(added) == [TOKEN] and (out / tokenizer / "merges.txt").exists()
    for encoder in ("text_encoder", "text_encoder_2"):
        names = load_file(out / encoder / "model.safetensors").keys()
        assert all(name.startswith(("text_model.", "text_projection.")) for name in names)
    shutil.rmtree(out)
