"""Loading a model folder: the token, and the inputs for mask and product that a plain model lacks."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.model import loading
from p2i_ray.errors import UserError
from tests.support.make_batch import make_batch, make_model


def test_the_token_is_taught_unless_there_is_none(tiny_painter: DiffusionConfig) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    assert parts.token_id == len(parts.tokenizer) - 1 and not parts.widened
    none = loading.load(tiny_painter.base, tiny_painter.model_copy(update={"token": None}))
    assert none.token_id is None and len(none.tokenizer) == len(parts.tokenizer) - 1
    assert len(none.text_encoder.get_input_embeddings().weight) == parts.token_id


def test_a_widened_model_predicts_what_it_did(plain_painter: DiffusionConfig) -> None:
    plain = UNet2DConditionModel.from_pretrained(plain_painter.base, subfolder="unet", local_files_only=True)
    parts = loading.load(plain_painter.base, plain_painter)
    assert parts.widened and (plain.config.in_channels, parts.unet.config.in_channels) == (4, 9)
    noisy, mask, product = torch.randn(2, 4, 8, 8), torch.ones(2, 1, 8, 8), torch.randn(2, 4, 8, 8)
    text, timesteps = torch.randn(2, 16, 16), torch.tensor([3, 900])
    with torch.no_grad():
        before = plain(noisy, timesteps, text).sample
        after = parts.unet(torch.cat([noisy, mask, product], dim=1), timesteps, text).sample
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


def test_what_is_added_learns(plain_painter: DiffusionConfig) -> None:
    parts, model = make_model(plain_painter)
    model(*[make_batch(parts, range(4))] * 2).total.backward()
    added = model.unet.conv_in.weight.grad[:, 4:]
    assert (added.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_lora_is_refused_on_a_widened_model(plain_painter: DiffusionConfig) -> None:
    with pytest.raises(UserError, match=r"train.lora_rank=2 can't train what diffusion.widen=true adds"):
        make_model(plain_painter, lora_rank=2)


def test_a_plain_model_is_not_widened_unasked(plain_painter: DiffusionConfig) -> None:
    unasked = plain_painter.model_copy(update={"widen": False})
    for load in (lambda: loading.load(unasked.base, unasked), lambda: load_encoders(unasked, "cpu")):
        with pytest.raises(UserError, match=r"or set diffusion.widen=true to add them"):
            load()
    load_encoders(plain_painter, "cpu")
