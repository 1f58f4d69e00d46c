"""Weights that are not those which the configuration describes."""

from __future__ import annotations

from typing import Any

import pytest

from p2i_ray.diffusion.model import shapes
from p2i_ray.errors import UserError
from p2i_ray.storage.safetensors_header import Tensor

UNET = {"block_out_channels": [8, 16], "in_channels": 9, "out_channels": 4, "cross_attention_dim": 16}
TEXT = {"vocab_size": 90, "hidden_size": 16, "max_position_embeddings": 77, "num_hidden_layers": 2}


def unet(**changes: tuple[int, ...]) -> dict[str, Tensor]:
    sizes = {"conv_in.weight": (8, 9, 3, 3), "conv_out.weight": (4, 8, 3, 3)}
    sizes |= {"down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (8, 16)}
    return {name: Tensor("F16", shape) for name, shape in {**sizes, **changes}.items()}


def text(prefix: str, layers: int = 2) -> dict[str, Tensor]:
    found = {"embeddings.token_embedding.weight": (90, 16), "embeddings.position_embedding.weight": (77, 16)}
    found |= {f"encoder.layers.{number}.mlp.fc1.weight": (32, 16) for number in range(layers)}
    return {f"{prefix}{name}": Tensor("F32", shape) for name, shape in found.items()}


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_weights_that_fit(prefix: str) -> None:
    shapes.check("m/unet", "unet", UNET, unet())
    shapes.check("m/text_encoder", "text_encoder", TEXT, text(prefix))
    projections = {f"{kind}_projection.weight": Tensor("F32", (8, 16)) for kind in ("text", "visual")}
    config = {"text_config": TEXT, "vision_config": {"num_hidden_layers": 5}, "projection_dim": 8}
    vision = {f"vision_model.encoder.layers.{number}.mlp.fc1.weight": Tensor("F32", (1,)) for number in range(5)}
    shapes.check("clip", "clip", config, {**text("text_model."), **projections, **vision})
    shapes.check("m/text_encoder", "text_encoder", TEXT, {**text("text_model."), **vision})  # a whole CLIP does, too


@pytest.mark.parametrize(
    ("part", "config", "tensors", "line"),
    [
        (
            "unet",
            {**UNET, "in_channels": 4},
            unet(),
            "conv_in.weight is 8 x 9 x 3 x 3, and config.json says in_channels=4",
        ),
        (
            "unet",
            {**UNET, "cross_attention_dim": 768},
            unet(),
            "is 8 x 16, and config.json says cross_attention_dim=768",
        ),
        ("unet", UNET, text(""), "the weights have no conv_in.weight: they are no unet's"),
        (
            "unet",
            UNET,
            {**unet(), "x.weight": Tensor("F8_E4M3", (2,))},
            "x.weight is stored as F8_E4M3; give weights as",
        ),
        (
            "text_encoder",
            {**TEXT, "vocab_size": 91},
            text("text_model."),
            "is 90 x 16, and config.json says vocab_size=91",
        ),
        ("text_encoder", {**TEXT, "hidden_size": 32}, text(""), "config.json says hidden_size=32"),
        (
            "text_encoder",
            TEXT,
            text("", layers=3),
            "the weights have 3 text layers, and config.json says num_hidden_layers=2",
        ),
        ("text_encoder", TEXT, unet(), "they are no text encoder's"),
    ],
)
def test_weights_of_another_model(part: str, config: dict[str, Any], tensors: dict[str, Tensor], line: str) -> None:
    with pytest.raises(UserError) as raised:
        shapes.check(f"m/{part}", part, config, tensors)
    assert line in str(raised.value) and str(raised.value).startswith(f"m/{part}: ")


@pytest.mark.parametrize("adapter", ["to_q.lora_A.default.weight", "processor.to_q_lora.down.weight"])
def test_a_lora_that_is_not_merged(adapter: str) -> None:
    tensors = unet(**{f"down_blocks.0.attentions.0.transformer_blocks.0.attn1.{adapter}": (2, 8)})
    with pytest.raises(UserError, match=r"m/unet has a LoRA that is not merged \(down.*\); merge it: in diffusers"):
        shapes.check("m/unet", "unet", UNET, tensors)
